"""One gRPC call that is answered by a stream, as HTTP/2 (RFC 9113): bytes in, messages and replies out. Pure.

gobgpd answers with one message for each route. A general HTTP/2 library, which must be ready for everything, takes 50
microseconds for each, so a hundred thousand routes cost five seconds; this takes three. It knows one call on a
connection of its own, which is closed afterwards, and believes the server, which is on this machine and ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from hpack import Decoder, Encoder, HPACKError

WINDOW_BYTES: Final = 1 << 20
"""What gobgpd may send before it was read."""
MAX_MESSAGE_BYTES: Final = 1 << 29
"""The longest one holds every best route, 250 bytes each, in the first event of a watch."""
_HEADER: Final = struct.Struct(">HBBBI")
"""Length in 24 bits, type, flags, stream."""
_PREFIX: Final = struct.Struct(">BI")
"""Of a gRPC message: whether it is compressed, and its length."""
_SETTING: Final = struct.Struct(">HI")
_U32: Final = struct.Struct(">I")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_PRIORITY: Final = 0x20
_INITIAL_WINDOW: Final = 4
_DEFAULT_WINDOW_BYTES: Final = 65_535
_CONNECTION, _STREAM = 0, 1


class Broken(Exception):
    """The other end does not speak as it should, or gave the call up."""


class Status(NamedTuple):
    """How a call ended: gRPC's number, 0 for well, and words."""

    code: int
    text: str


class Call:
    """One call. Send what :meth:`replies` gives, first of all and after each :meth:`feed`, until there is a status."""

    def __init__(self, method: str, request: bytes) -> None:
        """``method``: as in the path of a request, with a slash before."""
        self.status: Status | None = None
        """None until the call ended."""
        self._decoder = Decoder()
        self._frames = bytearray()
        self._messages = bytearray()
        self._block = bytearray()
        self._unacknowledged = 0
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self._replies = bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._reply(_SETTINGS, 0, _CONNECTION, _SETTING.pack(_INITIAL_WINDOW, WINDOW_BYTES))
        self._reply(_WINDOW_UPDATE, 0, _CONNECTION, _U32.pack(WINDOW_BYTES - _DEFAULT_WINDOW_BYTES))
        self._reply(_HEADERS, _END_HEADERS, _STREAM, Encoder().encode(headers))
        self._reply(_DATA, _END_STREAM, _STREAM, _PREFIX.pack(0, len(request)) + request)

    def replies(self) -> bytes:
        """What is to be sent now; each is given once."""
        found, self._replies = bytes(self._replies), bytearray()
        return found

    def feed(self, data: bytes) -> list[bytes]:
        """Whole messages, in order. Raises Broken."""
        self._frames += data
        for kind, flags, payload in self._whole_frames():
            self._take(kind, flags, payload)
        if self._unacknowledged >= WINDOW_BYTES // 2:
            for stream in (_CONNECTION, _STREAM):
                self._reply(_WINDOW_UPDATE, 0, stream, _U32.pack(self._unacknowledged))
            self._unacknowledged = 0
        return list(self._whole_messages())

    def _reply(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self._replies += _HEADER.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload

    def _whole_frames(self) -> Iterator[tuple[int, int, bytes]]:
        frames, at = self._frames, 0
        while at + _HEADER.size <= len(frames):
            high, low, kind, flags, _ = _HEADER.unpack_from(frames, at)
            end = at + _HEADER.size + (high << 8 | low)
            if end > len(frames):
                break
            yield kind, flags, bytes(frames[at + _HEADER.size : end])
            at = end
        del frames[:at]

    def _whole_messages(self) -> Iterator[bytes]:
        messages, at = self._messages, 0
        while at + _PREFIX.size <= len(messages):
            compressed, length = _PREFIX.unpack_from(messages, at)
            if compressed or length > MAX_MESSAGE_BYTES:
                raise Broken(f"gobgpd sent a message of {length} bytes, compressed: {bool(compressed)}")
            end = at + _PREFIX.size + length
            if end > len(messages):
                break
            yield bytes(messages[at + _PREFIX.size : end])
            at = end
        del messages[:at]

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _DATA:
            self._unacknowledged += len(payload)
            self._messages += _unpadded(payload) if flags & _PADDED else payload
            if flags & _END_STREAM:
                raise Broken("gobgpd ended its answer without a status")
        elif kind in (_HEADERS, _CONTINUATION):
            self._take_headers(kind, flags, payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._reply(_SETTINGS, _ACK, _CONNECTION, b"")
        elif kind == _PING and not flags & _ACK:
            self._reply(_PING, _ACK, _CONNECTION, payload)
        elif kind in (_RESET, _GO_AWAY) and self.status is None:
            raise Broken("gobgpd gave up a call")

    def _take_headers(self, kind: int, flags: int, payload: bytes) -> None:
        """Those that begin an answer say nothing; those that end it hold the status."""
        if kind == _HEADERS:
            part = _unpadded(payload) if flags & _PADDED else payload
            self._block = bytearray(part[5:] if flags & _PRIORITY else part)
        else:
            self._block += payload
        if not flags & _END_HEADERS:
            return
        try:
            found = {_text(name): _text(value) for name, value in self._decoder.decode(bytes(self._block))}
        except HPACKError as error:
            raise Broken(f"gobgpd sent headers that cannot be read: {error}") from error
        if (code := found.get("grpc-status")) is not None:
            self.status = Status(int(code) if code.isdecimal() else 2, unquote(found.get("grpc-message", "")))


def _unpadded(payload: bytes) -> bytes:
    """The length of the padding stands first."""
    return payload[1 : len(payload) - payload[0]] if payload else payload


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
