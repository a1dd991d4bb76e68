"""Heads of requests of HTTP/1.1: read strictly, so that no server can read another request than was judged. Pure.

The grammar is checked as a whole by one expression, the fields are taken out by llhttp: a head that either does not
take is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from netloom_l7_http.edits import withdrawn
from netloom_l7_http.h2c import offered
from netloom_l7_http.memory import Memory
from netloom_l7_http.request import BODILESS, METHODS, HttpRequest, Refused, make
from netloom_l7_http.target import read_authority, read_target

HEAD_BYTES_MAX: Final = 1 << 15
FIELDS_MAX: Final = 128
KNOWN_BYTES_MAX: Final = 1024
"""Heads up to so long are remembered: those who keep a connection say the same again and again."""
CHUNKED: Final = -1
"""Length of a body that comes in chunks."""

HEAD: Final = re.compile(
    rb"([A-Z][A-Z-]*) ([\x21-\x7e]+) HTTP/1\.([01])\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
BEGINNINGS: Final = frozenset(f"{method} "[:count].encode() for method in METHODS for count in range(len(method) + 2))
BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,17}")
ONCE: Final = frozenset({"host", "content-length", "transfer-encoding", "expect"})
"""Said twice, or spelt with an underscore, some servers would take one and some the other."""
HOP_BY_HOP: Final = frozenset({"upgrade", "http2-settings", "te", "keep-alive", "proxy-connection", "trailer"})


class Head(NamedTuple):
    """A request's head: what rules see, and what follows; a tuple, since one is made for every request."""

    request: HttpRequest
    raw: bytes
    size_bytes: int
    body_bytes: int = 0
    """Or CHUNKED."""
    edited: bytes | None = None
    """What is sent in its place, where it offers what we do not let through."""
    expects_continue: bool = False
    """Whether the client waits for a word before it sends the body."""
    closes: bool = False
    """Whether the client takes the end of the connection for the end of the answer, or means to end it."""
    switches: bool = False
    """Whether something else than HTTP follows, if the server says so."""
    h2c: bytes | None = None
    """The settings with which the client would go on with HTTP/2, where that is it."""
    simple_bytes: int = 0
    """All of it with its body, where it goes on as it is; 0 where that is not so simple."""


KNOWN: Final[Memory[Head]] = Memory(KNOWN_BYTES_MAX)


class _Fields:
    """Takes out of a head what llhttp finds in it."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field."""
        self.found.append((name, value))


def read_head(data: bytes, at: int, seen_bytes: int = 0) -> Head | None:
    """The head that begins at ``at``; None while its end has not come. Raises Refused.

    ``seen_bytes`` of it were there before, and are not looked through again: they may come one by one.
    """
    if not at and (head := KNOWN.get(data)):
        return head
    end = data.find(b"\r\n\r\n", at + max(0, seen_bytes - 3)) + 4
    if end < 4:
        _refuse_hopeless(data, at, seen_bytes)
        return None
    if end - at > HEAD_BYTES_MAX:
        raise Refused(f"a head of {end - at} bytes", 431)
    raw = data[at:end]
    return KNOWN.get(raw) or KNOWN.keep(raw, _read(raw))


def _refuse_hopeless(data: bytes, at: int, seen_bytes: int) -> None:
    word, space, _ = data[at : at + 20].partition(b" ")
    if word + space not in BEGINNINGS:
        raise Refused(f"{data[at : at + 20]!r} where a method should be")
    if BARE.search(data, at + max(0, seen_bytes - 1)):
        raise Refused("a bare carriage return, line feed or control character in a head")
    if len(data) - at > HEAD_BYTES_MAX:
        raise Refused(f"more than {HEAD_BYTES_MAX} bytes without the end of a head", 431)


