"""GoBGP's API, version 3, over a unix socket: typed calls, and errors in an operator's words.

Calls that are answered by one message go by grpclib; those answered by a stream, which may hold a message for each of
a hundred thousand routes, by :mod:`netloom_bgp.http2`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.client import Channel, StreamUnaryMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from netloom.model.errors import NetloomError, Unavailable, Unsupported
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.http2 import Broken, Call

T = TypeVar("T", bound=Message)

CALL_S: Final = 4.0
"""Seconds for one call: less than ``hooks.timeout_s`` usually is."""
LONG_CALL_S: Final = 60.0
"""Seconds for a call that carries a table."""
PATHS_PER_MESSAGE: Final = 1000
_SERVICE: Final = "/apipb.GobgpApi/"
_READ_BYTES: Final = 1 << 16
_AWAY: Final = frozenset({Status.UNAVAILABLE, Status.CANCELLED, Status.DEADLINE_EXCEEDED})


class SpeakerGone(Unavailable):
    """gobgpd does not answer."""


class SpeakerRefused(NetloomError):
    """gobgpd answered that it will not do what it was asked."""


class Gobgp:
    """One connection to gobgpd, made again by itself when it was lost.

    Every method raises SpeakerGone, SpeakerRefused or Unsupported.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._channel = Channel(path=str(socket))

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    async def running(self) -> pb.Global:
        """What gobgpd was started with; AS number 0 when it was not told yet."""
        return _global(await self._call("GetBgp", pb.GetBgpRequest(), pb.GetBgpResponse))

    async def start(self, wanted: pb.Global) -> None:
        """Tell it who it is; refused when it was told before."""
        request = pb.StartBgpRequest()
        _global(request).CopyFrom(wanted)
        await self._call("StartBgp", request, Empty)

    async def stop(self) -> None:
        """End all sessions and forget everything."""
        await self._call("StopBgp", pb.StopBgpRequest(), Empty)

    async def peers(self) -> list[pb.Peer]:
        """All peers."""
        return [one.peer for one in await self._list("ListPeer", pb.ListPeerRequest(), pb.ListPeerResponse)]

    async def add_peer(self, peer: pb.Peer) -> None:
        """Begin to speak with a peer."""
        await self._call("AddPeer", pb.AddPeerRequest(peer=peer), Empty)

    async def delete_peer(self, address: str) -> None:
        """End the session and forget the peer."""
        await self._call("DeletePeer", pb.DeletePeerRequest(address=address), Empty)

    async def disable_peer(self, address: str, why: str) -> None:
        """End the session, and begin none; ``why`` is told to the peer (RFC 8203)."""
        await self._call("DisablePeer", pb.DisablePeerRequest(address=address, communication=why), Empty)

    async def reconsider(self, address: str) -> None:
        """Judge again, by the policies of now, what was received from a peer, and what is sent to it."""
        both = pb.ResetPeerRequest.SoftResetDirection.BOTH
        await self._call("ResetPeer", pb.ResetPeerRequest(address=address, soft=True, direction=both), Empty)

    async def add_paths(self, paths: Iterable[pb.Path]) -> None:
        """Announce, and for paths with ``is_withdraw`` withdraw."""
        items = list(paths)
        requests = [
            pb.AddPathStreamRequest(table_type=pb.GLOBAL, paths=items[at : at + PATHS_PER_MESSAGE])
            for at in range(0, len(items), PATHS_PER_MESSAGE)
        ]
        if requests:
            method = StreamUnaryMethod(self._channel, f"{_SERVICE}AddPathStream", pb.AddPathStreamRequest, Empty)
            with _explained(self._socket):
                await method(requests, timeout=LONG_CALL_S)

    async def paths(
        self, table: pb.TableType, family: pb.Family, peer: str = "", *, binary: bool = False
    ) -> AsyncIterator[Sequence[pb.Destination]]:
        """The paths of a table, GLOBAL, or ADJ_IN or ADJ_OUT of a peer; some hundred prefixes at once, in no order.

        ``binary``: with ``pattrs_binary`` in the place of ``nlri`` and ``pattrs``.
        """
        request = pb.ListPathRequest(table_type=table, name=peer, family=family, enable_only_binary=binary)
        async for some in self._stream("ListPath", request, LONG_CALL_S):
            yield [pb.ListPathResponse.FromString(one).destination for one in some]

    async def policies(self, direction: pb.PolicyDirection) -> list[pb.PolicyAssignment]:
        """What is assigned for everybody in one direction."""
        request = pb.ListPolicyAssignmentRequest(name="global", direction=direction)
        replies = await self._list("ListPolicyAssignment", request, pb.ListPolicyAssignmentResponse)
        return [one.assignment for one in replies]

    async def add_set(self, defined: pb.DefinedSet) -> None:
        """Define a set that policies name."""
        await self._call("AddDefinedSet", pb.AddDefinedSetRequest(defined_set=defined), Empty)

    async def delete_set(self, defined: pb.DefinedSet) -> None:
        """Forget a set; refused while a policy names it."""
        await self._call("DeleteDefinedSet", pb.DeleteDefinedSetRequest(defined_set=defined, all=True), Empty)

    async def add_policy(self, policy: pb.Policy) -> None:
        """Define a policy with its statements."""
        await self._call("AddPolicy", pb.AddPolicyRequest(policy=policy), Empty)

    async def delete_policy(self, policy: pb.Policy) -> None:
        """Forget a policy with its statements; refused while it is assigned."""
        await self._call("DeletePolicy", pb.DeletePolicyRequest(policy=policy, all=True), Empty)

    async def assign_policy(self, assignment: pb.PolicyAssignment) -> None:
        """Use policies from now on, in the place of those that were used before."""
        await self._call("SetPolicyAssignment", pb.SetPolicyAssignmentRequest(assignment=assignment), Empty)

    async def watch(self) -> AsyncIterator[pb.WatchEventResponse]:
        """Sessions as they change and best paths as they change, those of now first. Ends by SpeakerGone."""
        best = pb.WatchEventRequest.Table.Filter(type=pb.WatchEventRequest.Table.Filter.BEST, init=True)
        request = pb.WatchEventRequest(
            peer=pb.WatchEventRequest.Peer(), table=pb.WatchEventRequest.Table(filters=[best])
        )
        async for some in self._stream("WatchEvent", request, None):
            for one in some:
                yield pb.WatchEventResponse.FromString(one)
        raise SpeakerGone(f"gobgpd at {self._socket} ended its stream of events")

    async def _call(self, name: str, request: Message, reply: type[T]) -> T:
        method = UnaryUnaryMethod(self._channel, f"{_SERVICE}{name}", type(request), reply)
        with _explained(self._socket):
            found: T = await method(request, timeout=CALL_S)
        return found

    async def _list(self, name: str, request: Message, reply: type[T]) -> list[T]:
        return [reply.FromString(one) async for some in self._stream(name, request, CALL_S) for one in some]

    async def _stream(self, name: str, request: Message, patience_s: float | None) -> AsyncIterator[list[bytes]]:
        """The messages of an answer as they come, some hundred at a time, over a connection of its own.

        ``patience_s``: for how long gobgpd may say nothing.
        """
        call = Call(f"{_SERVICE}{name}", request.SerializeToString())
        with _explained(self._socket):
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                while call.status is None:
                    writer.write(call.replies())
                    async with asyncio.timeout(patience_s):
                        data = await reader.read(_READ_BYTES)
                    if not data:
                        raise ConnectionResetError("it ended the connection")
                    if some := call.feed(data):
                        yield some
                        # What was read already does not suspend: others in this loop get their turn here.
                        await asyncio.sleep(0)
                if call.status.code:
                    raise GRPCError(_status(call.status.code), call.status.text)
            finally:
                writer.close()


