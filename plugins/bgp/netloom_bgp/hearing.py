"""Why a peer and this node have no session, by what the peer sends while one is sought. Pure.

gobgpd says nothing of a connection that is refused, of a NOTIFICATION before the session stands, or of a TCP MD5
signature that does not fit, and the kernel counts signatures for the whole node. The peer's own segments say it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netloom_bgp.segments import Flag, MessageType, Segment
from netloom_bgp.words import WORDLESS, notification_told

MAX_CONNECTIONS: Final = 16
"""Attempts remembered; the oldest make room."""


class Hearing:
    """One peer's segments, one after the other. ``port`` is where it listens, ``listen_port`` where this node does."""

    def __init__(self, *, port: int, listen_port: int, password_file: Path | None, password: bytes | None) -> None:
        """``password`` None with a ``password_file``: it cannot be read, and signatures are not judged."""
        self._port = port
        self._listen_port = listen_port
        self._file = password_file
        self._password = password
        self._spoken: dict[tuple[int, int], bool] = {}
        """Connections that were taken, by ports, and whether the peer has sent a BGP message over them."""

    def heard(self, segment: Segment) -> str:
        """What the segment says of why there is no session, a sentence without full stop; "" when nothing."""
        ours, theirs = segment.ports[0] == self._port, segment.ports[1] == self._listen_port
        if not ours and not theirs:
            return ""
        if segment.flags & Flag.SYN:
            self._remember(segment.ports)
            return self._signature(segment)
        return next(self._messages(segment), "") or self._end(segment, ours=ours)

    def _remember(self, ports: tuple[int, int]) -> None:
        self._spoken[ports] = False
        if len(self._spoken) > MAX_CONNECTIONS:
            del self._spoken[next(iter(self._spoken))]

    def _signature(self, segment: Segment) -> str:
        signed = segment.signature is not None
        if self._file is None:
            found = "its connections carry a TCP MD5 signature, and it has no password_file here"
            return found if signed else ""
        if self._password is None:
            return ""
        if not signed:
            return f"its connections carry no TCP MD5 signature, expected one by the password in {self._file}"
        if segment.signed_with(self._password):
            return ""
        return f"its connections are signed with another TCP MD5 password than that in {self._file}"

    def _messages(self, segment: Segment) -> Iterator[str]:
        for kind, body in segment.messages():
            if segment.ports in self._spoken:
                self._spoken[segment.ports] = True
            if kind == MessageType.NOTIFICATION and len(body) >= 2:
                yield notification_told("peer", body[0], body[1], body[2:])

    def _end(self, segment: Segment, *, ours: bool) -> str:
        """Of a connection that ends; ``ours``: this node began it."""
        if not segment.flags & (Flag.FIN | Flag.RST):
            return ""
        spoken = self._spoken.pop(segment.ports, None)
        if ours and segment.refuses:
            return f"port {self._port} refuses connections"
        if spoken is not False or not ours:
            return ""
        return WORDLESS
