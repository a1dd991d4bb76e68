"""What ``/v1/routes`` says of learnt routes."""

from __future__ import annotations

from ipaddress import ip_network

from netloom.agent.learned import LearnedRoutes
from netloom.agent.route_api import learned_routes
from netloom.plan.learned import Facts, in_order, key_of
from netloom.plugins.contract import RouteChanges
from support.learned import MemoryRoutes, route

A, B, C = "10.1.0.0/16", "10.2.0.0/16", "fd00:3::/48"
VIA = "192.0.2.2"


async def learnt(*prefixes: str) -> LearnedRoutes:
    """Written, with a route of an earlier run beside them and one that the kernel refuses."""
    table = MemoryRoutes({key_of(ip_network(C)): (b"\xfd" + bytes(15),)})
    table.refuses = {key_of(ip_network(B)): "out of reach"}
    routes = LearnedRoutes(("bgp",), table, Facts)
    await routes.resync()
    await routes.take("bgp", RouteChanges(routes=tuple(route(prefix, VIA) for prefix in prefixes)))
    await routes.flush()
    return routes


async def test_a_route_is_shown_with_its_router_and_what_became_of_it() -> None:
    routes = await learnt(A, B)
    rows = await learned_routes(routes, in_order(routes.keys()))
    assert [(row["prefix"], row["via"], row["origin"], row["state"]) for row in rows] == [
        (A, [VIA], "bgp", "written"),
        (B, [VIA], "bgp", "out of reach"),
        (C, ["fd00::"], "earlier run", "written"),
    ]


async def test_a_route_that_has_left_since_its_key_was_read_is_not_shown() -> None:
    routes = await learnt(A)
    keys = in_order(routes.keys())
    await routes.take("bgp", RouteChanges(gone=(ip_network(A),)))
    await routes.flush()
    assert [row["prefix"] for row in await learned_routes(routes, keys)] == [C]
