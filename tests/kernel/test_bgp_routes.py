"""Questions for routes, and many routes, with a real gobgpd against a real FRR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.bgp_node import BgpNode
from support.bgp_pair import FRR, pair
from support.frr import wait_for
from support.netns import NamespaceFactory

pytestmark = pytest.mark.kernel

PREFIXES = [f"20.0.{number}.0/24" for number in range(200)]
NETWORKS = "\n".join(f"  network {prefix}" for prefix in reversed(PREFIXES))
MANY = FRR.replace("  network 198.51.100.0/24\n", f"{NETWORKS}\n")
"""An FRR that tells of many prefixes, in no particular order."""
TOLD = [*PREFIXES, "198.51.101.0/24", "2001:db8:51::/48"]

MARKED = (
    FRR.replace("network 198.51.100.0/24", "network 198.51.100.0/24 route-map marked")
    + """\
route-map marked permit 10
 set community 65000:1 65000:2
 set metric 7
 set as-path prepend 64998 64999
"""
)
SHOWN = ("next_hops", "peer", "as_path", "origin", "med", "communities")


def prefixes(node: BgpNode, **parameters: str) -> list[str]:
    return [route["prefix"] for route in node.ask("routes", **parameters)["routes"]]


def pages(node: BgpNode, **parameters: str) -> list[list[str]]:
    """What is shown page by page."""
    found: list[list[str]] = []
    after: dict[str, str] = {}
    while True:
        answer: dict[str, Any] = node.ask("routes", **parameters, **after)
        assert answer["total"] == len(TOLD)
        found.append([route["prefix"] for route in answer["routes"]])
        if not answer["next"]:
            return found
        after = {"after": answer["next"]}


def test_the_whole_of_a_large_table_is_shown_in_order_page_by_page(
    make_netns: NamespaceFactory, tmp_path: Path
) -> None:
    """Of both IP versions, and of both peers; a part of it by a prefix."""
    with pair(make_netns, tmp_path, frr_config=MANY) as (node, _):
        node.announce()
        wait_for(lambda: len(node.learned) == len(TOLD), "everything is told")
        found = pages(node, view="available", limit="75")
        assert [len(page) for page in found] == [75, 75, 52]
        assert [prefix for page in found for prefix in page] == TOLD
        assert prefixes(node, view="available", prefix="20.0.8.0/23") == ["20.0.8.0/24", "20.0.9.0/24"]
        assert prefixes(node, view="available", peer="fd00:9::2") == ["2001:db8:51::/48"]
        assert prefixes(node) == TOLD
        assert sorted(map(str, node.learned)) == sorted(TOLD)


def test_a_route_is_shown_with_what_its_router_says_of_it(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """Of either IP version, as received; and our own as the peer is told of it."""
    with pair(make_netns, tmp_path, frr_config=MARKED) as (node, _):
        node.announce("10.244.1.0/24")
        wait_for(lambda: len(node.learned) == 3, "everything is told")
        received = {one["prefix"]: one for one in node.ask("routes", view="available")["routes"]}
        marked = received["198.51.100.0/24"]
        assert {name: marked[name] for name in SHOWN} == {
            "next_hops": ("10.9.0.2",), "peer": "10.9.0.2", "as_path": "65002 64998 64999", "origin": "igp", "med": 7,
            "communities": ("65000:1", "65000:2"),
        }  # fmt: skip
        assert received["2001:db8:51::/48"]["next_hops"] == ("fd00:9::2",)
        (own,) = node.ask("routes", view="advertised", peer="10.9.0.2")["routes"]
        assert (own["prefix"], own["as_path"], own["next_hops"]) == ("10.244.1.0/24", "65001", ("10.9.0.1",))
        best = {one["prefix"]: one for one in node.ask("routes")["routes"]}
        assert (best["10.244.1.0/24"]["next_hops"], best["10.244.1.0/24"]["peer"]) == ((), "")


def test_a_peer_that_is_away_takes_all_of_its_routes_along(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """And brings them all again."""
    with pair(make_netns, tmp_path, frr_config=MANY) as (node, _):
        node.announce()
        wait_for(lambda: len(node.learned) == len(TOLD), "everything is told")
        node.netns.run("ip", "link", "set", "eth0", "down")
        wait_for(lambda: not node.learned, "all gone")
        node.netns.run("ip", "link", "set", "eth0", "up")
        node.netns.run("ip", "address", "replace", "fd00:9::1/64", "dev", "eth0", "nodad")
        wait_for(lambda: len(node.learned) == len(TOLD), "all back", 60)


def test_a_node_that_finds_a_full_gobgpd_hears_everything_and_withdraws_what_is_not_wanted(
    make_netns: NamespaceFactory, tmp_path: Path
) -> None:
    """The first event of a watch holds all; a path of our own that is left over is found among it."""
    with pair(make_netns, tmp_path, frr_config=MANY) as (node, frr):
        node.announce("10.244.1.0/24")
        wait_for(lambda: len(node.learned) == len(TOLD), "everything is told")
        wait_for(lambda: frr.routes() == ["10.244.1.0/24"], "announced")
        node.stop()
        node.learned.clear()
        node.start()
        node.announce("10.244.2.0/24")
        wait_for(lambda: frr.routes() == ["10.244.2.0/24"], "exactly what is announced now")
        wait_for(lambda: node.complete == 1, "everything told")
        assert sorted(map(str, node.learned)) == sorted(TOLD)
