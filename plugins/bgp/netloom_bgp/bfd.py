"""The BFD watch: has FRR's bfdd watch the peers that ask for it, and tells at once when one is gone.

GoBGP of Debian 12 has no BFD of its own. Without bfdd sessions go on, and a failure is noticed by the hold time; that
is said once, and bfdd is looked for again now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from netloom.model.address import Address
from netloom.model.errors import KernelError, Unavailable
from netloom_bgp.bfd_verdicts import Turn, Verdict
from netloom_bgp.bfd_wire import (
    HEADER,
    Junk,
    Notice,
    Response,
    SessionKey,
    Timers,
    add_frame,
    delete_frame,
    payload_length,
    read_frame,
    subscribe_frame,
)
from netloom_bgp.bfdd import Bfdd
from netloom_bgp.rtnl import Questions
from netloom_bgp.settings import Peer
from netloom_bgp.watching import PeerListener

BY: Final = "bfd"
RELEASE_AFTER_S: Final = 5.0
"""How long BFD alone keeps a peer off. A peer whose bfdd died would stay off for ever, though BGP could speak with it;
one that is really gone cannot be spoken with anyway."""
CONNECT_WITHIN_S: Final = 5.0
DECIDE_EVERY_S: Final = 0.5
"""Pause between looks at peers that BFD has not been asked to watch yet."""
ALONE_AFTER_S: Final = 15.0
"""Seconds after which BFD does not wait for BGP: a peer may want it the other way round."""
PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Before bfdd is tried again, the last for ever; a connection that held begins anew."""


@dataclass(slots=True)
class _Watched:
    """State of one peer."""

    peer: Peer
    key: SessionKey | None = None
    """None while no route leads there, so that nobody knows whether it is a neighbour."""
    verdict: Verdict = field(default_factory=Verdict)
    release: asyncio.TimerHandle | None = None


