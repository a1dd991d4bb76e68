"""One end of a connection: a socket, read while the other end takes what came of it."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast


class Owner(Protocol):
    """The connection, as its ends know it."""

    def came(self, end: End, data: bytes, *, is_last: bool) -> None:
        """Bytes have come, or with ``is_last`` no more will."""

    def made(self, end: End) -> None:
        """The end has a transport."""

    def lost(self, end: End, error: Exception | None) -> None:
        """The end has none any more; with an error it was not our doing."""


class End(asyncio.Protocol):
    """Client or server. Calls of the loop come here, and go on to the connection."""

    __slots__ = ("_choked", "_full", "_held", "_owner", "_transport", "_waits", "came", "is_server", "other", "shut")

    def __init__(self, owner: Owner, *, is_server: bool) -> None:
        self._owner = owner
        self.came = owner.came
        """What is called with what comes, as :meth:`Owner.came`."""
        self.is_server = is_server
        self.other: End
        """Set by the owner."""
        self._transport: asyncio.Transport | None = None
        self._full = False
        """It does not take what it is sent fast enough."""
        self._choked = False
        """It was sent something because of what came from it, though it was full."""
        self._held = self._waits = False
        self.shut = False
        """It was told that nothing more will come."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """None before it is connected, and behind its end."""
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """By the loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        """By the loop."""
        self.came(self, data, is_last=False)

    def eof_received(self) -> bool:
        """By the loop; the other direction stays open."""
        self.came(self, b"", is_last=True)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """By the loop, last of all."""
        self._transport = None
        self._owner.lost(self, exc)

    def pause_writing(self) -> None:
        """By the loop: more than the limit waits to be sent."""
        self._full = True
        self.other.steer()

    def resume_writing(self) -> None:
        """By the loop."""
        self._full = self._choked = False
        self.other.steer()
        self.steer()

    def write(self, data: bytes, cause: End) -> None:
        """Send on what came from ``cause``, or of it."""
        if self._transport is None:
            return
        self._transport.write(data)
        if self._full and cause is self:
            self._choked = True
            self.steer()

    def write_eof(self) -> None:
        """Say that nothing more will come."""
        self.shut = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def hold(self) -> None:
        """Do not read until :meth:`steer` is called."""
        self._held = True
        if self._transport is not None:
            self._transport.pause_reading()

    def wait(self, *, waits: bool) -> None:
        """Whether what has come is still being worked through."""
        if waits is not self._waits:
            self._waits = waits
            self.steer()

    def steer(self) -> None:
        """Read, or do not, as there is room for what may come of it."""
        if self._transport is None or not self.is_open:
            return
        hold = self._choked or self._waits or self.other.is_full
        if hold is not self._held:
            self._held = hold
            (self._transport.pause_reading if hold else self._transport.resume_reading)()

    @property
    def is_open(self) -> bool:
        """Whether it is connected, and nobody has begun to end it."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_full(self) -> bool:
        """Whether more waits to be sent than should."""
        return self._full

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Once everything is sent."""
        if self._transport is not None:
            self._transport.close()
