"""Listens to what peers without a session send: a raw socket for each, which hears no one else.

Nothing is sent, and a peer is not listened to while its session stands: all that it tells would be copied.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from netloom.model.address import Address
from netloom.model.errors import Invalid
from netloom_bgp.hearing import Hearing
from netloom_bgp.host import read_password
from netloom_bgp.segments import Segment, from_ipv4, from_tcp
from netloom_bgp.settings import Peer

ANEW_S: Final = 5.0
"""Seconds after which a socket is made anew: it hears what comes to one address of this node, and that may change."""
AT_ONCE: Final = 64
"""Segments read before others in the plugin's loop get their turn."""
_BUFFER_BYTES: Final = 1 << 16
_MAX_BYTES: Final = 1 << 16
_RECEIVE_ERRORS: Final = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR: routers' words, and the kernel's own, that the peer cannot be reached."""

Tell = Callable[[Address, str, bool], None]
"""Given a peer, why there is no session with it ("" when that is not known), and whether it was the peer itself that
was heard."""


class Ear:
    """What one peer sends, until a session stands."""

    def __init__(self, peer: Peer, listen_port: int, tell: Tell) -> None:
        self._peer = peer
        self._tell = tell
        self._hearing = Hearing(
            port=peer.port, listen_port=listen_port, password_file=peer.password_file, password=_password(peer)
        )
        self._socket: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Listen, from the address that leads to the peer now."""
        self.close()
        address = self._peer.address
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with contextlib.ExitStack() as stack:
            try:
                made = stack.enter_context(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP))
                made.setblocking(False)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
                made.setsockopt(*_RECEIVE_ERRORS[address.version], 1)
                if self._peer.local_address is not None:
                    made.bind((str(self._peer.local_address), 0))
                made.connect((str(address), 0))
            except PermissionError:
                # Without the capability nothing is heard; silence is told as such.
                return
            except OSError as error:
                self._unreachable(error)
                return
            stack.pop_all()
        self._socket = made
        asyncio.get_running_loop().add_reader(made, self._hear)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _hear(self) -> None:
        for _ in range(AT_ONCE):
            # Whoever is told may close this ear.
            if self._socket is None:
                return
            try:
                data, sender = self._socket.recvfrom(_MAX_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                _forget_errors(self._socket)
                self._unreachable(error)
                continue
            # Until it was connected, the socket heard everybody.
            if ip_address(sender[0].partition("%")[0]) != self._peer.address:
                continue
            if (segment := self._segment(self._socket, data)) is not None:
                self._tell(self._peer.address, self._hearing.heard(segment), True)

    def _segment(self, heard_by: socket.socket, data: bytes) -> Segment | None:
        """Linux gives IPv4 packets whole, of IPv6 ones what is behind their headers."""
        if self._peer.address.version == 4:
            return from_ipv4(data)
        return from_tcp(data, self._peer.address.packed, ip_address(heard_by.getsockname()[0]).packed)

    def _unreachable(self, error: OSError) -> None:
        self._tell(self._peer.address, f"the peer cannot be reached: {error.strerror}", False)


class Ears:
    """An ear for each peer with which a session is sought. All methods are called in one event loop."""

    def __init__(self, peers: Iterable[Peer], listen_port: int, tell: Tell) -> None:
        self._peers = {str(peer.address): peer for peer in peers}
        self._listen_port = listen_port
        self._tell = tell
        self._open: dict[str, Ear] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen to all peers."""
        for address in self._peers:
            self.seek(address, True)
        self._task = asyncio.create_task(self._go_on(), name="bgp-ears")

    async def stop(self) -> None:
        """Listen to nobody."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def seek(self, address: str, sought: bool) -> None:
        """A session with a peer is sought from now on, or stands."""
        if not sought:
            if (ear := self._open.pop(address, None)) is not None:
                ear.close()
        elif address not in self._open:
            self._open[address] = Ear(self._peers[address], self._listen_port, self._tell)

    async def _go_on(self) -> None:
        try:
            while True:
                await asyncio.sleep(ANEW_S)
                for ear in list(self._open.values()):
                    ear.open()
        finally:
            for address in list(self._open):
                self.seek(address, False)


def _forget_errors(heard_by: socket.socket) -> None:
    """The kernel keeps a copy of each, and wakes whoever waits until it is taken."""
    with contextlib.suppress(OSError):
        while True:
            heard_by.recv(1, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)


def _password(peer: Peer) -> bytes | None:
    """None without one, and when it cannot be read, which whoever configures gobgpd tells."""
    with contextlib.suppress(Invalid):
        return read_password(peer.password_file).encode("ascii") if peer.password_file else None
    return None
