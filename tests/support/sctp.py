"""The first two packets of an SCTP association, by RFC 9260, for kernels that have no SCTP of their own.

A raw socket takes whatever comes for the protocol, so these packets are all that is needed to see whether somebody is
let through: INIT there, INIT ACK back. Nobody goes on with such an association.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

PROTOCOL: Final = 132
_HEADER: Final = struct.Struct("!HHII")
"""Ports of sender and receiver, verification tag, checksum."""
_CHUNK: Final = struct.Struct("!BBH")
"""Type, flags, length."""
_INIT: Final = struct.Struct("!IIHHI")
"""Initiate tag, window, streams out and in, first TSN; of an INIT and of an INIT ACK."""
_PARAMETER: Final = struct.Struct("!HH")
"""Type, length."""
_STATE_COOKIE: Final = 7
_INIT_CHUNK: Final = 1
_INIT_ACK_CHUNK: Final = 2
_WINDOW: Final = 65535
_CASTAGNOLI: Final = 0x82F63B78


class Packet(NamedTuple):
    """What an INIT or INIT ACK says."""

    source: int
    target: int
    verification_tag: int
    """Who is spoken to; 0 in an INIT."""
    is_answer: bool
    initiate_tag: int
    """Who speaks."""
    cookie: bytes
    """Of an answer."""


def init(source: int, target: int, tag: int) -> bytes:
    """Begins an association from one port to another; the answer's verification tag is ``tag``."""
    return _packet((source, target, 0), _INIT_CHUNK, _INIT.pack(tag, _WINDOW, 1, 1, 0))


def init_ack(asked: Packet, cookie: bytes) -> bytes:
    """The answer to an INIT."""
    tag = asked.initiate_tag
    parameter = _PARAMETER.pack(_STATE_COOKIE, _PARAMETER.size + len(cookie)) + cookie
    return _packet((asked.target, asked.source, tag), _INIT_ACK_CHUNK, _INIT.pack(tag, _WINDOW, 1, 1, 0) + parameter)


def parse(packet: bytes) -> Packet | None:
    """None for what is neither INIT nor INIT ACK."""
    at = _HEADER.size + _CHUNK.size
    if len(packet) < at + _INIT.size:
        return None
    source, target, verification_tag, _ = _HEADER.unpack_from(packet)
    kind, _, length = _CHUNK.unpack_from(packet, _HEADER.size)
    if kind not in (_INIT_CHUNK, _INIT_ACK_CHUNK):
        return None
    cookie = packet[at + _INIT.size + _PARAMETER.size : _HEADER.size + length]
    initiate_tag = _INIT.unpack_from(packet, at)[0]
    return Packet(source, target, verification_tag, kind == _INIT_ACK_CHUNK, initiate_tag, cookie)


def _packet(head: tuple[int, int, int], kind: int, value: bytes) -> bytes:
    length = _CHUNK.size + len(value)
    rest = _CHUNK.pack(kind, 0, length) + value + bytes(-length % 4)
    # The checksum alone of all of SCTP goes in little-endian.
    checksum = crc32c(_HEADER.pack(*head, 0) + rest)
    return _HEADER.pack(*head, int.from_bytes(checksum.to_bytes(4, "little"))) + rest


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
    return value ^ 0xFFFFFFFF
