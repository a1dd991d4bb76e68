"""What the parts of the HTTP API share: how they read queries and bodies, and how they answer, errors included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, TypeVar

import msgspec
import structlog
from aiohttp import web

from netloom.agent import views
from netloom.agent.decoding import decoded
from netloom.model.errors import (
    ConfigError,
    Conflict,
    Exhausted,
    Invalid,
    NetloomError,
    NotFound,
    Problem,
    StoreError,
    Unavailable,
    Unsupported,
)

ROWS_AT_ONCE: Final = 100
"""Rows of a large answer that are encoded before others get their turn: well below a millisecond's work."""
_MAX_DIGITS: Final = 18
"""Of a number in a request: what follows may count on 64 bits."""
_STATUS: Final[tuple[tuple[type[NetloomError], int, str], ...]] = (
    (Invalid, 400, "invalid"),
    (ConfigError, 400, "invalid"),
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (Exhausted, 507, "exhausted"),
    (Unavailable, 503, "unavailable"),
    (StoreError, 503, "unavailable"),
    (Unsupported, 501, "unsupported"),
    (NetloomError, 500, "internal"),
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
S = TypeVar("S")


def answer(value: object, status: int = 200) -> web.Response:
    """JSON of what has few rows."""
    return _response(_encoded(value), status)


async def large_answer(value: object) -> web.Response:
    """JSON of what may have many rows, as a list or as an item of a mapping.

    The encoder holds the interpreter's lock in whatever thread it runs, so rows are encoded some at a time, and the
    event loop goes on in between.
    """
    body = bytearray()
    for part in parts(value):
        body += part
        await asyncio.sleep(0)
    return _response(body)


def parts(value: object) -> Iterator[bytes]:
    """JSON of a value as it is now, in parts of no more than :data:`ROWS_AT_ONCE` rows.

    Lists and mappings are copied, not their rows: their owner, a plugin say, may go on changing them.
    """
    if not isinstance(value, Mapping):
        yield from _rows(value)
        return
    before = b"{"
    for name, item in tuple(value.items()):
        before += _encoded(name) + b":"
        for part in _rows(item):
            yield before + part
            before = b""
        before = b","
    yield b"}" if value else b"{}"


def _rows(value: object) -> Iterator[bytes]:
    if not isinstance(value, (list, tuple)) or len(value) <= ROWS_AT_ONCE:
        yield _encoded(value)
        return
    rows = tuple(value)
    before = b"["
    for first in range(0, len(rows), ROWS_AT_ONCE):
        yield before + _encoded(rows[first : first + ROWS_AT_ONCE])[1:-1]
        before = b","
    yield b"]"


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: object) -> object:
    """What the encoder knows in the place of what it does not: of types that plugins may answer with, too."""
    if isinstance(value, (IPv4Address, IPv6Address)):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    raise NotImplementedError(f"{type(value).__name__} has no place in an answer")


def _response(body: bytes | bytearray, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is ``{"error": {"kind", "message"}}`` with a status that fits; of files, with all ``problems``."""
    try:
        return await handler(request)
    except NetloomError as error:
        status, kind = next((status, kind) for cls, status, kind in _STATUS if isinstance(error, cls))
        if status >= 500:
            structlog.get_logger().error("api.failed", path=request.path, error=str(error))
        return _error(status, kind, str(error), error.problems if isinstance(error, ConfigError) else ())
    except web.HTTPException as error:
        kind = "not_found" if error.status == 404 else "invalid"
        return _error(error.status, kind, f"{request.method} {request.path}: {error.reason}; see /v1/openapi.json")


def _error(status: int, kind: str, message: str, problems: tuple[Problem, ...] = ()) -> web.Response:
    more = {"problems": [views.plain(problem) for problem in problems]} if problems else {}
    return answer({"error": {"kind": kind, "message": message, **more}}, status)


async def read_bytes(request: web.Request, most: int) -> bytes:
    """A body of up to ``most`` bytes, which may be more than the application's own limit."""
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > most:
            raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=len(raw))
    return bytes(raw)


async def read_body(request: web.Request, shape: type[S], most: int) -> S:
    """A body of up to ``most`` bytes, checked. Raises Invalid."""
    return decoded(await read_bytes(request, most), shape, f"the body of {request.method} {request.path}")


def refuse_others(query: Mapping[str, Any], known: Collection[str], of: str) -> None:
    """Raises Invalid when a query has a name besides those that are known; ``of``: what they narrow."""
    if unknown := query.keys() - known:
        raise Invalid(f'"{min(unknown)[:60]}" is no condition of {of}; expected {", ".join(known)}')


def read_number(name: str, text: str, hint: str = "") -> int:
    """A number that is not negative. Raises Invalid, with ``hint`` as what to do."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise Invalid(f'{name} "{text[:40]}" is no number{hint and "; "}{hint}')
    return int(text)


def read_truth(name: str, text: str) -> bool:
    """``true`` or ``false``. Raises Invalid for anything else."""
    if text not in ("true", "false"):
        raise Invalid(f'{name} "{text[:40]}" is neither true nor false')
    return text == "true"
