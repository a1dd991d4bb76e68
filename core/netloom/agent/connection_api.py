"""``/v1/connections``: which there are, and to forget them. Handlers translate; queries are checked here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web
from multidict import MultiMapping

from netloom.model.address import Address
from netloom.model.connection import Connection
from netloom.model.errors import Invalid

if TYPE_CHECKING:
    from netloom.agent.core import Agent

MOST: Final = 10_000
"""Connections in an answer unless more are asked for."""
_CONDITIONS: Final = ("address", "port", "protocol")
_MAX_DIGITS: Final = 9


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
        most = _number("limit", request.query.get("limit", str(MOST)))
        found, total = await self._agent.connections.select(conditions.hold, most)
        return await _json({"matching": total, "connections": found})

    async def _forget(self, request: web.Request) -> web.Response:
        conditions = read_conditions(request.query)
        wanted = conditions.hold if conditions else None
        return await _json({"forgotten": await asyncio.shield(self._agent.connections.forget(wanted))})


def read_conditions(query: MultiMapping[str], also: tuple[str, ...] = ()) -> Conditions:
    """Conditions of a request's query; raises Invalid for others, or what they cannot be."""
    if unknown := query.keys() - {*_CONDITIONS, *also}:
        expected = ", ".join((*_CONDITIONS, *also))
        raise Invalid(f'"{min(unknown)[:60]}" is no condition of connections; expected {expected}')
    return Conditions(
        frozenset(map(_address, query.getall("address", []))),
        frozenset(_number("port", text) for text in query.getall("port", [])),
        frozenset(_number("protocol", text) for text in query.getall("protocol", [])),
    )


async def _json(value: object) -> web.Response:
    """In a thread: ten thousand connections take a tenth of a second to write."""
    body = await asyncio.to_thread(msgspec.json.encode, value, enc_hook=str)
    return web.Response(body=body, content_type="application/json")


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise Invalid(f'address "{text[:60]}" is no IP address') from None


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise Invalid(f'{name} "{text[:40]}" is no number')
    return int(text)
