"""The BGP plugin with a real gobgpd against a real FRR."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from netloom.plugins import Context
from netloom_bgp.plugin import Bgp
from netloom_bgp.settings import BgpSettings
from support.bgp_pair import PEERS, Pair, pair
from support.frr import Frr, wait_for
from support.netns import NamespaceFactory

pytestmark = pytest.mark.kernel


def test_prefixes_of_both_families_reach_the_peers_kernel_and_leave_it(standing: Pair) -> None:
    """And the peer's come back, with the session's address as next hop."""
    node, frr = standing
    node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
    wait_for(lambda: frr.routes() == ["10.244.1.0/24"], "announced")
    wait_for(lambda: frr.routes(6) == ["fd00:10:244:1::/64"], "announced, IPv6")
    wait_for(lambda: node.hops("198.51.100.0/24") == ["10.9.0.2"], "learnt")
    wait_for(lambda: node.hops("2001:db8:51::/48") == ["fd00:9::2"], "learnt, IPv6")
    node.announce("10.244.2.0/24", "fd00:10:244:1::/64")
    wait_for(lambda: frr.routes() == ["10.244.2.0/24"], "exactly what is announced now")
    family = ("configure", "router bgp 65002", "address-family ipv4 unicast")
    frr.ask(*family, "no network 198.51.101.0/24")
    try:
        wait_for(lambda: node.hops("198.51.101.0/24") == [], "withdrawn")
    finally:
        frr.ask(*family, "network 198.51.101.0/24")
    assert node.hops("198.51.100.0/24") == ["10.9.0.2"]
    assert node.hops("10.244.2.0/24") == [], "its own prefix came back"
    wait_for(lambda: node.complete == 1, "everything told")
    wait_for(lambda: node.peer()["received"] == 3, "counted: two of the peer's own, and ours, which it tells back")
    assert (node.peer()["state"], node.peer()["advertised"]) == ("established", 1)


def test_an_agent_that_starts_again_finds_gobgpd_and_no_session_ends(standing: Pair) -> None:
    """What is announced meanwhile differs, and only that changes; the first complete batch holds what was learnt."""
    node, frr = standing
    node.announce("10.244.1.0/24", "10.244.2.0/24")
    wait_for(lambda: frr.routes() == ["10.244.1.0/24", "10.244.2.0/24"], "announced")
    wait_for(lambda: node.hops("198.51.100.0/24"), "learnt")
    pid, before = node.router.speaker.pid, sessions_of(frr)
    node.stop()
    assert frr.routes() == ["10.244.1.0/24", "10.244.2.0/24"]
    node.restart()
    node.announce("10.244.1.0/24", "10.244.3.0/24")
    wait_for(lambda: frr.routes() == ["10.244.1.0/24", "10.244.3.0/24"], "changed")
    wait_for(lambda: node.complete == 1, "everything told")
    assert node.hops("198.51.100.0/24") == ["10.9.0.2"]
    assert node.router.speaker.pid == pid
    assert sessions_of(frr) == before


def sessions_of(frr: Frr) -> tuple[int, int]:
    """How many with the node the router has begun, and lost."""
    found = frr.ask_json("show bgp ipv4 neighbors 10.9.0.1")["10.9.0.1"]
    return found["connectionsEstablished"], found["connectionsDropped"]


def test_a_node_that_is_cleaned_has_no_speaker_left(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """Whether its config still names peers or not; and whoever has nothing left says nothing."""
    with pair(make_netns, tmp_path) as (node, frr):
        node.announce("10.244.1.0/24")
        wait_for(lambda: frr.routes() == ["10.244.1.0/24"], "announced")
        node.stop()
        context = Context(node_name="n1", config=None, run_dir=node.directory)
        assert asyncio.run(Bgp().netloom_clean(context)) == (f"BGP speaker of {node.directory}/bgp",)
        wait_for(lambda: frr.routes() == [], "gone")
        assert asyncio.run(Bgp().netloom_clean(context)) == ()


def test_without_graceful_restart_routes_go_with_gobgpd(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """At once, and come again."""
    config = PEERS.replace("{restart_time_s: 30}", "{enabled: false}")
    with pair(make_netns, tmp_path, config) as (node, _frr):
        node.announce("10.244.1.0/24")
        wait_for(lambda: node.hops("198.51.100.0/24"), "learnt")
        os.kill(node.router.speaker.pid or 0, signal.SIGKILL)
        wait_for(lambda: not node.hops("198.51.100.0/24"), "gone")
        wait_for(lambda: node.hops("198.51.100.0/24"), "learnt again")


def test_a_peer_that_tells_too_much_is_tried_again_after_the_configured_time(
    make_netns: NamespaceFactory, tmp_path: Path
) -> None:
    """Its reason stays, and the other peer's session goes on; the session comes back when it tells less."""
    config = PEERS.replace(
        "10.9.0.2, remote_as: 65002", "10.9.0.2, remote_as: 65002, max_prefixes: 1, max_prefixes_retry_s: 4"
    )
    with pair(make_netns, tmp_path, config) as (node, frr):
        node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
        wait_for(lambda: "max_prefixes" in node.peer()["last_error"], "reason", 60)
        wait_for(lambda: frr.routes(6) == ["fd00:10:244:1::/64"], "the other peer")
        assert "max_prefixes" in node.peer()["last_error"]
        assert node.hops("198.51.100.0/24") == []
        wait_for(lambda: len(node.events("prefix.limit")) >= 2, "tried again")
        frr.ask("configure", "router bgp 65002", "address-family ipv4 unicast", "no network 198.51.101.0/24")
        wait_for(lambda: node.hops("198.51.100.0/24") == ["10.9.0.2"], "learnt", 60)
        assert node.peer()["state"] == "established"


def test_a_node_whose_peers_were_taken_away_ends_its_gobgpd(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """And the routes at the peer go; its questions are answered still."""
    with pair(make_netns, tmp_path) as (node, frr):
        node.announce("10.244.1.0/24")
        wait_for(lambda: frr.routes() == ["10.244.1.0/24"], "announced")
        node.stop()
        plugin = Bgp()
        asyncio.run(plugin.netloom_start(Context(node_name="n1", config=BgpSettings(), run_dir=node.directory)))
        wait_for(lambda: frr.routes() == [], "gone")
        assert not (node.directory / "bgp").exists()
        assert plugin.netloom_routers() == ()
        assert [query.name for query in plugin.netloom_queries()] == ["peers", "routes", "events"]
