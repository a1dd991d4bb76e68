"""The agent's HTTP API on a unix socket. Handlers translate; what is shown is made in ``views``."""

from __future__ import annotations

import asyncio
import grp
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp import web

from netloom.agent import metrics, policy_views, views
from netloom.agent.cni import CniCalls
from netloom.agent.connection_api import ConnectionApi
from netloom.agent.endpoint_changes import read_patch
from netloom.agent.openapi import document
from netloom.agent.plugin_api import PluginApi
from netloom.agent.policy_api import PolicyApi
from netloom.agent.prefilter.request import Verb, read_change
from netloom.agent.route_api import RouteApi
from netloom.agent.streams import Streams
from netloom.agent.walk.walker import part_view, read_walk
from netloom.cni.frame import DEADLINE_HEADER, EXIT_STATUS_HEADER, MAX_FRAME_BYTES, TARGET
from netloom.model.endpoint import Endpoint
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

if TYPE_CHECKING:
    from netloom.agent.core import Agent

SOCKET_MODE = 0o660
MAX_BODY_BYTES = MAX_FRAME_BYTES + 1
"""No request is longer than a call of a runtime; one byte more, so that a config too long by a byte is told so."""

MAX_PREFILTER_BYTES = 64 << 20
"""Of a whole set of prefixes in one request, which is how it is all or nothing."""

_STATUS: tuple[tuple[type[NetloomError], int, str], ...] = (
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


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _error(status: int, kind: str, message: str, problems: tuple[Problem, ...] = ()) -> web.Response:
    more = {"problems": [views.plain(problem) for problem in problems]} if problems else {}
    return _json({"error": {"kind": kind, "message": message, **more}}, status)


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


class Api:
    """Serves one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._calls = CniCalls(agent)
        self._streams = Streams(lambda: agent.monitor)
        self._app = web.Application(middlewares=[errors_as_json], client_max_size=MAX_BODY_BYTES)
        self._app.add_routes(self._routes())
        self._runner = web.AppRunner(self._app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)

    async def start(self, socket: Path, group_id: int | None) -> None:
        """Listen; the socket is never, not even for a moment, open to others than root and the group."""
        await self._runner.setup()
        _remove(socket)
        old = os.umask(0o777 & ~SOCKET_MODE)
        try:
            await web.UnixSite(self._runner, str(socket)).start()
        finally:
            os.umask(old)
        if group_id is not None:
            os.chown(socket, -1, group_id)

    async def stop(self) -> None:
        """Let running requests end, then close."""
        await self._runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        reads: dict[str, Callable[[], Any]] = {
            "/v1/status": self._agent.status,
            "/v1/version": self._agent.version,
            "/v1/config": self._agent.loaded.rows,
            "/v1/endpoints": lambda: [self._endpoint_view(endpoint) for endpoint in self._agent.endpoints.all()],
            "/v1/identities": self._agent.identity_list,
            "/v1/nodes": self._agent.node_list,
            "/v1/maps": self._agent.map_list,
            "/v1/counters": self._agent.counters,
            "/v1/openapi.json": document,
        }
        return [
            *(web.get(path, _reader(read)) for path, read in reads.items()),
            web.get("/v1/endpoints/{id}", self._endpoint),
            web.patch("/v1/endpoints/{id}", self._change_endpoint),
            web.get("/v1/maps/{name}", self._map),
            web.get("/v1/monitor", self._streams.monitor),
            web.get("/v1/flows", self._streams.flows),
            web.post(TARGET, self._call),
            web.delete("/v1/nodes/{name}", self._forget_node),
            web.post("/v1/walk", self._walk),
            web.get("/v1/prefilter", self._prefilter),
            *(web.route(verb.value, "/v1/prefilter", self._change_prefilter) for verb in Verb),
            *PolicyApi(self._agent).routes(),
            *ConnectionApi(self._agent).routes(),
            *PluginApi(self._agent).routes(),
            *RouteApi(self._agent).routes(),
            web.get("/metrics", self._metrics),
        ]

    async def _endpoint(self, request: web.Request) -> web.Response:
        return _json(self._endpoint_view(self._agent.endpoints.get(_endpoint_number(request))))

    async def _change_endpoint(self, request: web.Request) -> web.Response:
        self._agent.require_ready()
        number, patch = _endpoint_number(request), read_patch(await request.read())
        return _json(self._endpoint_view(await asyncio.shield(self._agent.endpoints.change(number, patch))))

    def _endpoint_view(self, endpoint: Endpoint) -> views.Json:
        policy = policy_views.enforcement(self._agent.policies, endpoint.identity)
        return {**views.endpoint_view(endpoint), "policy": policy}

    async def _map(self, request: web.Request) -> web.Response:
        return _json(self._agent.map_dump(request.match_info["name"]))

    async def _call(self, request: web.Request) -> web.Response:
        # A runtime that loses patience must not leave half an attachment: what was begun is finished, or undone.
        deadline = request.headers.get(DEADLINE_HEADER, "")
        answer = await asyncio.shield(self._calls.answer(await request.read(), deadline))
        headers = {EXIT_STATUS_HEADER: str(answer.exit_status)}
        return web.Response(body=answer.output, headers=headers, content_type="application/json")

    async def _walk(self, request: web.Request) -> web.Response:
        self._agent.require_ready()
        walked = await asyncio.shield(self._agent.walker.walk(read_walk(await request.read())))
        return _json(part_view(walked))

    async def _prefilter(self, request: web.Request) -> web.Response:
        del request
        return _json(await self._agent.prefilter.view())

    async def _change_prefilter(self, request: web.Request) -> web.Response:
        change = read_change(request.method, await _read_body(request, MAX_PREFILTER_BYTES))
        return _json(await asyncio.shield(self._agent.prefilter.change(change)))

    async def _forget_node(self, request: web.Request) -> web.Response:
        return _json({"removed": await self._agent.forget_node(request.match_info["name"])})

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        await self._agent.refresh_pools()
        return web.Response(
            body=metrics.render(self._agent.metrics_snapshot, await self._agent.plugins.samples()),
            headers={"Content-Type": metrics.CONTENT_TYPE},
        )


async def _read_body(request: web.Request, most: int) -> bytes:
    """A body that may be longer than the application's own limit."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=len(body))
    return bytes(body)


def _endpoint_number(request: web.Request) -> int:
    text = request.match_info["id"]
    if not text.isdigit():
        raise Invalid(f'endpoint "{text[:40]}" is not a number; see `netctl endpoint list`')
    return int(text[:9])


def _reader(read: Callable[[], Any]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        del request
        result = read()
        return _json(await result if asyncio.iscoroutine(result) else result)

    return handle


def _remove(socket: Path) -> None:
    """What an agent that was killed left; the node's lock proves that nobody uses it."""
    socket.unlink(missing_ok=True)


def group_id(name: str) -> int | None:
    """Number of the group that ``api.group`` names; None when it names none. Raises Invalid."""
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise Invalid(f'api.group "{name}" is no group of this host; create it or choose another') from error
