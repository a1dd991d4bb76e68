"""Frames of HTTP/2. Pure."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from netloom.plugins.l7.turns import Unspoken

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9
WHOLE_BYTES_MAX: Final = 1 << 15
"""Of a frame other than of data."""
FRAME_BYTES_MAX: Final = 1 << 14
"""What anybody must take."""
END_STREAM, END_HEADERS, PADDED, PRIORITY, ACK = 0x1, 0x4, 0x8, 0x20, 0x1
HEADER_TABLE_SIZE: Final = 1
ERRORS: Final = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)
"""Why a stream is reset, by number (RFC 9113, 7)."""
TABLE_BYTES_MAX: Final = 1 << 16
"""Of headers that were said before."""


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


_HEADER: Final = struct.Struct(">BHBBI")


class Frame(NamedTuple):
    """What its first nine bytes say."""

    size_bytes: int
    """With these."""
    kind: int
    flags: int
    stream: int


def read_frame(data: bytes, at: int) -> Frame | None:
    """The frame that begins at ``at``; None while too little of it has come: of data its header, else all of it."""
    if len(data) - at < HEADER_BYTES:
        return None
    high, low, kind, flags, stream = _HEADER.unpack_from(data, at)
    size = HEADER_BYTES + (high << 16) + low
    if kind:  # other than DATA
        if size > WHOLE_BYTES_MAX:
            raise Unspoken(f"a frame of type {kind} with {size} bytes")
        if len(data) - at < size:
            return None
    return Frame(size, kind, flags, stream & 0x7FFFFFFF)


def write_frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return _HEADER.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def write_headers(stream: int, block: bytes, *, ends: bool) -> bytes:
    """A block in as many frames as it takes."""
    if len(block) <= FRAME_BYTES_MAX:
        return write_frame(Kind.HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block)
    pieces = [block[at : at + FRAME_BYTES_MAX] for at in range(0, len(block), FRAME_BYTES_MAX)]
    frames = []
    for number, piece in enumerate(pieces):
        flags = END_HEADERS if number == len(pieces) - 1 else 0
        kind = Kind.CONTINUATION if number else Kind.HEADERS
        frames.append(write_frame(kind, flags | (END_STREAM if ends and not number else 0), stream, piece))
    return b"".join(frames)


def block_of(frame: Frame, data: bytes, at: int) -> bytes:
    """The part of a header block that HEADERS or CONTINUATION carries. Raises Unspoken."""
    first, last = at + HEADER_BYTES, at + frame.size_bytes
    if frame.flags & (PADDED | PRIORITY) and frame.kind == Kind.HEADERS:
        if frame.flags & PADDED:
            last -= data[first] if first < last else 0
            first += 1
        if frame.flags & PRIORITY:
            first += 5
    if first > last:
        raise Unspoken("more padding than a frame has room for")
    return data[first:last]


def table_bytes_of(payload: bytes) -> int | None:
    """The size of the header table that SETTINGS name last, if they do. Raises Unspoken."""
    if len(payload) % 6:
        raise Unspoken(f"settings of {len(payload)} bytes")
    found = [value for name, value in struct.iter_unpack(">HI", payload) if name == HEADER_TABLE_SIZE]
    if max(found, default=0) > TABLE_BYTES_MAX:
        raise Unspoken(f"a header table of {max(found)} bytes, expected at most {TABLE_BYTES_MAX}")
    return found[-1] if found else None


def error_of(payload: bytes) -> str:
    """Why a stream is reset: a name, or a number that has none. Raises Unspoken."""
    if len(payload) != 4:
        raise Unspoken(f"a reset of {len(payload)} bytes")
    code = int.from_bytes(payload, "big")
    return ERRORS[code] if code < len(ERRORS) else str(code)
