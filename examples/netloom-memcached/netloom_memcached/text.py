"""The text protocol: lines, and blocks of data behind some of them."""

from __future__ import annotations

from netloom.plugins.l7.turns import Part, Unspoken
from netloom_memcached.request import Asked

LINE_BYTES_MAX = 2048
VALUE_BYTES_MAX = 1 << 30
STORE = {b"set", b"add", b"replace", b"append", b"prepend", b"cas"}
GET = {b"get": 1, b"gets": 1, b"gat": 2, b"gats": 2}
"""Commands for many keys, and where these begin."""
ONE_KEY = {b"delete", b"incr", b"decr", b"touch"}
NO_KEY = {b"stats", b"version", b"flush_all", b"verbosity", b"quit"}


def line_of(data: bytes) -> bytes | None:
    """Without its end; None while that has not come."""
    line, end, _ = data.partition(b"\r\n")
    if len(line) > LINE_BYTES_MAX:
        raise Unspoken(f"a line of more than {LINE_BYTES_MAX} bytes")
    if b"\n" in line or b"\0" in line:
        raise Unspoken("a line with a bare line feed or a NUL in it")
    return line if end else None


def number(word: bytes) -> int:
    """Raises Unspoken."""
    if not word.isdigit() or len(word) > 10 or int(word) > VALUE_BYTES_MAX:
        raise Unspoken(f"{word[:40]!r} where a number of bytes should be")
    return int(word)


def parse_request(data: bytes) -> Asked | None:
    """A line, and the block it announces."""
    line = line_of(data)
    if line is None:
        return None
    command, *words = line.split(b" ")
    block_bytes = 0
    if command in STORE and len(words) >= 4:
        keys, block_bytes = words[:1], number(words[3]) + 2
    elif command in GET and len(words) >= GET[command]:
        keys = words[GET[command] - 1 :]
    elif command in ONE_KEY and words:
        keys = words[:1]
    elif command in NO_KEY:
        keys = []
    else:
        raise Unspoken(f"{command[:40]!r}, which is no command with its words")
    is_answered = words[-1:] != [b"noreply"] and command != b"quit"
    size_bytes = len(line) + 2 + block_bytes
    return Asked(command=command.decode(), keys=tuple(keys), size_bytes=size_bytes, is_answered=is_answered)


def parse_reply(data: bytes) -> Part | None:
    """A line; of `get` one value after another, of `stats` one line after another, up to `END`."""
    line = line_of(data)
    if line is None:
        return None
    word, *words = line.split(b" ")
    if word == b"VALUE" and len(words) >= 3:
        return Part(len(line) + 2 + number(words[2]) + 2, is_last=False)
    return Part(len(line) + 2, is_last=word != b"STAT")


def deny() -> bytes:
    """An error of the client's."""
    return b"CLIENT_ERROR access denied\r\n"
