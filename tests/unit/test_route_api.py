"""The answer about routes: the agent's own first, then those learnt, in order, and no more than asked for."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

from netloom.agent.learned import Row
from netloom.agent.route_api import routes_answer
from netloom.plan.learned import key_of

OWN = {"prefix": "10.244.2.0/24", "via": [], "device": "eth0", "origin": "node", "state": "written"}


def row(prefix: str) -> Row:
    return Row(key_of(ip_network(prefix)), "bgp", (ip_address("192.0.2.2").packed,), "written")


def answer(*prefixes: str, most: int) -> Any:
    counts = {"written": len(prefixes), "refused": 0, "waiting": 0}
    return json.loads(routes_answer([dict(OWN)], map(row, prefixes), counts, most))


def test_own_routes_come_first_then_what_was_learnt_in_order() -> None:
    """IPv4 before IPv6, wider prefixes before their parts."""
    found = answer("fd00::/16", "10.2.0.0/16", "10.0.0.0/8", "9.0.0.0/8", "10.0.0.0/16", most=10)
    assert [route["prefix"] for route in found["routes"]] == [
        "10.244.2.0/24", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16", "10.2.0.0/16", "fd00::/16",
    ]  # fmt: skip


def test_what_is_not_shown_is_counted() -> None:
    found = answer("10.2.0.0/16", "10.1.0.0/16", most=2)
    assert (found["matching"], [route["prefix"] for route in found["routes"]]) == (3, ["10.244.2.0/24", "10.1.0.0/16"])


def test_a_learnt_route_names_its_router_and_its_next_hops() -> None:
    assert answer("10.1.0.0/16", most=2)["routes"][1] == {
        "prefix": "10.1.0.0/16", "via": ["192.0.2.2"], "device": "", "origin": "bgp", "state": "written",
    }  # fmt: skip
