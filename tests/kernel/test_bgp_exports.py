"""What this node's prefixes carry, as FRR sees it, and that what is taken out of the config goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.bgp_pair import FRR, PEERS, Pair, pair
from support.frr import wait_for
from support.netns import NamespaceFactory

pytestmark = pytest.mark.kernel


def seen(found: Pair, prefix: str) -> dict[str, Any]:
    """Of the only path to a prefix in FRR."""
    paths = found.frr.ask_json(f"show bgp ipv4 unicast {prefix}").get("paths", [])
    return dict(paths[0]) if paths else {}


def communities(found: Pair, prefix: str) -> list[str]:
    return list(seen(found, prefix).get("community", {}).get("list", ()))


def test_communities_and_med_are_sent_changed_and_withdrawn(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    sent = PEERS + 'exports: {communities: ["65001:7", "65001:8"], med: 50}\n'
    with pair(make_netns, tmp_path, sent) as found:
        node = found.node
        node.announce("10.244.1.0/24")
        wait_for(lambda: communities(found, "10.244.1.0/24") == ["65001:7", "65001:8"], "sent")
        assert seen(found, "10.244.1.0/24")["metric"] == 50
        for config, wanted in ((PEERS + 'exports: {communities: ["65001:8"]}\n', ["65001:8"]), (PEERS, [])):
            node.stop()
            node.config = config
            node.start()
            node.announce("10.244.1.0/24")
            wait_for(lambda wanted=wanted: communities(found, "10.244.1.0/24") == wanted, "changed")  # type: ignore[misc]
        assert seen(found, "10.244.1.0/24").get("metric", 0) == 0


def test_a_filter_keeps_a_prefix_back(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    config = PEERS + "exports: {filters: [{action: reject, prefixes: [{prefix: 10.244.2.0/24}]}]}\n"
    with pair(make_netns, tmp_path, config) as found:
        found.node.announce("10.244.1.0/24", "10.244.2.0/24")
        wait_for(lambda: found.frr.routes() == ["10.244.1.0/24"], "announced")
        assert seen(found, "10.244.2.0/24") == {}


def test_internal_peers_hear_the_local_preference(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    config = PEERS.replace("remote_as: 65002", "remote_as: 65001") + "exports: {local_preference: 300}\n"
    internal = FRR.replace("router bgp 65002", "router bgp 65001")
    with pair(make_netns, tmp_path, config, internal) as found:
        found.node.announce("10.244.1.0/24")
        wait_for(lambda: seen(found, "10.244.1.0/24").get("locPrf") == 300, "preference")
