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
from support.bgp_pair import FRR, PEERS, pair
from support.frr import wait_for
from support.netns import NamespaceFactory

pytestmark = pytest.mark.kernel


def test_prefixes_of_both_families_reach_the_peers_kernel_and_leave_it(
    make_netns: NamespaceFactory, tmp_path: Path
) -> None:
    """And the peer's come back, with the session's address as next hop."""
    with pair(make_netns, tmp_path) as (node, frr):
        node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
        wait_for(lambda: frr.routes() == ["10.244.1.0/24"], "announced")
        wait_for(lambda: frr.routes(6) == ["fd00:10:244:1::/64"], "announced, IPv6")
        wait_for(lambda: node.hops("198.51.100.0/24") == ["10.9.0.2"], "learnt")
        wait_for(lambda: node.hops("2001:db8:51::/48") == ["fd00:9::2"], "learnt, IPv6")
        node.announce("10.244.2.0/24", "fd00:10:244:1::/64")
        wait_for(lambda: frr.routes() == ["10.244.2.0/24"], "exactly what is announced now")
        frr.ask("configure", "router bgp 65002", "address-family ipv4 unicast", "no network 198.51.100.0/24")
        wait_for(lambda: node.hops("198.51.100.0/24") == [], "withdrawn")
        assert node.hops("198.51.101.0/24") == ["10.9.0.2"]
        assert node.hops("10.244.2.0/24") == [], "its own prefix came back"
        wait_for(lambda: node.complete == 1, "everything told")
        peer = node.peer()
        assert (peer["state"], peer["received"], peer["advertised"]) == ("established", 2, 1)


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


def test_an_agent_that_starts_again_finds_gobgpd_and_no_session_ends(
    make_netns: NamespaceFactory, tmp_path: Path
) -> None:
    """What is announced meanwhile differs, and only that changes; the first complete batch holds what was learnt."""
    with pair(make_netns, tmp_path) as (node, frr):
        node.announce("10.244.1.0/24", "10.244.2.0/24")
        wait_for(lambda: frr.routes() == ["10.244.1.0/24", "10.244.2.0/24"], "announced")
        wait_for(lambda: node.hops("198.51.100.0/24"), "learnt")
        pid = node.router.speaker.pid
        node.stop()
        assert frr.routes() == ["10.244.1.0/24", "10.244.2.0/24"]
        node.start()
        node.announce("10.244.1.0/24", "10.244.3.0/24")
        wait_for(lambda: frr.routes() == ["10.244.1.0/24", "10.244.3.0/24"], "changed")
        wait_for(lambda: node.complete == 1, "everything told")
        assert node.hops("198.51.100.0/24") == ["10.9.0.2"]
        assert node.router.speaker.pid == pid
        summary = frr.ask_json("show bgp ipv4 neighbors 10.9.0.1")["10.9.0.1"]
        assert (summary["connectionsEstablished"], summary["connectionsDropped"]) == (1, 0)


def test_no_route_is_missing_while_gobgpd_is_killed_and_started_again(
    make_netns: NamespaceFactory, tmp_path: Path
) -> None:
    """Neither in the peer's kernel nor here; what the peer withdrew meanwhile is gone afterwards."""
    with pair(make_netns, tmp_path) as (node, frr):
        node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
        wait_for(lambda: node.complete and frr.routes(6), "settled")
        wait_for(lambda: node.hops("198.51.101.0/24"), "learnt")
        os.kill(node.router.speaker.pid or 0, signal.SIGKILL)
        frr.ask("configure", "router bgp 65002", "address-family ipv4 unicast", "no network 198.51.101.0/24")
        missing: list[str] = []

        def back() -> bool:
            missing.extend({"10.244.1.0/24"} - set(frr.routes()))
            missing.extend({"fd00:10:244:1::/64"} - set(frr.routes(6)))
            missing.extend({"198.51.100.0/24"} - {str(prefix) for prefix in node.learned})
            return bool(node.peer(0)["state"] == node.peer(1)["state"] == "established")

        wait_for(back, "established again", 60)
        wait_for(lambda: back() and not node.hops("198.51.101.0/24"), "what was withdrawn is gone", 60)
        assert missing == []
        assert node.ask("peers")["speaker"]["restarts"] == 1
        assert node.events("speaker.died")


def test_without_graceful_restart_routes_go_with_gobgpd(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """At once, and come again."""
    config = PEERS.replace("{restart_time_s: 30}", "{enabled: false}")
    with pair(make_netns, tmp_path, config) as (node, _frr):
        node.announce("10.244.1.0/24")
        wait_for(lambda: node.complete and node.hops("198.51.100.0/24"), "learnt")
        os.kill(node.router.speaker.pid or 0, signal.SIGKILL)
        wait_for(lambda: not node.hops("198.51.100.0/24"), "gone")
        wait_for(lambda: node.hops("198.51.100.0/24"), "learnt again")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (PEERS.replace("10.9.0.2, remote_as: 65002", "10.9.0.2, remote_as: 65009"), "AS number"),
        (PEERS.replace("10.9.0.2, remote_as: 65002", "10.9.0.2, remote_as: 65002, max_prefixes: 1"), "max_prefixes"),
    ],
    ids=["wrong-as", "too-many-prefixes"],
)
def test_a_session_that_cannot_be_says_why(
    make_netns: NamespaceFactory, tmp_path: Path, config: str, expected: str
) -> None:
    """And the other peer's goes on."""
    with pair(make_netns, tmp_path, config) as (node, frr):
        node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
        wait_for(lambda: expected in node.peer()["last_error"], "reason", 60)
        wait_for(lambda: frr.routes(6) == ["fd00:10:244:1::/64"], "the other peer")
        wait_for(lambda: expected in node.peer()["last_error"], "reason stays", 5)
        assert node.hops("198.51.100.0/24") == []


def test_a_wrong_password_is_told_and_never_shown(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """A file that others may read is refused; the right password makes the session."""
    secret = tmp_path / "password"
    secret.write_text("not-this-one\n")
    secret.chmod(0o600)
    config = PEERS.replace("10.9.0.2, remote_as: 65002", f"10.9.0.2, remote_as: 65002, password_file: {secret}")
    frr_config = FRR.replace(
        " neighbor 10.9.0.1 timers", " neighbor 10.9.0.1 password the-right-one\n neighbor 10.9.0.1 timers"
    )
    with pair(make_netns, tmp_path, config, frr_config) as (node, frr):
        node.announce("10.244.1.0/24")
        wait_for(lambda: "another TCP MD5 password" in node.peer()["last_error"], "reason", 60)
        assert "not-this-one" not in str(node.ask("peers")) + str(node.ask("events"))
        node.stop()
        secret.write_text("the-right-one\n")
        secret.chmod(0o644)
        node.start()
        node.announce("10.244.1.0/24")
        wait_for(lambda: "mode 0644" in node.peer()["last_error"], "refused")
        node.stop()
        secret.chmod(0o600)
        node.start()
        node.announce("10.244.1.0/24")
        wait_for(lambda: frr.routes() == ["10.244.1.0/24"], "announced")


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
