"""TCP segments as they come from a peer, taken apart: ports, flags, signature, and the BGP messages within. Pure."""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

TCP: Final = 6
_HEADER: Final = struct.Struct("!HHIIBBHHH")
_MARKER: Final = b"\xff" * 16
_MESSAGE: Final = struct.Struct("!16sHB")
_MD5_OPTION: Final = 19
_MD5_OPTION_BYTES: Final = 18


class Flag(enum.IntFlag):
    """Of a TCP header."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    ACK = 0x10


class MessageType(enum.IntEnum):
    """Of a BGP message (RFC 4271)."""

    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment with the ends it went between, addresses packed."""

    source: bytes
    destination: bytes
    header: bytes
    """With its options."""
    payload: bytes

    @property
    def ports(self) -> tuple[int, int]:
        """Source and destination."""
        source, destination = struct.unpack_from("!HH", self.header)
        return source, destination

    @property
    def flags(self) -> Flag:
        """Those that are set and known."""
        return Flag(self.header[13]) & (Flag.FIN | Flag.SYN | Flag.RST | Flag.ACK)

    @property
    def refuses(self) -> bool:
        """Whether it answers a SYN by a reset: such a one has sequence number 0, as it continues nothing."""
        return self.flags & (Flag.RST | Flag.ACK) == Flag.RST | Flag.ACK and self.header[4:8] == bytes(4)

    @property
    def signature(self) -> bytes | None:
        """The TCP MD5 signature (RFC 2385); None without one."""
        at = _HEADER.size
        while at < len(self.header) and self.header[at] != 0:
            size = 1 if self.header[at] == 1 else self.header[at + 1] if at + 1 < len(self.header) else 0
            if size == 0:
                break
            if self.header[at] == _MD5_OPTION and size == _MD5_OPTION_BYTES:
                return self.header[at + 2 : at + size]
            at += size
        return None

    def signed_with(self, password: bytes) -> bool:
        """Whether the signature is what ``password`` gives."""
        length = len(self.header) + len(self.payload)
        tail = struct.pack("!BBH", 0, TCP, length) if len(self.source) == 4 else struct.pack("!II", length, TCP)
        covered = self.source + self.destination + tail + self.header[:16] + b"\0\0" + self.header[18 : _HEADER.size]
        # The protocol has no other hash; what it secures is not ours to judge.
        digest = hashlib.md5(covered + self.payload + password, usedforsecurity=False).digest()
        return digest == self.signature

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Type and body of the BGP messages that stand whole in this segment, up to the first that does not."""
        rest = self.payload
        while len(rest) >= _MESSAGE.size:
            marker, length, kind = _MESSAGE.unpack_from(rest)
            if marker != _MARKER or not _MESSAGE.size <= length <= len(rest):
                return
            yield kind, rest[_MESSAGE.size : length]
            rest = rest[length:]


def from_ipv4(packet: bytes) -> Segment | None:
    """The segment of a whole IPv4 packet; None when it is no whole one."""
    if len(packet) < 20:
        return None
    start, end = (packet[0] & 0x0F) * 4, min(len(packet), int.from_bytes(packet[2:4]))
    return from_tcp(packet[start:end], packet[12:16], packet[16:20])


def from_tcp(data: bytes, source: bytes, destination: bytes) -> Segment | None:
    """The segment that ``data``, beginning with the TCP header, is; None when it is no whole one."""
    size = (data[12] >> 4) * 4 if len(data) >= _HEADER.size else 0
    if not _HEADER.size <= size <= len(data):
        return None
    return Segment(source=source, destination=destination, header=data[:size], payload=data[size:])
