"""Routers: announced to once, learnt from at every resync, and isolated from each other."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from netloom.agent.routing import Routing
from netloom.agent.tables import Tables
from netloom.model.address import Network
from netloom.model.errors import PluginError
from netloom.model.node import Node
from netloom.plugins.contract import LearnedRoute
from support.tables import MemoryTable

NODE = Node(
    name="n1",
    underlay_ipv4=IPv4Address("192.0.2.1"),
    underlay_ipv6=None,
    pod_cidrs=(IPv4Network("10.1.0.0/24"),),
    gateways=(),
    mode="vxlan",
)
FIRST, SECOND = IPv4Network("10.9.0.0/24"), IPv4Network("10.8.0.0/24")
NEIGHBOUR = IPv4Address("192.0.2.9")


class Static:
    """A router that knows one prefix, and can be made to fail."""

    def __init__(self, prefix: Network) -> None:
        self.announcements: list[tuple[Network, ...]] = []
        self.fails = False
        self._prefix = prefix

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        if self.fails:
            raise PluginError("static", "is out of order")
        self.announcements.append(prefixes)

    async def learned(self) -> tuple[LearnedRoute, ...]:
        if self.fails:
            raise PluginError("static", "is out of order")
        return (LearnedRoute(prefix=self._prefix, via=NEIGHBOUR),)


async def refresh(routing: Routing, tables: Tables) -> None:
    await routing.refresh()
    await tables.resync()


async def test_learnt_routes_lead_out_of_the_underlay_device() -> None:
    """By way of the neighbour that announced them."""
    routes = MemoryTable()
    tables = Tables({"routes": routes})
    await refresh(Routing([Static(FIRST)], tables, NODE, "eth0"), tables)
    route = routes.entries[FIRST]
    assert (route.device, route.via) == ("eth0", NEIGHBOUR)


async def test_prefixes_are_announced_once() -> None:
    """Not at every resync."""
    router, tables = Static(FIRST), Tables({"routes": MemoryTable()})
    routing = Routing([router], tables, NODE, "eth0")
    await refresh(routing, tables)
    await refresh(routing, tables)
    assert router.announcements == [NODE.pod_cidrs]


async def test_a_router_that_fails_harms_no_other() -> None:
    """And is announced to when it works again."""
    bad, good, routes = Static(FIRST), Static(SECOND), MemoryTable()
    tables = Tables({"routes": routes})
    routing = Routing([bad, good], tables, NODE, "eth0")
    bad.fails = True
    await refresh(routing, tables)
    assert set(routes.entries) == {SECOND}
    bad.fails = False
    await refresh(routing, tables)
    assert set(routes.entries) == {FIRST, SECOND}
    assert bad.announcements == [NODE.pod_cidrs]


async def test_a_router_that_fails_later_keeps_its_routes() -> None:
    """Routes do not come and go with a plugin's health."""
    router, routes = Static(FIRST), MemoryTable()
    tables = Tables({"routes": routes})
    routing = Routing([router], tables, NODE, "eth0")
    await refresh(routing, tables)
    router.fails = True
    await refresh(routing, tables)
    assert set(routes.entries) == {FIRST}
