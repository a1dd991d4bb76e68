"""The two streams of the API, ``/v1/monitor`` and ``/v1/flows``: JSON objects, one a line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from netloom.agent.answers import read_number
from netloom.agent.flow_log import Item, Loss, RequestRecord, Seen
from netloom.agent.flow_views import flow_view, loss_view, monitor_view
from netloom.agent.monitor import Monitor
from netloom.datapath.events import as_verdict
from netloom.datapath.flow_filter import FlowFilter, read_filter
from netloom.model.errors import Invalid
from netloom.model.flow import FlowKind

MEDIA = "application/x-ndjson"
AT_ONCE = 256
"""Records looked at before others get their turn on the event loop."""
_ASKED = ("last", "since", "follow")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowQuery:
    """What ``/v1/flows`` was asked for."""

    filter: FlowFilter
    last: int | None
    """Most flows of the past; None: all that are kept."""
    since_ns: int
    """Wall clock; flows read before are left out."""
    follow: bool


def read_query(asked: Iterable[tuple[str, str]], now_ns: int) -> FlowQuery:
    """Read the parameters of a request. Raises Invalid."""
    asked = tuple(asked)
    words = dict(asked)
    last, since = words.get("last", ""), words.get("since", "")
    try:
        age_s = float(since or "inf")
    except ValueError:
        age_s = -1.0
    if not age_s >= 0:
        raise Invalid(f'since "{since[:40]}" is not a number of seconds')
    return FlowQuery(
        filter=read_filter((name, text) for name, text in asked if name not in _ASKED),
        last=read_number("last", last) if last else None,
        since_ns=0 if age_s * 1e9 > now_ns else now_ns - int(age_s * 1e9),
        follow=words.get("follow", "") in ("1", "true"),
    )


class Streams:
    """Serves both, from one monitor."""

    def __init__(self, monitor: Callable[[], Monitor]) -> None:
        self._monitor = monitor

    async def monitor(self, request: web.Request) -> web.StreamResponse:
        """Everything of the kinds asked for, as it happens, until the client leaves."""
        types = request.query.get("type") or ",".join(FlowKind)
        kinds = read_filter([("type", types)]).kinds
        response = _response()
        with self._monitor().listen(kinds) as listener, suppress(ConnectionResetError):  # the client has left
            await response.prepare(request)
            while True:
                items = await listener.next()
                await _write(response, (view for item in items for view in _monitor_views(item, kinds)))
        return response

    async def flows(self, request: web.Request) -> web.StreamResponse:
        """What is kept and wanted, and, if asked to follow, what comes then."""
        query = read_query(request.query.items(), time.time_ns())
        monitor = self._monitor()
        await monitor.note_losses()
        response = _response()
        with suppress(ConnectionResetError):
            if not query.follow:
                await _write_past(request, response, query, monitor.log.items())
                return response
            # Listening begins with the log as it is now: nothing is missed between the two, nothing comes twice.
            with monitor.listen(query.filter.kinds) as listener:
                await _write_past(request, response, query, monitor.log.items())
                while True:
                    await _write(response, _flow_views(await listener.next(), query.filter))
        return response


def _response() -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": MEDIA})
    response.enable_chunked_encoding()
    return response


def _monitor_views(item: Item, kinds: frozenset[FlowKind]) -> Iterator[dict[str, Any]]:
    """A denial is told as the verdict it is, and as a drop, to who wants both."""
    if isinstance(item, Loss):
        yield loss_view(item)
        return
    flow = item.flow()
    verdict = as_verdict(flow)
    if verdict is not None and FlowKind.VERDICT in kinds:
        yield monitor_view(verdict)
    if flow.kind in kinds:
        yield monitor_view(flow)


def _may_want(wanted: FlowFilter, item: Seen) -> bool:
    """Looked at before it is decoded, where that costs something."""
    return isinstance(item, RequestRecord) or wanted.may_want(item.raw)


def _flow_views(items: Iterable[Item], wanted: FlowFilter) -> Iterator[dict[str, Any]]:
    for item in items:
        if isinstance(item, Loss):
            yield loss_view(item)
        elif _may_want(wanted, item) and wanted.wants(flow := item.flow()):
            yield flow_view(flow)


async def _write_past(
    request: web.Request, response: web.StreamResponse, query: FlowQuery, items: tuple[Item, ...]
) -> None:
    """The flows of the log that are wanted, oldest first, with the losses among them."""
    chosen = [item async for item in _choose(query, items)]
    await response.prepare(request)
    while chosen:
        part, chosen = chosen[-AT_ONCE:], chosen[:-AT_ONCE]
        await _write(
            response, (loss_view(one) if isinstance(one, Loss) else flow_view(one.flow()) for one in part[::-1])
        )


async def _choose(query: FlowQuery, items: tuple[Item, ...]) -> AsyncIterator[Item]:
    """Newest first, because it is the last ones that are asked for."""
    left = len(items) if query.last is None else query.last
    for number, item in enumerate(reversed(items), 1):
        if item.at_ns < query.since_ns or not left:
            return
        if isinstance(item, Loss):
            yield item
        elif _may_want(query.filter, item) and query.filter.wants(item.flow()):
            left -= 1
            yield item
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)


async def _write(response: web.StreamResponse, views: Iterable[dict[str, Any]]) -> None:
    """A line for each."""
    lines = [msgspec.json.encode(view) for view in views]
    if lines:
        await response.write(b"\n".join(lines) + b"\n")
    await asyncio.sleep(0)