@contextmanager
def _explained(socket: Path) -> Iterator[None]:
    """Errors of the transport as ours. gobgpd's own words never hold a password."""
    try:
        yield
    except GRPCError as error:
        raise _told(socket, error) from error
    except (OSError, ProtocolError, StreamTerminatedError, Broken) as error:
        raise SpeakerGone(f"gobgpd at {socket} does not answer: {str(error) or 'it takes too long'}") from error


def _told(socket: Path, error: GRPCError) -> Exception:
    words: Any = error.message or error.status.name
    if error.status is Status.UNIMPLEMENTED:
        return Unsupported(
            f"the API of the gobgpd at {socket}",
            needs="gobgpd 3 (service apipb.GobgpApi), Debian package gobgpd",
            found="another version, 4 or later, which speaks another API" if "unknown service" in words else words,
        )
    if error.status in _AWAY:
        return SpeakerGone(f"gobgpd at {socket} does not answer: {words}")
    return SpeakerRefused(f"gobgpd at {socket} refused: {words}")


def _status(code: int) -> Status:
    return Status(code) if code in Status._value2member_map_ else Status.UNKNOWN


def _global(holder: pb.StartBgpRequest | pb.GetBgpResponse) -> pb.Global:
    """Its field ``global``, a word that Python keeps for itself."""
    found: pb.Global = getattr(holder, "global")
    return found
