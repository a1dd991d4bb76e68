"""Daemons of BGP that are killed, at either end, and come back; and what people are told meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom_bgp import cli_text
from support.bgp_node import BgpNode
from support.bgp_pair import Pair, pair
from support.frr import wait_for
from support.netns import namespaces

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The module's tests share daemons that they kill; the end of the run is where all must be gone."""


@pytest.fixture(scope="module")
def _healing(_nothing_left_by_the_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with namespaces() as make, pair(make, tmp_path_factory.mktemp("healing")) as found:
        yield found


@pytest.fixture
def healing(_healing: Pair) -> Pair:
    """A pair whose daemons are killed and come back: settled, with one prefix of each family told each way."""
    node, frr = _healing
    node.restart()
    node.announce("10.244.1.0/24", "fd00:10:244:1::/64")
    wait_for(lambda: frr.routes() == ["10.244.1.0/24"] and frr.routes(6) == ["fd00:10:244:1::/64"], "announced", 60)
    wait_for(lambda: node.complete and node.hops("198.51.101.0/24") and node.hops("2001:db8:51::/48"), "learnt", 60)
    node.gone.clear()
    return _healing


def test_no_route_is_missing_while_gobgpd_is_killed_and_started_again(healing: Pair) -> None:
    """Neither in the peer's kernel nor here; what the peer withdrew meanwhile is gone afterwards."""
    node, frr = healing
    family = ("configure", "router bgp 65002", "address-family ipv4 unicast")
    missing: list[str] = []

    def back() -> bool:
        missing.extend({"10.244.1.0/24"} - set(frr.routes()))
        missing.extend({"fd00:10:244:1::/64"} - set(frr.routes(6)))
        return node.established()

    os.kill(node.router.speaker.pid or 0, signal.SIGKILL)
    frr.ask(*family, "no network 198.51.101.0/24")
    try:
        wait_for(lambda: not node.established(), "noticed")
        wait_for(back, "established again", 60)
        wait_for(lambda: back() and not node.hops("198.51.101.0/24"), "what was withdrawn is gone", 60)
    finally:
        frr.ask(*family, "network 198.51.101.0/24")
    assert missing == []
    assert {str(prefix) for prefix in node.gone} == {"198.51.101.0/24"}
    assert node.ask("peers")["speaker"]["restarts"] == 1
    assert node.events("speaker.died")


def test_no_route_is_missing_while_the_router_is_killed_and_started_again(healing: Pair) -> None:
    """Within the restart time its routes stay, as the speaker's do there."""
    node, frr = healing
    missing: list[str] = []

    def back() -> bool:
        missing.extend({"10.244.1.0/24"} - set(frr.routes()))
        return node.established()

    frr.signal("bgpd", signal.SIGKILL)
    wait_for(lambda: not back(), "noticed")
    assert node.peer()["last_error"] == "the peer restarts; its routes stay"
    frr.start("bgpd")
    frr.load()
    wait_for(back, "established again", 60)
    wait_for(lambda: node.peer()["received"] == 2, "told again")
    wait_for(lambda: stale(node) == [], "nothing is left of the time before", 60)
    assert (node.gone, missing) == ([], [])


def stale(node: BgpNode) -> list[str]:
    """Prefixes that the speaker keeps for a peer that restarts."""
    return [one["prefix"] for one in node.ask("routes", view="best")["routes"] if one["stale"]]


def test_peers_are_shown_while_gobgpd_is_dead(healing: Pair) -> None:
    """Whoever asks in that very moment hears what was known, and what is being done."""
    node, _ = healing
    os.kill(node.router.speaker.pid or 0, signal.SIGKILL)
    shown = node.ask("peers")
    assert [(one["address"], one["state"], one["families"]) for one in shown["peers"]] == [
        ("10.9.0.2", "down", ("ipv4",)), ("fd00:9::2", "down", ("ipv6",)),
    ]  # fmt: skip
    assert shown["speaker"]["state"] == "restarting"
    assert shown["speaker"]["error"].endswith("it is being started again, and no session stands until then")
    assert all(one["last_error"] for one in shown["peers"])
    assert "it is being started again" in cli_text.peers(shown)
    wait_for(lambda: node.ask("peers")["speaker"]["state"] == "running", "started again")


def test_peers_are_shown_while_gobgpd_does_not_answer(healing: Pair) -> None:
    """As it told of them last: their sessions may well stand."""
    node, _ = healing
    pid = node.router.speaker.pid or 0
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: stands_still(pid), "no thread of gobgpd runs any more")
        shown = node.ask("peers")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert shown["speaker"]["error"] == "gobgpd has not answered for 2 s: sessions are shown as it told of them last"
    assert [one["state"] for one in shown["peers"]] == ["established", "established"]


def stands_still(pid: int) -> bool:
    """Whether every thread of a process has been stopped: a signal reaches those on other CPUs a little later."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
