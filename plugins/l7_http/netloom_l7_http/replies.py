"""Heads of replies of HTTP/1.1, as far as they say where a reply ends. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from netloom.plugins.l7.turns import Unspoken
from netloom_l7_http.head import CHUNKED, HEAD_BYTES_MAX, KNOWN_BYTES_MAX
from netloom_l7_http.memory import Memory

OPEN: Final = -2
"""Length of a body that ends with the connection."""
REPLY: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
FRAMING: Final = re.compile(
    rb"\r\n(content-length|transfer-encoding|upgrade):[ \t]*([^\r]*?)[ \t]*(?=\r)", re.IGNORECASE
)
LENGTH: Final = re.compile(rb"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a reply's head says."""

    status: int
    word: str
    """The status, for the access log."""
    size_bytes: int
    """Of the head."""
    body_bytes: int
    """Or CHUNKED, or OPEN."""
    is_interim: bool
    """Whether another reply to the same request follows."""
    upgrade: str
    """The protocol that follows a status of 101, in small letters."""


KNOWN: Final[Memory[Reply]] = Memory(KNOWN_BYTES_MAX)


def read_reply(data: bytes, at: int) -> Reply | None:
    """The reply whose head begins at ``at``; None while its end has not come. Raises Unspoken."""
    end = data.find(b"\r\n\r\n", at) + 4
    if end < 4:
        if len(data) - at > HEAD_BYTES_MAX:
            raise Unspoken(f"more than {HEAD_BYTES_MAX} bytes without the end of a reply's head")
        if not data.startswith(b"HTTP/1."[: len(data) - at], at):
            raise Unspoken(f"{data[at : at + 40]!r} where a reply should begin")
        return None
    head = data[at:end]
    return KNOWN.get(head) or KNOWN.keep(head, _read(head))


def _read(head: bytes) -> Reply:
    line = REPLY.fullmatch(head)
    if line is None or len(head) > HEAD_BYTES_MAX:
        raise Unspoken(f"{head[:80]!r} or what follows it, which is no head of a reply")
    fields: dict[bytes, bytes] = {}
    for raw, value in FRAMING.findall(head):
        name = raw.lower()
        if name in fields:
            raise Unspoken(f"a reply with {name.decode()} twice")
        fields[name] = value
    status = int(line[2])
    return Reply(
        status=status,
        word=line[2].decode(),
        size_bytes=len(head),
        body_bytes=_body_bytes(status, fields, is_current=line[1] == b"1"),
        is_interim=status < 200 and status != 101,
        upgrade=fields.get(b"upgrade", b"").decode("latin-1").lower(),
    )


def _body_bytes(status: int, fields: dict[bytes, bytes], *, is_current: bool) -> int:
    if status < 200 or status in {204, 304}:
        return 0
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked" or length is not None or not is_current:
            raise Unspoken(f"a reply with a Transfer-Encoding of {coding[:40]!r}, or with a Content-Length too")
        return CHUNKED
    if length is None:
        return OPEN
    if LENGTH.fullmatch(length) is None:
        raise Unspoken(f"a reply with a Content-Length of {length[:40]!r}")
    return int(length)
