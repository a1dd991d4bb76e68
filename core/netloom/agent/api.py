"""The agent's HTTP API on a unix socket. Handlers translate; what is shown is made in ``views``."""

from __future__ import annotations

import asyncio
import grp
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from netloom.agent import metrics, policy_views, views
from netloom.agent.answers import Handler, answer, errors_as_json, large_answer, read_bytes, read_number
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
from netloom.model.errors import Invalid

if TYPE_CHECKING:
    from netloom.agent.core import Agent

SOCKET_MODE = 0o660
MAX_BODY_BYTES = MAX_FRAME_BYTES + 1
"""No request is longer than a call of a runtime; one byte more, so that a config too long by a byte is told so."""

MAX_PREFILTER_BYTES = 64 << 20
"""Of a whole set of prefixes in one request, which is how it is all or nothing."""


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
        return answer(self._endpoint_view(self._agent.endpoints.get(_endpoint_number(request))))

    async def _change_endpoint(self, request: web.Request) -> web.Response:
        self._agent.require_ready()
        endpoint, patch = _endpoint_number(request), read_patch(await request.read())
        return answer(self._endpoint_view(await asyncio.shield(self._agent.endpoints.change(endpoint, patch))))

    def _endpoint_view(self, endpoint: Endpoint) -> views.Json:
        policy = policy_views.enforcement(self._agent.policies, endpoint.identity)
        return {**views.endpoint_view(endpoint), "policy": policy}

    async def _map(self, request: web.Request) -> web.Response:
        return await large_answer(self._agent.map_dump(request.match_info["name"]))

    async def _call(self, request: web.Request) -> web.Response:
        # A runtime that loses patience must not leave half an attachment: what was begun is finished, or undone.
        deadline = request.headers.get(DEADLINE_HEADER, "")
        done = await asyncio.shield(self._calls.answer(await request.read(), deadline))
        headers = {EXIT_STATUS_HEADER: str(done.exit_status)}
        return web.Response(body=done.output, headers=headers, content_type="application/json")

    async def _walk(self, request: web.Request) -> web.Response:
        self._agent.require_ready()
        walked = await asyncio.shield(self._agent.walker.walk(read_walk(await request.read())))
        return answer(part_view(walked))

    async def _prefilter(self, request: web.Request) -> web.Response:
        del request
        return await large_answer(await self._agent.prefilter.view())

    async def _change_prefilter(self, request: web.Request) -> web.Response:
        change = read_change(request.method, await read_bytes(request, MAX_PREFILTER_BYTES))
        return answer(await asyncio.shield(self._agent.prefilter.change(change)))

    async def _forget_node(self, request: web.Request) -> web.Response:
        return answer({"removed": await self._agent.forget_node(request.match_info["name"])})

    async def _metrics(self, request: web.Request) -> web.Response:
        del request
        await self._agent.refresh_pools()
        return web.Response(
            body=metrics.render(self._agent.metrics_snapshot, await self._agent.plugins.samples()),
            headers={"Content-Type": metrics.CONTENT_TYPE},
        )


def _endpoint_number(request: web.Request) -> int:
    return read_number("endpoint", request.match_info["id"], "see `netctl endpoint list`")


def _reader(read: Callable[[], Any]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        del request
        result = read()
        return await large_answer(await result if asyncio.iscoroutine(result) else result)

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
