"""The text protocol: lines, and blocks of data behind some of them."""

from __future__ import annotations

import re

from netloom.plugins.l7.turns import Part, Unspoken
from netloom_memcached.request import Asked

LINE_BYTES_MAX = 2048
KEY_BYTES_MAX = 250
VALUE_BYTES_MAX = 1 << 30
NUMBERS = ((0, (1 << 32) - 1), (-(1 << 31), (1 << 31) - 1), (0, VALUE_BYTES_MAX), (0, (1 << 64) - 1))
"""Behind the key of what stores: flags, expiry, bytes of the block, and of `cas` its number; least and most."""
STORE = {b"set": 4, b"add": 4, b"replace": 4, b"append": 4, b"prepend": 4, b"cas": 5}
"""Commands with a block, and how many words they have."""
GET = {b"get": 1, b"gets": 1, b"gat": 2, b"gats": 2}
"""Commands for many keys, and with which word these begin."""
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


def number(word: bytes, least: int, most: int) -> int:
    """Raises Unspoken."""
    if not re.fullmatch(rb"-?[0-9]{1,20}", word) or not least <= int(word) <= most:
        raise Unspoken(f"{word[:40]!r} where a number from {least} to {most} should be")
    return int(word)


def parse_request(data: bytes) -> Asked | None:
    """A line, and the block it announces.

    Refused is what servers read in another way: blanks in a row count as one, and behind a line with a mistake they
    take the block for commands, which nobody would have judged.
    """
    line = line_of(data)
    if line is None:
        return None
    command, *words = line.split(b" ")
    is_quiet = command not in GET and words[-1:] == [b"noreply"]
    if is_quiet:
        words.pop()
    block_bytes = 0
    if len(words) == STORE.get(command):
        keys = words[:1]
        block_bytes = [number(word, *ends) for word, ends in zip(words[1:], NUMBERS, strict=False)][2] + 2
    elif command in GET and len(words) >= GET[command]:
        keys = words[GET[command] - 1 :]
    elif command in ONE_KEY and words:
        keys = words[:1]
    elif command in NO_KEY:
        keys = []
    else:
        raise Unspoken(f"{command[:40]!r}, which is no command with its words")
    if not all(words) or any(len(key) > KEY_BYTES_MAX for key in keys):
        raise Unspoken(f"blanks in a row, or a key of more than {KEY_BYTES_MAX} bytes")
    return Asked(
        command=command.decode(),
        keys=tuple(keys),
        size_bytes=len(line) + 2 + block_bytes,
        is_answered=not is_quiet and command != b"quit",
    )


def parse_reply(data: bytes) -> Part | None:
    """A line; of `get` one value after another, of `stats` one line after another, up to `END`."""
    line = line_of(data)
    if line is None:
        return None
    word, *words = line.split(b" ")
    if word == b"VALUE" and len(words) >= 3:
        return Part(len(line) + 2 + number(words[2], 0, VALUE_BYTES_MAX) + 2, is_last=False)
    return Part(len(line) + 2, is_last=word != b"STAT")


def deny() -> bytes:
    """An error of the client's."""
    return b"CLIENT_ERROR access denied\r\n"
