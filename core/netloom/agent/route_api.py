"""``/v1/routes``: every route of ours in the node's main table, whoever wants it, and those that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from netloom.agent import views
from netloom.agent.learned import Row
from netloom.agent.tables import Tables
from netloom.model.errors import Invalid
from netloom.plan.learned import addresses_of, in_order, prefix_of

if TYPE_CHECKING:
    from netloom.agent.core import Agent

MOST: Final = 10_000
"""Routes in an answer unless more are asked for."""
_MAX_DIGITS: Final = 9
WRITTEN: Final = "written"


class RouteApi:
    """Serves one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [web.get("/v1/routes", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        if unknown := request.query.keys() - {"learned", "limit"}:
            raise Invalid(f'"{min(unknown)[:40]}" is no condition of routes; expected learned, limit')
        most = _number(request.query.get("limit", str(MOST)))
        only_learned = _truth(request.query.get("learned", "false"))
        learned = self._agent.routing.learned
        own = [] if only_learned else list(own_routes(self._agent.tables))
        body = await asyncio.to_thread(routes_answer, own, learned.routes(), learned.counts(), most)
        return web.Response(body=body, content_type="application/json")


def routes_answer(own: list[views.Json], learned: Iterable[Row], counts: dict[str, int], most: int) -> bytes:
    """As JSON. Takes as long as there are many routes: for a thread."""
    rows = {row.key: row for row in learned}
    shown = islice(in_order(rows), max(0, most - len(own)))
    answer = {
        "matching": len(own) + len(rows),
        "routes": [*own[:most], *(_learned_route(rows[key]) for key in shown)],
        "learned": counts,
    }
    return msgspec.json.encode(answer)


def own_routes(tables: Tables) -> Iterator[views.Json]:
    """Those of the agent and of the network mode."""
    for prefix, spec, owner, error in sorted(tables.wanted("routes"), key=lambda row: (row[0].version, row[0])):
        hops = (*((spec.via,) if spec.via else ()), *spec.more)
        yield {
            "prefix": str(prefix),
            "via": [str(hop) for hop in hops],
            "device": spec.device,
            "origin": owner,
            "state": error or WRITTEN,
        }


def _learned_route(row: Row) -> views.Json:
    return {
        "prefix": str(prefix_of(row.key)),
        "via": [str(hop) for hop in addresses_of(row.hops)],
        "device": "",
        "origin": row.router,
        "state": row.state,
    }


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise Invalid(f'limit "{text[:40]}" is no number')
    return int(text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise Invalid(f'learned "{text[:40]}" is neither true nor false')
    return text == "true"
