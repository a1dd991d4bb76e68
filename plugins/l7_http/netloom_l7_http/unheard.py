"""Requests of HTTP/2 that go on after we have answered them: their data are dropped, their windows given back. Pure.

A client may be reset as soon as it has its answer, but some, as curl 7.88, then take the answer for none; so each may
say its say, within limits.
"""

from __future__ import annotations

import struct
from typing import Final

from netloom_l7_http.frames import END_STREAM, HEADER_BYTES, Frame, Kind, write_frame

STREAMS_MAX: Final = 256
STREAM_BYTES_MAX: Final = 1 << 20
"""What is heard out of one stream."""
WINDOW_MAX: Final = (1 << 31) - 1


class Unheard:
    """Those of one connection."""

    def __init__(self) -> None:
        self._left_bytes: dict[int, int] = {}
        """By stream, until it is reset."""
        self._over: list[int] = []
        """Streams to be reset."""
        self.owed: dict[int, int] = {}
        """Bytes of windows by stream, 0 for the connection."""

    @property
    def is_due(self) -> bool:
        """Whether the client is to be told anything."""
        return bool(self.owed or self._over)

    def add(self, stream: int) -> bytes:
        """One that was answered; returns what else the client is told at once."""
        if len(self._left_bytes) >= STREAMS_MAX:
            return _reset(stream)
        self._left_bytes[stream] = STREAM_BYTES_MAX
        return b""

    def drop(self, frame: Frame) -> None:
        """Data of a stream that is not the server's to hear, whichever."""
        count = frame.size_bytes - HEADER_BYTES
        if count:
            self._owe(0, count)
        left = self._left_bytes.get(frame.stream, 0)
        if left <= count or frame.flags & END_STREAM:
            self.end(frame.stream)
        elif count:
            self._left_bytes[frame.stream] = left - count
            self._owe(frame.stream, count)

    def end(self, stream: int) -> None:
        """Its request has, or must: a client that has stopped because of the answer may wait for a word behind it."""
        if stream in self._left_bytes:
            self.forget(stream)
            self._over.append(stream)

    def forget(self, stream: int) -> None:
        """The client has reset it."""
        self._left_bytes.pop(stream, None)
        self.owed.pop(stream, None)

    def words(self) -> bytes:
        """What is due to the client, once."""
        windows = [
            write_frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", min(count, WINDOW_MAX)))
            for stream, count in self.owed.items()
        ]
        resets = map(_reset, self._over)
        words = b"".join((*windows, *resets))
        self.owed, self._over = {}, []
        return words

    def _owe(self, stream: int, count: int) -> None:
        self.owed[stream] = self.owed.get(stream, 0) + count


def _reset(stream: int) -> bytes:
    return write_frame(Kind.RST_STREAM, 0, stream, bytes(4))
