"""An HTTP server on a unix socket that answers as an agent would, from a table of recorded answers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from aiohttp import web

from netloom.cni.frame import EXIT_STATUS_HEADER, MAX_FRAME_BYTES, TARGET, unpack
from support.answers import ANSWERS

ACCEPT_STEPS = 8
"""Turns of the event loop, more than enough, until a connection just accepted is one that cleaning up closes."""


class RecordedAgent:
    """Serves until :meth:`close`, in a thread of its own."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.answers: dict[tuple[str, str], Any] = dict(ANSWERS)
        self.failures: dict[tuple[str, str], tuple[int, str, str]] = {}
        """Status, kind and message of requests that fail."""
        self.raw: dict[str, bytes] = {}
        """Bodies, by path, that are sent as they are."""
        self.events: list[bytes] = []
        """Lines of ``/v1/monitor`` and ``/v1/flows``."""
        self.refused_stream: tuple[int, str, str] | None = None
        """Status, kind and message with which streams are refused."""
        self.pause_s = 0.0
        """How long the monitor is silent before its first line."""
        self.endless = False
        """Whether the monitor's stream stays open after its last line."""
        self.requests: list[tuple[str, str, Any]] = []
        """Method, path with query, and decoded body of what was asked."""
        self.calls: list[tuple[dict[str, str], bytes]] = []
        """CNI calls: environment and standard input."""
        self.ending = (0, b"{}\n")
        """Exit status and output with which CNI calls are answered."""
        self.refusal: tuple[int, bytes] | None = None
        """HTTP status and body with which they are answered instead."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def close(self) -> None:
        """End, with whatever is still being answered; no error the second time."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application(client_max_size=MAX_FRAME_BYTES)
        app.add_routes(
            [
                web.post(TARGET, self._call),
                web.get("/v1/monitor", self._monitor),
                web.get("/v1/flows", self._monitor),
                web.route("*", "/{path:.*}", self._answer),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.UnixSite(runner, str(self.socket)).start()
        return runner

    async def _stop(self) -> None:
        for _ in range(ACCEPT_STEPS):
            await asyncio.sleep(0)
        await self._runner.cleanup()

    async def _call(self, request: web.Request) -> web.Response:
        if self.refusal:
            return web.Response(status=self.refusal[0], body=self.refusal[1])
        self.calls.append(unpack(await request.read()))
        status, output = self.ending
        return web.Response(body=output, headers={EXIT_STATUS_HEADER: str(status)})

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.requests.append((request.method, request.path_qs, body))
        key = (request.method, request.path)
        status = self.failures[key][0] if key in self.failures else 200
        if request.path in self.raw:
            return web.Response(body=self.raw[request.path], status=status)
        if key in self.failures:
            status, kind, message = self.failures[key]
            return web.json_response({"error": {"kind": kind, "message": message}}, status=status)
        if key not in self.answers:
            message = f"{request.path} does not exist"
            return web.json_response({"error": {"kind": "not_found", "message": message}}, status=404)
        return web.json_response(self.answers[key], status=201 if request.method == "PUT" else 200)

    async def _monitor(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, None))
        if self.refused_stream:
            status, kind, message = self.refused_stream
            return web.json_response({"error": {"kind": kind, "message": message}}, status=status)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await asyncio.sleep(self.pause_s)
        for line in self.events:
            await response.write(line + b"\n")
        if self.endless:
            await asyncio.Event().wait()
        return response
