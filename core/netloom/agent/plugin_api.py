"""The part of the API about plugins: which there are, and what people may ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from netloom.agent import views
from netloom.agent.answers import answer, large_answer
from netloom.model.errors import NotFound

if TYPE_CHECKING:
    from netloom.agent.core import Agent


class PluginApi:
    """Serves one agent's plugins."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get("/v1/plugins", self._list),
            web.get("/v1/plugins/{plugin}/{query}", self._ask),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        del request
        return answer([views.plain(record) for record in self._agent.plugins.records()])

    async def _ask(self, request: web.Request) -> web.Response:
        name, wanted = request.match_info["plugin"], request.match_info["query"]
        active = self._agent.plugins.queries
        if name not in active:
            raise NotFound(self._why_not(name))
        for query in active[name]:
            if query.name == wanted:
                return await large_answer(await query.answer(request.query.items()))
        known = ", ".join(query.name for query in active[name]) or "none"
        raise NotFound(f'plugin "{name}" has no query "{wanted[:40]}", it has: {known}')

    def _why_not(self, name: str) -> str:
        records = {record.name: record for record in self._agent.plugins.records()}
        if name not in records:
            return f'plugin "{name[:40]}" is not installed, these are: {", ".join(records)}'
        record = records[name]
        reason = f"{record.state}: {record.error}" if record.error else record.state
        return f'plugin "{name}" is not active on this node ({reason}); see `netctl plugins list`'
