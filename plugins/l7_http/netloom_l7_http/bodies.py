"""Bodies of messages: how far they reach, found while they pass. Bounded: nothing of them is kept."""

from __future__ import annotations

import re
from typing import Final, Protocol

from netloom.plugins.l7.turns import Unspoken

LINE_BYTES_MAX: Final = 4096
"""Of a chunk's size with its extensions, or of a trailer."""
BESIDES_BYTES_MAX: Final = 1 << 16
"""Of extensions, and of trailers, in one body."""
CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
TRAILER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t\x20-\x7e\x80-\xff]*")
NO_TRAILERS: Final = frozenset(
    b"authorization connection content-encoding content-length content-range content-type cookie expect forwarded host "
    b"keep-alive max-forwards proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
"""They say what was judged before; a server that joins trailers to headers would read another request."""


class Body(Protocol):
    """What follows a head. Methods raise Unspoken for what cannot follow it."""

    done: bool

    def advance(self, data: bytes, at: int) -> int:
        """Where in ``data`` the part of it that is known to belong to the body ends; it goes on at ``at``."""


class Sized:
    """So many bytes."""

    def __init__(self, left_bytes: int) -> None:
        self._left_bytes = left_bytes
        self.done = not left_bytes

    def advance(self, data: bytes, at: int) -> int:
        """Up to the last."""
        count = min(self._left_bytes, len(data) - at)
        self._left_bytes -= count
        self.done = not self._left_bytes
        return at + count


class Open:
    """As long as the connection."""

    done = False

    def advance(self, data: bytes, at: int) -> int:
        """All there is."""
        del at
        return len(data)


class Chunked:
    """Chunks with their extensions, and trailers."""

    def __init__(self, *, is_request: bool) -> None:
        self.done = False
        self._is_request = is_request
        self._left_bytes = 0
        """Of the chunk that is passing."""
        self._is_behind_chunk = self._is_trailing = False
        self._besides_bytes = 0

    def advance(self, data: bytes, at: int) -> int:
        """Whole lines, and parts of chunks."""
        while at < len(data) and not self.done:
            if self._left_bytes:
                count = min(self._left_bytes, len(data) - at)
                self._left_bytes -= count
                at += count
                continue
            end = data.find(b"\r\n", at, at + LINE_BYTES_MAX)
            if end < 0:
                self._refuse_unending(data, at)
                break
            self._line(data[at:end])
            at = end + 2
        return at

    def _refuse_unending(self, data: bytes, at: int) -> None:
        if len(data) - at >= LINE_BYTES_MAX:
            raise Unspoken(f"more than {LINE_BYTES_MAX} bytes without the end of a chunk's line")
        if self._is_behind_chunk and data[at : at + 1] != b"\r":
            raise Unspoken("a chunk that is longer than it says")

    def _line(self, line: bytes) -> None:
        if self._is_behind_chunk:
            if line:
                raise Unspoken("a chunk that is longer than it says")
            self._is_behind_chunk = False
        elif self._is_trailing:
            self._trailer(line)
        else:
            self._size(line)

    def _size(self, line: bytes) -> None:
        found = CHUNK.fullmatch(line)
        if found is None:
            raise Unspoken(f"{line[:40]!r} where the size of a chunk should be")
        self._count(len(line) - len(found[1]))
        self._left_bytes = int(found[1], 16)
        self._is_behind_chunk = self._left_bytes > 0
        self._is_trailing = not self._is_behind_chunk

    def _trailer(self, line: bytes) -> None:
        self._count(len(line))
        if not line:
            self.done = True
            return
        found = TRAILER.fullmatch(line)
        if found is None:
            raise Unspoken(f"{line[:40]!r} where a trailer should be")
        if self._is_request and found[1].lower().replace(b"_", b"-") in NO_TRAILERS:
            raise Unspoken(f"{found[1]!r} in a trailer")

    def _count(self, count: int) -> None:
        self._besides_bytes += count
        if self._besides_bytes > BESIDES_BYTES_MAX:
            raise Unspoken(f"more than {BESIDES_BYTES_MAX} bytes of chunk extensions and trailers")
