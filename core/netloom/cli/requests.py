"""Options that name what a client says over a connection, and its bytes as the agent's API takes them."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import click

from netloom.cli.errors import Unusable

_GRPC: Final = re.compile(r"/?([A-Za-z0-9_.]+)/([A-Za-z0-9_]+)")
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _HEADERS = 4, 1
_END_STREAM, _END_HEADERS = 1, 4
_RENAMED: Final = {"host": ":authority"}
_NAME_BYTES_MAX: Final = 126
"""That fit into one byte of a length of HPACK (RFC 7541, section 5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What the options say."""

    http: str | None
    grpc: str | None
    headers: tuple[str, ...]
    spoken: tuple[str, str] | None

    def said(self, host: str) -> dict[str, str] | None:
        """``protocol`` and ``data``, each character a byte of its number; None when nothing is asked.

        ``host``: who is asked, if no header says so. Raises Unusable for options that contradict each other, and for
        what is no request.
        """
        given = [one for one in (self.http, self.grpc, self.spoken) if one is not None]
        if len(given) > 1:
            raise Unusable("--http, --grpc and --l7 are different questions; ask one of them")
        if self.headers and (not given or self.spoken is not None):
            raise Unusable("--header belongs to a request; give one with --http or --grpc")
        if bad := next((one for one in self.headers if ":" not in one or not one.isprintable()), None):
            raise Unusable(f'"{bad[:60]}" is no header; expected NAME: VALUE')
        if self.spoken is not None:
            return {"protocol": self.spoken[0], "data": _unescaped(self.spoken[1])}
        if self.grpc is not None:
            return {"protocol": "http", "data": _call(self.grpc, self.headers, _host(host)).decode("latin-1")}
        if self.http is None:
            return None
        return {"protocol": "http", "data": _request(self.http, self.headers, _host(host))}


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, and call it with ``asking``."""

    @click.option("--http", metavar="'METHOD PATH'", help="Ask about an HTTP request besides, as 'GET /jobs/1'.")
    @click.option("--grpc", metavar="SERVICE/METHOD", help="Ask about a gRPC call, as jobs.Jobs/List.")
    @click.option(
        "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="With --http or --grpc; may be repeated."
    )
    @click.option(
        "--l7",
        "spoken",
        nargs=2,
        metavar="PROTOCOL BYTES",
        help="Ask about what a client says in another protocol, as memcached 'get a\\r\\n'; \\xNN is a byte.",
    )
    @functools.wraps(command)
    def with_asking(
        *arguments: Any,
        http: str | None,
        grpc: str | None,
        headers: tuple[str, ...],
        spoken: tuple[str, str] | None,
        **options: Any,
    ) -> Any:
        asking = Asking(http=http, grpc=grpc, headers=headers, spoken=spoken)
        return command(*arguments, asking=asking, **options)

    return with_asking


def _request(http: str, headers: Iterable[str], host: str) -> str:
    """Of HTTP/1.1."""
    method, _, path = http.partition(" ")
    if not method or not path or not path.isprintable() or " " in path:
        raise Unusable(f'"{http[:60]}" is no request; expected METHOD and PATH, as in --http "GET /jobs/1"')
    named = any(one.partition(":")[0].lower() == "host" for one in headers)
    lines = [f"{method} {path} HTTP/1.1", *([] if named else [f"Host: {host}"]), *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode().decode("latin-1")


def _call(grpc: str, headers: Iterable[str], host: str) -> bytes:
    """A connection of HTTP/2 that begins with one call, whose messages do not come."""
    found = _GRPC.fullmatch(grpc)
    if found is None:
        raise Unusable(f'"{grpc[:60]}" is no call; expected SERVICE/METHOD, as in --grpc jobs.Jobs/List')
    fields = {":method": "POST", ":scheme": "http", ":path": f"/{found[1]}/{found[2]}", ":authority": host}
    fields |= {"content-type": "application/grpc", "te": "trailers"}
    for name, _, value in (one.partition(":") for one in headers):
        fields[_RENAMED.get(name.lower(), name.lower())] = value.strip()
    block = b"".join(b"\0" + _word(name) + _word(value) for name, value in fields.items())
    return _PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_STREAM | _END_HEADERS, 1, block)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """As RFC 9113, section 4.1, has it."""
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def _word(text: str) -> bytes:
    """A name or value of a header that no table remembers (RFC 7541, section 6.2.2)."""
    raw = text.encode()
    if len(raw) > _NAME_BYTES_MAX:
        raise Unusable(f'"{text[:60]}..." is too long for a question, expected at most {_NAME_BYTES_MAX} bytes')
    return bytes([len(raw)]) + raw


def _host(end: str) -> str:
    """A name that may stand in a request, for an end that may be anything."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", end.rpartition("/")[2]) or "host"


def _unescaped(text: str) -> str:
    """Bytes, each as the character of its number. Raises Unusable."""
    try:
        found = text.encode().decode("unicode_escape")
        found.encode("latin-1")
    except UnicodeError:
        raise Unusable(f'"{text[:60]}" has an escape that is none; expected \\r, \\n, \\t, \\\\ or \\xNN') from None
    return found
