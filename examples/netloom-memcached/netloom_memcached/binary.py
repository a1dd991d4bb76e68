"""The binary protocol: a header of 24 bytes, and a body as long as that says."""

from __future__ import annotations

import struct

from netloom.plugins.l7.turns import Part, Unspoken
from netloom_memcached.request import Asked

HEADER = struct.Struct(">BBHBBHIIQ")
"""Magic, operation, bytes of key and of extras, type, vbucket or status, bytes of body, opaque, version."""
ASKS, ANSWERS = 0x80, 0x81
BODY_BYTES_MAX = 1 << 30
ACCESS_DENIED = 0x08
QUIET = {
    0x09: "get", 0x0D: "get", 0x11: "set", 0x12: "add", 0x13: "replace", 0x14: "delete", 0x15: "incr",
    0x16: "decr", 0x17: "quit", 0x18: "flush_all", 0x19: "append", 0x1A: "prepend", 0x1E: "gat",
}  # fmt: skip
"""Answered when something went wrong, a `get` when something was found: ahead of the next answer."""
COMMANDS = QUIET | {
    0x00: "get", 0x01: "set", 0x02: "add", 0x03: "replace", 0x04: "delete", 0x05: "incr", 0x06: "decr",
    0x07: "quit", 0x08: "flush_all", 0x0A: "noop", 0x0B: "version", 0x0C: "get", 0x0E: "append",
    0x0F: "prepend", 0x10: "stats", 0x1B: "verbosity", 0x1C: "touch", 0x1D: "gat",
}  # fmt: skip


def parse_request(data: bytes) -> Asked | None:
    """Header, extras, key and value."""
    if len(data) < HEADER.size:
        return None
    magic, operation, key_bytes, extras_bytes, _, _, body_bytes, opaque, _ = HEADER.unpack_from(data)
    key_at = HEADER.size + extras_bytes
    if magic != ASKS or operation not in COMMANDS:
        raise Unspoken(f"magic {magic:#x} and operation {operation:#x}, which are no request")
    if extras_bytes + key_bytes > body_bytes or body_bytes > BODY_BYTES_MAX:
        raise Unspoken(f"a body of {body_bytes} bytes with {extras_bytes} of extras and {key_bytes} of key")
    if len(data) < key_at + key_bytes:
        return None
    return Asked(
        command=COMMANDS[operation],
        keys=(data[key_at : key_at + key_bytes],) if key_bytes else (),
        size_bytes=HEADER.size + body_bytes,
        is_answered=operation not in QUIET and COMMANDS[operation] != "quit",
        operation=operation,
        opaque=opaque,
    )


def parse_reply(data: bytes) -> Part | None:
    """What belongs to quiet requests before this one comes first; of `stats` an empty one is the last."""
    if len(data) < HEADER.size:
        return None
    magic, operation, key_bytes, _, _, status, body_bytes, _, _ = HEADER.unpack_from(data)
    if magic != ANSWERS or body_bytes > BODY_BYTES_MAX:
        raise Unspoken(f"magic {magic:#x} and a body of {body_bytes} bytes, which are no reply")
    more = operation in QUIET or (COMMANDS.get(operation) == "stats" and key_bytes > 0 and not status)
    return Part(HEADER.size + body_bytes, is_last=not more)


def deny(operation: int, opaque: int) -> bytes:
    """The status that says so."""
    words = b"access denied"
    return HEADER.pack(ANSWERS, operation, 0, 0, 0, ACCESS_DENIED, len(words), opaque, 0) + words
