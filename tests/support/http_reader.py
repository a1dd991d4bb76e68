"""The obvious reader of HTTP/1.1: no more than the grammar says, one message behind another."""

from __future__ import annotations

from typing import NamedTuple


class Message(NamedTuple):
    """A request that has come."""

    method: bytes
    target: bytes
    body_bytes: int
    is_whole: bool
    closes: bool
    """Whether nothing should be read behind it."""
    switches: bool
    """Whether what is behind it may be another protocol."""


def read(stream: bytes) -> list[Message]:
    """All of a stream that obeys the grammar; a head that has not come as a whole is none."""
    found = []
    while b"\r\n\r\n" in stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        line, *rest = head.split(b"\r\n")
        method, target, version = line.split(b" ")
        fields = {name.lower(): value.strip(b" \t") for name, _, value in (field.partition(b":") for field in rest)}
        if b"transfer-encoding" in fields:
            size, is_whole, stream = _chunks(stream)
        else:
            size = int(fields.get(b"content-length", b"0"))
            is_whole, stream = len(stream) >= size, stream[size:]
        closes = version != b"HTTP/1.1" or b"close" in fields.get(b"connection", b"").lower()
        switches = method == b"CONNECT" or b"upgrade" in fields
        found.append(Message(method, target, size, is_whole, closes, switches))
        if not is_whole:
            break
    return found


def _chunks(stream: bytes) -> tuple[int, bool, bytes]:
    """Bytes of the body, whether all has come, and what follows it."""
    size = 0
    while b"\r\n" in stream:
        line, _, stream = stream.partition(b"\r\n")
        count = int(line.partition(b";")[0], 16)
        size += count
        if count == 0:
            break
        if len(stream) < count + 2:
            return size, False, b""
        stream = stream[count + 2 :]
    else:
        return size, False, b""
    while b"\r\n" in stream:
        line, _, stream = stream.partition(b"\r\n")
        if not line:
            return size, True, stream
    return size, False, b""
