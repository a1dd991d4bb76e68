"""Requests of HTTP/2 from their header fields, as strictly as those of HTTP/1.1. Pure."""

from __future__ import annotations

import re
from typing import Final

from netloom_l7_http.edits import Action, Edit
from netloom_l7_http.hpack import Field
from netloom_l7_http.request import BODILESS, METHODS, HttpRequest, Refused, make
from netloom_l7_http.target import read_authority, read_target

NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE: Final = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,17}")
PSEUDO: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"}
)
ONCE: Final = frozenset({"host", "content-length", "expect"})
FIELDS_MAX: Final = 128


def read_fields(fields: list[Field], *, ends: bool) -> HttpRequest:
    """A request; ``ends``: no body follows. Raises Refused."""
    count = next((number for number, (name, _) in enumerate(fields) if not name.startswith(b":")), len(fields))
    pseudo, rest = dict(fields[:count]), fields[count:]
    if len(pseudo) != count or not PSEUDO.issuperset(pseudo) or len(fields) > FIELDS_MAX:
        raise Refused("pseudo-headers twice, out of place or unknown, or too many headers")
    method = pseudo.get(b":method", b"").decode("latin-1")
    if method not in METHODS or method == "CONNECT":
        raise Refused(f"a method {method[:20]!r}")
    if pseudo.get(b":scheme") not in {b"http", b"https"}:
        raise Refused("a scheme that is not of HTTP")
    if not ends and method in BODILESS:
        raise Refused(f"{method} with a body, which some servers take for the next request")
    headers = joined(rest)
    authority = pseudo.get(b":authority", headers.get("host", "").encode("latin-1"))
    host = read_authority(authority)
    if headers.setdefault("host", host).lower() != host:
        raise Refused("a Host that is not the authority")
    if (length := headers.get("content-length")) is not None and LENGTH.fullmatch(length.encode("latin-1")) is None:
        raise Refused(f"a Content-Length of {length[:40]!r}")
    return make(method, _path(method, pseudo.get(b":path", b""), host), host, headers)


def _path(method: str, path: bytes, host: str) -> str:
    if not path.startswith(b"/") and path != b"*":
        raise Refused(f"{path[:80]!r} where a path should be")
    return read_target(method, path, host)


def joined(fields: list[Field]) -> dict[str, str]:
    """By normal name. Raises Refused for what HTTP/2 does not have, or HTTP/1.1 would read as something else."""
    headers: dict[str, str] = {}
    for raw, value in fields:
        if NAME.fullmatch(raw) is None or VALUE.fullmatch(value) is None:
            raise Refused(f"a header {raw[:40]!r} that is none")
        spelt = raw.decode()
        name, text = spelt.replace("_", "-"), value.decode("latin-1")
        if name in HOP_BY_HOP or (name == "te" and text != "trailers"):
            raise Refused(f"a header {spelt!r}, which HTTP/2 does not have")
        if name in ONCE and (name in headers or name != spelt):
            raise Refused(f"{name} twice or misspelt")
        glue = "; " if name == "cookie" else ","
        headers[name] = f"{headers[name]}{glue}{text}" if name in headers else text
    return headers


def edited_fields(fields: list[Field], edits: list[Edit]) -> list[Field]:
    """Fields after edits, in turn."""
    for edit in edits:
        name, value = edit.name.lower().encode(), edit.value.encode("latin-1")
        normal = name.replace(b"_", b"-")
        if edit.action is Action.DELETE:
            fields = [one for one in fields if one[0].replace(b"_", b"-") != normal or one[1] == value]
        elif edit.action is Action.REPLACE:
            fields = [one for one in fields if one[0].replace(b"_", b"-") != normal]
        if edit.action in {Action.ADD, Action.REPLACE}:
            fields = [*fields, (name, value)]
    return fields
