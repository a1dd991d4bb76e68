"""Learnt routes compared with the kernel: read only when somebody touched them, and never taken for others."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.learned import LearnedRoutes
from netloom.plan.learned import Facts, Hops, Key, differing, key_of
from netloom.plugins.contract import LearnedRoute, RouteChanges
from support.learned import MemoryRoutes, route

VIA, OTHER = "192.0.2.2", "192.0.2.3"
A, B = "10.1.0.0/16", "10.2.0.0/16"
tables = st.dictionaries(st.binary(max_size=1), st.tuples(st.binary(max_size=1)))


def key(prefix: str) -> Key:
    return key_of(ip_network(prefix))


def hops(text: str) -> Hops:
    return (ip_address(text).packed,)


def learned(table: MemoryRoutes) -> LearnedRoutes:
    return LearnedRoutes(("bgp",), table, Facts)


async def told(routes: LearnedRoutes, *of: LearnedRoute) -> None:
    await routes.take("bgp", RouteChanges(routes=of))
    await routes.flush()


async def test_a_table_that_nobody_touched_is_not_read_again() -> None:
    """A hundred thousand routes at every resync would cost a sixth of a CPU."""
    table = MemoryRoutes()
    table.refuses = {key(B): "out of reach"}
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA), route(B, VIA))
    await routes.resync()
    reads = table.reads
    assert await routes.resync() == ()
    assert table.reads == reads
    del table.routes[key(A)]
    assert [repair.action for repair in await routes.resync()] == ["written"]


async def test_what_is_as_it_was_before_this_node_wrote_is_put_right_too() -> None:
    """The table is the one that was read last; what should be there is not."""
    table = MemoryRoutes()
    routes = learned(table)
    await routes.resync()
    await told(routes, route(A, VIA))
    await routes.resync()
    await told(routes, route(A, OTHER))
    table.routes[key(A)] = hops(VIA)
    assert [repair.action for repair in await routes.resync()] == ["written"]
    assert table.routes == {key(A): hops(OTHER)}


@given(tables, tables)
def test_what_differs_is_what_only_one_has_or_each_otherwise(one: dict[Key, Hops], other: dict[Key, Hops]) -> None:
    assert differing(one, other) == {key for key, _ in one.items() ^ other.items()}
