"""``/v1/routes``: every route of ours in the node's main table, whoever wants it, and those that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from aiohttp import web

from netloom.agent import views
from netloom.agent.answers import ROWS_AT_ONCE, large_answer, read_number, read_truth, refuse_others
from netloom.agent.learned import WRITTEN, LearnedRoutes
from netloom.agent.tables import Tables
from netloom.plan.learned import Key, addresses_of, in_order, prefix_of

if TYPE_CHECKING:
    from netloom.agent.core import Agent

MOST: Final = 10_000
"""Routes in an answer unless more are asked for."""


class RouteApi:
    """Serves one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [web.get("/v1/routes", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        refuse_others(request.query, ("learned", "limit"), "routes")
        most = read_number("limit", request.query.get("limit", str(MOST)))
        only_learned = read_truth("learned", request.query.get("learned", "false"))
        learned = self._agent.routing.learned
        own = [] if only_learned else list(own_routes(self._agent.tables))
        keys = await asyncio.to_thread(in_order, learned.keys())
        shown = [*own[:most], *await learned_routes(learned, keys[: max(0, most - len(own))])]
        return await large_answer(
            {"matching": len(own) + len(keys), "routes": shown, "learned": learned.counts()},
        )


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


async def learned_routes(learned: LearnedRoutes, keys: Sequence[Key]) -> list[views.Json]:
    """Those of routers that are still there, in turns with whatever else the event loop has to do."""
    rows = []
    for number, key in enumerate(keys, 1):
        if found := learned.route(key):
            router, hops, state = found
            via = [str(hop) for hop in addresses_of(hops)]
            rows.append(
                {"prefix": str(prefix_of(key)), "via": via, "device": "", "origin": router, "state": state},
            )
        if number % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return rows
