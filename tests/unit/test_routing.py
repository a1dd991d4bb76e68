"""Routers: announced to until they have heard, learnt from as they tell or when asked, and isolated from each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from netloom.agent import routing as routing_module
from netloom.agent.routing import Routing, facts_of
from netloom.model.address import Network
from netloom.model.errors import PluginError
from netloom.model.node import Node
from netloom.plan.learned import key_of
from netloom.plugins.contract import LearnedRoute, RouteChanges, Router, RouteWatcher
from netloom.plugins.guard import Guard
from netloom.plugins.guarded_router import AnyRouter, guarded_router
from support.learned import MemoryRoutes, ScriptedWatcher, route

NODE = Node(
    name="n1",
    underlay_ipv4=IPv4Address("192.0.2.1"),
    underlay_ipv6=None,
    pod_cidrs=(IPv4Network("10.1.0.0/24"),),
    gateways=(IPv4Address("10.1.0.1"),),
    mode="native",
    segments=(IPv4Network("192.0.2.0/24"),),
)
FIRST, SECOND = "10.9.0.0/24", "10.8.0.0/24"
NEIGHBOUR = "192.0.2.9"


class Static:
    """A router that knows one prefix, and can be made to fail."""

    def __init__(self, prefix: str) -> None:
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
        return (route(self._prefix, NEIGHBOUR),)


class Table(MemoryRoutes):
    """As the thread that stands before the kernel."""

    def close(self) -> None:
        """Nothing to do."""

    def shown(self) -> set[str]:
        """Prefixes of all routes."""
        return {prefix for prefix in (FIRST, SECOND) if key_of(IPv4Network(prefix)) in self.routes}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(routing_module, "LearnedThread", lambda _: made)
    return made


@pytest.fixture
def guards() -> Iterator[list[Guard]]:
    """Those made for the test, ended with it."""
    made: list[Guard] = []
    yield made
    for guard in made:
        guard.close()


def guarded(guards: list[Guard], *routers: Router | RouteWatcher) -> dict[str, tuple[AnyRouter, ...]]:
    """Each as the router of a plugin of its own, in order."""
    guards += [Guard(f"r{number}") for number in range(len(routers))]
    return {guard.plugin: (guarded_router(guard, router),) for guard, router in zip(guards, routers, strict=True)}


async def test_what_is_learnt_stands_in_the_kernel(table: Table, guards: list[Guard]) -> None:
    await Routing(guarded(guards, Static(FIRST)), lambda: NODE).refresh()
    assert table.routes == {key_of(IPv4Network(FIRST)): (IPv4Address(NEIGHBOUR).packed,)}


@pytest.mark.usefixtures("table")
async def test_prefixes_are_announced_once(guards: list[Guard]) -> None:
    """Not at every resync."""
    router = Static(FIRST)
    routing = Routing(guarded(guards, router), lambda: NODE)
    await routing.refresh()
    await routing.refresh()
    assert router.announcements == [NODE.pod_cidrs]


async def test_a_router_that_fails_harms_no_other(table: Table, guards: list[Guard]) -> None:
    """And is announced to when it works again."""
    bad, good = Static(FIRST), Static(SECOND)
    routing = Routing(guarded(guards, bad, good), lambda: NODE)
    bad.fails = True
    await routing.refresh()
    assert table.shown() == {SECOND}
    bad.fails = False
    await routing.refresh()
    assert table.shown() == {FIRST, SECOND}
    assert bad.announcements == [NODE.pod_cidrs]


async def test_a_router_that_fails_later_keeps_its_routes(table: Table, guards: list[Guard]) -> None:
    """Routes do not come and go with a plugin's health."""
    router = Static(FIRST)
    routing = Routing(guarded(guards, router), lambda: NODE)
    await routing.refresh()
    router.fails = True
    await routing.refresh()
    assert table.shown() == {FIRST}


async def test_a_router_that_tells_is_heard_without_being_asked(table: Table, guards: list[Guard]) -> None:
    """What it has told stands when it ends, and it is heard again when it is followed again."""
    watcher = ScriptedWatcher()
    routing = Routing(guarded(guards, watcher), lambda: NODE)
    await routing.refresh()
    loops = dict(routing.loops())
    assert set(loops) == {"learned-routes", "router-r0"}
    writing = asyncio.ensure_future(loops["learned-routes"]())
    try:
        watcher.batches.put_nowait(RouteChanges(routes=(route(FIRST, NEIGHBOUR),), complete=True))
        watcher.batches.put_nowait(None)
        with pytest.raises(PluginError, match="ended, expected it to go on"):
            await loops["router-r0"]()
        await routing.learned.flush()
        assert table.shown() == {FIRST}
        watcher.batches.put_nowait(RouteChanges(routes=(route(SECOND, NEIGHBOUR),), complete=True))
        watcher.batches.put_nowait(None)
        with pytest.raises(PluginError):
            await loops["router-r0"]()
        await routing.learned.flush()
        assert table.shown() == {SECOND}
    finally:
        writing.cancel()


async def test_routes_of_an_earlier_run_stay_while_a_router_cannot_be_had(table: Table) -> None:
    table.routes[key_of(IPv4Network(FIRST))] = (IPv4Address(NEIGHBOUR).packed,)
    await Routing({}, lambda: NODE, unheard=True).refresh()
    assert table.shown() == {FIRST}
    await Routing({}, lambda: NODE).refresh()
    assert table.shown() == set()


def test_a_node_takes_no_route_to_itself() -> None:
    facts = facts_of(NODE)
    assert facts.pod_cidrs == NODE.pod_cidrs
    assert facts.segments == NODE.segments
    assert facts.addresses == (IPv4Address("10.1.0.1"), IPv4Address("192.0.2.1"))