class BfdWatch:
    """Tells a listener, in whose event loop it runs, of peers that BFD has lost and found."""

    def __init__(
        self,
        peers: tuple[Peer, ...],
        directory: Path,
        listener: PeerListener,
        is_spoken_with: Callable[[Address], bool] = lambda _: True,
    ) -> None:
        """``directory`` is there, and closed to others; bfdd's pid file, log and socket stand below it.

        ``is_spoken_with``: whether BGP has a session with a peer. BFD begins with the first one: FRR makes its side of
        BFD anew as that comes, and would end it for a BFD that had been up before.
        """
        self._watched = {peer.address: _Watched(peer) for peer in peers if peer.bfd.enabled}
        self._daemon = Bfdd(directory)
        self._listener = listener
        self._is_spoken_with = is_spoken_with
        self._task: asyncio.Task[None] | None = None
        self._numbers = count(1)
        self._told = ""

    async def start(self) -> None:
        """Begin to watch. With nobody to watch, a bfdd of an earlier configuration is ended."""
        if self._task is not None:
            return
        if self._watched:
            self._task = asyncio.create_task(self._keep(), name="bgp-bfd")
        else:
            await asyncio.to_thread(self._daemon.end)

    async def stop(self) -> None:
        """Watch no more; bfdd goes on, and what was told stands."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        for watched in self._watched.values():
            _cancel(watched)

    async def _keep(self) -> None:
        """For ever: have a bfdd, talk with it until it ends."""
        failures = 0
        while True:
            try:
                found = self._daemon.find()
                if found is None:
                    self._daemon.tidy()
                    self._daemon.start()
                reader, writer = await self._connect()
                failures = 0
                self._told = ""
                with contextlib.closing(writer):
                    await self._talk(reader, writer)
                self._forget("bfdd has ended and is started again; peers that watch this node by BFD may have noticed")
            except (Unavailable, KernelError) as error:
                self._forget(str(error))
            except (Junk, OSError) as error:
                self._forget(f"bfdd cannot be talked with: {error}")
            await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
            failures += 1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = asyncio.get_running_loop().time() + CONNECT_WITHIN_S
        while True:
            try:
                return await asyncio.open_unix_connection(self._daemon.socket)
            except OSError:
                if self._daemon.find() is None:
                    raise Unavailable(f"bfdd ended at once: {self._daemon.last_words() or 'it said nothing'}") from None
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable(f"bfdd has not opened {self._daemon.socket}; see bfdd.log beside it") from None
                await asyncio.sleep(0.02)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until bfdd ends. Sessions of an earlier configuration are heard of first, and ended."""
        writer.write(subscribe_frame(next(self._numbers)))
        deciding = asyncio.create_task(self._decide(writer))
        try:
            while True:
                header = await reader.readexactly(HEADER.size)
                self._heard(read_frame(header, await reader.readexactly(payload_length(header))), writer)
        except asyncio.IncompleteReadError:
            return
        finally:
            deciding.cancel()
            await asyncio.wait({deciding})

    async def _decide(self, writer: asyncio.StreamWriter) -> None:
        """Ask for each peer's session as soon as it is due, and a route says of what kind it is."""
        loop = asyncio.get_running_loop()
        waiting, began = list(self._watched.values()), loop.time()
        while waiting:
            alone = loop.time() - began > ALONE_AFTER_S
            due = [watched for watched in waiting if alone or self._is_spoken_with(watched.peer.address)]
            with contextlib.suppress(KernelError), contextlib.closing(Questions()) as questions:
                for watched in due:
                    watched.key = watched.key or _key(watched.peer, questions)
            for watched in due:
                if watched.key is not None:
                    bfd = watched.peer.bfd
                    timers = Timers(interval_ms=bfd.min_interval_ms, multiplier=bfd.multiplier)
                    writer.write(add_frame(next(self._numbers), watched.key, timers))
            waiting = [watched for watched in waiting if watched.key is None or watched not in due]
            await asyncio.sleep(DECIDE_EVERY_S)

    def _heard(self, frame: Notice | Response | None, writer: asyncio.StreamWriter) -> None:
        match frame:
            case Response(error=error) if error:
                self._listener.event("bfd.refused", f"bfdd has refused request {frame.number}: {error}")
            case Notice(key=key):
                watched = self._watched.get(key.peer)
                if watched is not None and watched.key in (None, key):
                    self._noticed(watched, frame)
                elif frame.op == "add":
                    writer.write(delete_frame(next(self._numbers), key))

    def _noticed(self, watched: _Watched, notice: Notice) -> None:
        """Of a new session bfdd tells no state before the first change; it is down."""
        verdict = watched.verdict
        if notice.op == "status":
            verdict = verdict.heard(notice.state, notice.diagnostic, notice.remote_diagnostic)
            watched.verdict = verdict
            self._turned(watched)
        if notice.op in ("add", "status"):
            self._listener.note(notice.key.peer, bfd=verdict.state)

    def _turned(self, watched: _Watched) -> None:
        verdict, address, listener = watched.verdict, watched.peer.address, self._listener
        match verdict.turn:
            case Turn.DOWN:
                listener.lost(address, BY, verdict.why)
                listener.event("bfd.down", f"{verdict.why}: {address} is cut off", address)
                _cancel(watched)
                watched.release = asyncio.get_running_loop().call_later(RELEASE_AFTER_S, self._release, watched)
            case Turn.UP:
                _cancel(watched)
                listener.event("bfd.up", f"BFD hears {address}", address)
                listener.back(address, BY)
            case Turn.OFF:
                listener.event("bfd.off", f"{address} has switched BFD off, its session goes on without", address)

    def _release(self, watched: _Watched) -> None:
        """Leave the peer to BGP again, though BFD has not found it."""
        _cancel(watched)
        self._listener.back(watched.peer.address, BY)

    def _forget(self, why: str) -> None:
        """Nobody watches for the moment: what BFD said before is no longer known. Said once for each reason."""
        for address, watched in self._watched.items():
            watched.verdict = Verdict()
            self._release(watched)
            self._listener.note(address, bfd="unavailable")
        if why != self._told:
            self._told = why
            hold = min(watched.peer.hold_time_s for watched in self._watched.values())
            until = f"when its hold time is over, {hold} s or more" if hold else "by nobody: hold_time_s is 0"
            self._listener.event("bfd.unavailable", f"{why}. Until then the loss of a peer is noticed {until}")


def _key(peer: Peer, questions: Questions) -> SessionKey | None:
    """Of the session with a peer; None while no route leads there. Raises KernelError.

    FRR decides alike: several hops when the BGP session is configured so, or the peer is on no segment of this node.
    """
    way = questions.way(peer.address)
    if way is None:
        return None
    if peer.multihop_ttl is None and way.on_link:
        return SessionKey(peer=peer.address, local=peer.local_address)
    local = peer.local_address or way.source
    return SessionKey(peer=peer.address, local=local, multihop=True) if local else None


def _cancel(watched: _Watched) -> None:
    if watched.release is not None:
        watched.release.cancel()
        watched.release = None
