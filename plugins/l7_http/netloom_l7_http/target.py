"""Targets of requests in one normal form, so that a rule sees the path that the server sees. Pure.

What servers read in more than one way is refused. What is accepted stands for one sequence of bytes, and that has one
spelling: characters that may stand in a path stand for themselves, all others are written ``%XX``.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from netloom_l7_http.request import Refused

PLAIN: Final = re.compile(rb"(?:/(?!\.\.?(?:[/?]|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)*/?(?:\?[!\"$&-Z_a-z|~^`{}\[\]]*)?")
"""In normal form already: no empty segment but the last, no segment of dots, nothing to decode."""
RAW: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,=:@/%\"<>^`{|}\[\]-]*")
QUERY: Final = re.compile(rb"[!\"$-~]*")
AMBIGUOUS: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|%2[fF]|%5[cC]|%3[bB]|%[01]|%7[fF]")
ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
UNRESERVED: Final = re.compile(rb"[A-Za-z0-9._~-]")
LITERAL: Final = "/!$&'()*+,=:@"
"""Besides letters, digits and ``_.-~``."""
ABSOLUTE: Final = re.compile(rb"http://([^/?#]*)(/[^#]*)?", re.IGNORECASE)
"""A query right behind the host is none: there are servers whose hosts reach to the next slash."""
AUTHORITY: Final = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def read_authority(text: bytes) -> str:
    """A host with or without a port, in lower case. Raises Refused."""
    if AUTHORITY.fullmatch(text) is None:
        raise Refused(f"{text[:80]!r} where a host should be")
    return text.decode().lower()


def read_target(method: str, target: bytes, host: str) -> str:
    """The path with its query, as rules see it. Raises Refused."""
    if target.startswith(b"/") and method != "CONNECT":
        return target.decode() if PLAIN.fullmatch(target) else _normal(target)
    if method == "CONNECT":
        _agree(read_authority(target), host)
        return ""
    if target == b"*" and method == "OPTIONS":
        return "*"
    absolute = ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refused(f"{target[:80]!r} where a path should be")
    _agree(read_authority(absolute[1]), host)
    return _normal(absolute[2] or b"/")


def _agree(named: str, host: str) -> None:
    if named != host:
        raise Refused(f"a target at {named[:80]!r} and a Host of {host[:80]!r}")


def _normal(target: bytes) -> str:
    path, mark, query = target.partition(b"?")
    if RAW.fullmatch(path) is None:
        raise Refused("a path with a character that servers read in different ways")
    if found := AMBIGUOUS.search(path):
        raise Refused(f"a path with {path[found.start() : found.start() + 5]!r}, which servers read in different ways")
    decoded = unquote_to_bytes(path)
    if ESCAPE.search(decoded):
        raise Refused("a path that is encoded twice")
    segments = decoded.split(b"/")[1:]
    if b"" in segments[:-1]:
        raise Refused("a path with an empty segment")
    if b"." in segments or b".." in segments:
        raise Refused("a path with a segment of dots")
    try:
        decoded.decode()
    except UnicodeDecodeError as error:
        raise Refused("a path that is not UTF-8") from error
    return quote_from_bytes(decoded, LITERAL) + (mark + _normal_query(query)).decode()


def _normal_query(query: bytes) -> bytes:
    """Escapes of characters that mean the same unescaped are taken off; nothing else can be known of a query."""
    if QUERY.fullmatch(query) is None:
        raise Refused("a query with a character that cannot stand there")
    return ESCAPE.sub(lambda found: _decoded(found[0]), query)


def _decoded(escape: bytes) -> bytes:
    character = unquote_to_bytes(escape)
    return character if UNRESERVED.fullmatch(character) else escape.upper()
