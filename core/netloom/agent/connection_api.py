"""``/v1/connections``: which there are, and to forget them. Handlers translate; queries are checked here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import web
from multidict import MultiMapping

from netloom.agent.answers import answer, large_answer, read_number, refuse_others
from netloom.model.address import Address
from netloom.model.connection import Connection
from netloom.model.errors import Invalid

if TYPE_CHECKING:
    from netloom.agent.core import Agent

MOST: Final = 10_000
"""Connections in an answer unless more are asked for."""
_CONDITIONS: Final = ("address", "port", "protocol")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What narrows an answer: of each kind one that fits, where any are named."""

    addresses: frozenset[Address]
    ports: frozenset[int]
    protocols: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.addresses or self.ports or self.protocols)

    def hold(self, one: Connection) -> bool:
        """Whether a connection fits: by whichever of its ends."""
        return (
            (not self.addresses or one.source in self.addresses or one.destination in self.addresses)
            and (not self.ports or one.source_port in self.ports or one.destination_port in self.ports)
            and (not self.protocols or one.protocol in self.protocols)
        )


class ConnectionApi:
    """Serves one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def routes(self) -> list[web.RouteDef]:
        """All below ``/v1/connections``."""
        return [web.get("/v1/connections", self._list), web.delete("/v1/connections", self._forget)]

    async def _list(self, request: web.Request) -> web.Response:
        conditions = read_conditions(request.query, also=("limit",))
        most = read_number("limit", request.query.get("limit", str(MOST)))
        found, total = await self._agent.connections.select(conditions.hold, most)
        return await large_answer({"matching": total, "connections": found})

    async def _forget(self, request: web.Request) -> web.Response:
        conditions = read_conditions(request.query)
        wanted = conditions.hold if conditions else None
        return answer({"forgotten": await asyncio.shield(self._agent.connections.forget(wanted))})


def read_conditions(query: MultiMapping[str], also: tuple[str, ...] = ()) -> Conditions:
    """Conditions of a request's query; raises Invalid for others, or what they cannot be."""
    refuse_others(query, (*_CONDITIONS, *also), "connections")
    return Conditions(
        frozenset(map(_address, query.getall("address", []))),
        frozenset(read_number("port", text) for text in query.getall("port", [])),
        frozenset(read_number("protocol", text) for text in query.getall("protocol", [])),
    )


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise Invalid(f'address "{text[:60]}" is no IP address') from None