def _read(head: bytes) -> Head:
    line = HEAD.fullmatch(head)
    if line is None:
        raise Refused(_misspelt(head))
    method, version = line[1].decode(), line[3]
    if method not in METHODS:
        raise Refused(f"a method {method[:20]!r}")
    fields = _joined(_fields(head))
    if version == b"1" and "host" not in fields:
        raise Refused("no Host")
    host = read_authority(fields["host"].encode("latin-1")) if "host" in fields else ""
    connection = _words(fields.get("connection", ""))
    _refuse_hidden(connection, fields)
    request = make(method, read_target(method, line[2], host), host, fields)
    return _framed(head, request, connection, is_current=version == b"1")


def _framed(head: bytes, request: HttpRequest, connection: frozenset[str], *, is_current: bool) -> Head:
    method, fields = request.method, request.headers
    body_bytes = _body_bytes(method, fields, is_current=is_current)
    expects = fields.get("expect", "").lower()
    if expects not in {"", "100-continue"}:
        raise Refused(f"an expectation of {expects[:40]!r}", 417)
    is_websocket = is_current and method == "GET" and "upgrade" in connection
    is_websocket = is_websocket and fields.get("upgrade", "").lower() == "websocket"
    offers = not is_websocket and ("upgrade" in fields or "http2-settings" in fields)
    may_offer = offers and is_current and method != "CONNECT" and not (body_bytes or expects)
    h2c = offered(head, connection, fields) if may_offer else None
    switches = method == "CONNECT" or is_websocket or h2c is not None
    is_simple = not (offers or switches or expects) and body_bytes >= 0
    return Head(
        request=request,
        raw=head,
        size_bytes=len(head),
        body_bytes=body_bytes,
        edited=withdrawn(head) if offers and h2c is None else None,
        expects_continue=bool(expects and is_current and body_bytes),
        closes="close" in connection or not (is_current or "keep-alive" in connection),
        switches=switches,
        h2c=h2c,
        simple_bytes=len(head) + body_bytes if is_simple else 0,
    )


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    fields = _Fields()
    try:
        HttpRequestParser(fields).feed_data(head)
    except HttpParserUpgrade:
        pass  # the head has been read
    except HttpParserError as error:
        raise Refused(f"a head that llhttp does not read: {error}"[:200]) from error
    return fields.found


def _joined(found: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By normal name. Raises Refused for what must be said once."""
    fields: dict[str, str] = {}
    for number, (raw, value) in enumerate(found):
        if number >= FIELDS_MAX:
            raise Refused(f"more than {FIELDS_MAX} headers", 431)
        spelt = raw.decode("latin-1").lower()
        name = spelt.replace("_", "-") if "_" in spelt else spelt
        text = value.decode("latin-1").strip(" \t")
        if name in ONCE and (name in fields or name is not spelt):
            raise Refused(f"{name} twice or misspelt")
        fields[name] = f"{fields[name]},{text}" if name in fields else text
    return fields


def _body_bytes(method: str, fields: Mapping[str, str], *, is_current: bool) -> int:
    length, coding = fields.get("content-length"), fields.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or length is not None or not is_current):
        raise Refused(f"a Transfer-Encoding of {coding[:40]!r}, or with a Content-Length, or in HTTP/1.0")
    if length is not None and LENGTH.fullmatch(length) is None:
        raise Refused(f"a Content-Length of {length[:40]!r}")
    body_bytes = CHUNKED if coding is not None else int(length or 0)
    if body_bytes and method in BODILESS:
        raise Refused(f"{method} with a body, which some servers take for the next request")
    return body_bytes


def _refuse_hidden(connection: frozenset[str], fields: Mapping[str, str]) -> None:
    """A server that is a proxy takes headers off that Connection names: what was judged would not be what it reads."""
    for name in connection - HOP_BY_HOP:
        if name in fields:
            raise Refused(f"a Connection that names {name[:40]!r}")


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip(" \t").lower() for word in text.split(",")) if text else frozenset()


def _misspelt(head: bytes) -> str:
    if BARE.search(head):
        return "a bare carriage return, line feed or control character in a head"
    if b"\r\n " in head or b"\r\n\t" in head:
        return "a header that goes on in the next line"
    line = head.partition(b"\r\n")[0]
    return f"{line[:80]!r} or what follows it, which is no head of HTTP/1.1"
