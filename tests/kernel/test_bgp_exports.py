"""What this node's prefixes carry, as FRR sees it, and that what is taken out of the config goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.bgp_pair import FRR, INTERNAL, PEERS, Pair, pair
from support.frr import wait_for
from support.netns import NamespaceFactory

pytestmark = pytest.mark.kernel


def seen(found: Pair, prefix: str) -> dict[str, Any]:
    """Of the only path to a prefix in FRR."""
    paths = found.frr.ask_json(f"show bgp ipv4 unicast {prefix}").get("paths", [])
    return dict(paths[0]) if paths else {}


def communities(found: Pair, prefix: str) -> list[str]:
    return list(seen(found, prefix).get("community", {}).get("list", ()))


def test_communities_and_med_are_sent_changed_and_withdrawn(standing: Pair) -> None:
    node = standing.node
    node.restart(PEERS + 'exports: {communities: ["65001:7", "65001:8"], med: 50}\n')
    node.announce("10.244.1.0/24")
    wait_for(lambda: communities(standing, "10.244.1.0/24") == ["65001:7", "65001:8"], "sent")
    assert seen(standing, "10.244.1.0/24")["metric"] == 50
    for config, wanted in ((PEERS + 'exports: {communities: ["65001:8"]}\n', ["65001:8"]), (PEERS, [])):
        node.restart(config)
        node.announce("10.244.1.0/24")
        wait_for(lambda wanted=wanted: communities(standing, "10.244.1.0/24") == wanted, "changed")  # type: ignore[misc]
    assert seen(standing, "10.244.1.0/24").get("metric", 0) == 0


def test_a_filter_keeps_a_prefix_back(standing: Pair) -> None:
    node = standing.node
    node.restart(PEERS + "exports: {filters: [{action: reject, prefixes: [{prefix: 10.244.2.0/24}]}]}\n")
    node.announce("10.244.1.0/24", "10.244.2.0/24")
    wait_for(lambda: standing.frr.routes() == ["10.244.1.0/24"], "announced")
    assert seen(standing, "10.244.2.0/24") == {}


def test_internal_peers_hear_the_local_preference(standing: Pair) -> None:
    standing.node.restart(INTERNAL + "exports: {local_preference: 300}\n")
    standing.node.announce("10.244.1.0/24")
    wait_for(lambda: seen(standing, "10.244.1.0/24").get("locPrf") == 300, "preference")


def test_prefixes_of_each_family_go_out_with_a_next_hop_of_their_own(
    make_netns: NamespaceFactory, tmp_path: Path
) -> None:
    """Both over one session, which runs from a third address."""
    hops = 'families: [ipv4, ipv6], next_hops: [10.9.1.1, "fd00:9::1"]'
    both = FRR.replace(" address-family ipv6 unicast\n", " address-family ipv6 unicast\n  neighbor 10.9.0.1 activate\n")
    config = f"local_as: 65001\npeers: [{{address: 10.9.0.2, remote_as: 65002, {hops}}}]\n"
    with pair(make_netns, tmp_path, config, both) as found:
        found.node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
        wait_for(lambda: found.frr.routes() == ["10.244.1.0/24"], "announced")
        wait_for(lambda: found.frr.routes(6) == ["fd00:10:244:1::/64"], "announced, IPv6")
        assert via(found, 4) == {"10.9.1.1"}
        assert via(found, 6) == {"fd00:9::1"}
        wait_for(lambda: found.node.hops("2001:db8:51::/48"), "learnt, IPv6")


def via(found: Pair, version: int) -> set[str]:
    """Gateways of the routes that BGP put into FRR's kernel."""
    routes = json.loads(found.frr.netns.run("ip", f"-{version}", "-j", "route", "show", "proto", "bgp"))
    return {one["gateway"] for one in routes}
