"""Streams of requests that servers have been known to read in more than one way, and such as nobody has thought of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Final

HIDDEN: Final = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
FIRST: Final = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
LAST: Final = b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n"
IN_CHUNKS: Final = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


def _parts() -> dict[str, tuple[bytes, ...]]:
    """By the headings of the file."""
    _, *sections = Path(__file__).with_suffix(".txt").read_text().split("\n# ")
    named = (section.strip().split("\n") for section in sections)
    return {
        name: tuple(line.encode().decode("unicode_escape").encode("latin-1") for line in lines)
        for name, *lines in named
    }


PARTS: Final = _parts()
"""What streams are made of, by what is odd about them."""


def framings() -> Iterator[bytes]:
    """Lengths and codings in each combination, before a body that is a request itself."""
    for length, coding, body in product((b"", *PARTS["lengths"]), (b"", *PARTS["codings"]), (HIDDEN, IN_CHUNKS)):
        fields = b"".join(field + b"\r\n" for field in (length, coding) if field)
        yield FIRST + b"POST /a HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body + LAST


def framings_of_each_method() -> Iterator[bytes]:
    """Of methods and versions that servers expect no body of, and of those they do."""
    fields = (
        b"Content-Length: %d" % len(HIDDEN),
        b"Transfer-Encoding: chunked",
        b"Content-Length: 0",
        b"Connection: x",
    )
    methods = (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"DELETE", b"PUT", b"PATCH", b"CONNECT", b"PROPFIND", b"QUERY")
    for method, version, field in product(methods, (b"1.0", b"1.1"), fields):
        body = IN_CHUNKS if field.startswith(b"T") else HIDDEN
        yield FIRST + b"%s /a HTTP/%s\r\nHost: a\r\n%s\r\n\r\n%s" % (method, version, field, body) + LAST


def lines() -> Iterator[bytes]:
    """Request lines, with both ends of line."""
    for line, end in product(PARTS["lines"], (b"\r\n", b"\n")):
        yield FIRST + line + end + b"Host: a" + end + end + LAST


def targets() -> Iterator[bytes]:
    """Targets, whatever the method makes of them."""
    for target, method in product((b"", *PARTS["targets"]), (b"GET", b"OPTIONS", b"CONNECT")):
        yield FIRST + b"%s %s HTTP/1.1\r\nHost: a\r\n\r\n" % (method, target) + LAST


def fields() -> Iterator[bytes]:
    """Headers, of either version."""
    for field, version in product(PARTS["fields"], (b"1.1", b"1.0")):
        yield FIRST + b"POST /a HTTP/%s\r\n%s\r\nContent-Length: 5\r\n\r\nhello" % (version, field) + LAST


def bodies() -> Iterator[bytes]:
    """Chunks and trailers."""
    for body in (*PARTS["bodies"], IN_CHUNKS):
        yield FIRST + b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + LAST


SHAPES: Final = {
    made.__name__: tuple(made()) for made in (framings, framings_of_each_method, lines, targets, fields, bodies)
}
"""By what is odd about them."""


def mutated(count: int, seed: int) -> Iterator[bytes]:
    """Shapes with a few bytes of them replaced by others; the same ones for the same seed."""
    chance = Random(seed)  # noqa: S311 - chance is for variety alone
    faults = (b"", HIDDEN, *PARTS["faults"])
    every = [stream for streams in SHAPES.values() for stream in streams]
    for _ in range(count):
        stream = b"".join(chance.choices(every, k=chance.randint(1, 2)))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(stream))
            stream = stream[:at] + chance.choice(faults) + stream[at + chance.choice((0, 0, 1, 2)) :]
        yield stream
