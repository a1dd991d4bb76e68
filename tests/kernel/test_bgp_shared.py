"""A gobgpd that somebody else runs (``speaker.socket``), with a peer of its own beside the plugin's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from netloom.plugins import Context
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.plugin import Bgp
from support.bgp_node import BgpNode
from support.bgp_pair import cable
from support.frr import Frr, wait_for
from support.gobgpd import OthersGobgpd
from support.netns import Namespace, NamespaceFactory

pytestmark = pytest.mark.kernel

OURS, THEIRS = "10.9.1.2", "10.9.2.2"
CONFIG = """\
local_as: 65001
router_id: 10.9.1.1
peers: [{address: 10.9.1.2, remote_as: 65002}]
imports: {otherwise: reject, filters: [{action: accept, prefixes: [{prefix: 198.51.1.0/24}]}]}
speaker: {socket: SOCKET}
"""


def router(number: int) -> str:
    """FRR behind one of the cables, with prefixes of its own."""
    return (
        f"router bgp 6500{number + 1}\n bgp router-id 10.9.{number}.2\n no bgp ebgp-requires-policy\n"
        f" no bgp network import-check\n neighbor 10.9.{number}.1 remote-as 65001\n"
        f" neighbor 10.9.{number}.1 timers connect 1\n"
        f" address-family ipv4 unicast\n  network 198.51.{number}.0/24\n  network 203.0.{number}.0/24\n"
    )


class Shared(NamedTuple):
    """A gobgpd of somebody else, in a namespace with cables to two routers."""

    netns: Namespace
    gobgpd: OthersGobgpd
    ours: Frr
    theirs: Frr


@pytest.fixture
def shared(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[Shared]:
    """Somebody has a session with one router there, and a policy."""
    a = make_netns("bgpa")
    with contextlib.ExitStack() as stack:
        routers = []
        for number in (1, 2):
            b = make_netns(f"bgp{number}")
            cable(a, b, number)
            routers.append(Frr(b, router(number)))
            stack.callback(routers[-1].close)
        gobgpd = OthersGobgpd(a, tmp_path / "others.sock")
        stack.callback(gobgpd.close)
        gobgpd.begin(65001, "10.9.1.1")
        gobgpd.ask(lambda one: one.add_policy(pb.Policy(name="others")))
        others = pb.PolicyAssignment(name="global", direction=pb.IMPORT, policies=[pb.Policy(name="others")])
        gobgpd.ask(lambda one: one.assign_policy(others))
        gobgpd.add_peer(THEIRS, 65003)
        wait_for(lambda: gobgpd.peers()[THEIRS].state.session_state == pb.PeerState.ESTABLISHED, "their session")
        yield Shared(a, gobgpd, *routers)


@contextlib.contextmanager
def plugin(shared: Shared, directory: Path, config: str = CONFIG) -> Iterator[BgpNode]:
    """The plugin, which uses that gobgpd."""
    node = BgpNode(shared.netns, directory / "run", config.replace("SOCKET", str(shared.gobgpd.socket)))
    try:
        yield node
    finally:
        node.close()


def dropped(frr: Frr, number: int) -> int:
    """Sessions that the router has lost."""
    neighbor = frr.ask_json(f"show bgp neighbors 10.9.{number}.1")[f"10.9.{number}.1"]
    return int(neighbor["connectionsDropped"])


def test_a_shared_gobgpd_is_used_beside_whoever_runs_it(shared: Shared, tmp_path: Path) -> None:
    """Its other peer keeps its session and its filters; nothing is learnt from it, or told to it."""
    with plugin(shared, tmp_path) as node:
        node.announce("10.244.1.0/24")
        wait_for(lambda: shared.ours.routes() == ["10.244.1.0/24"], "announced")
        wait_for(lambda: node.complete, "everything told")
        assert [str(prefix) for prefix in node.learned] == ["198.51.1.0/24"]
        wait_for(lambda: "198.51.2.0/24" not in shared.ours.routes(), "the node is no way to anywhere else")
        view = node.ask("peers")
        assert [one["address"] for one in view["peers"]] == [OURS]
        assert (view["speaker"]["state"], view["speaker"]["own"], view["speaker"]["pid"]) == ("running", False, None)
        assert "others" in shared.gobgpd.policies()
        assert shared.gobgpd.peers()[THEIRS].afi_safis[0].state.accepted == 2
        assert dropped(shared.theirs, 2) == 0


def test_an_agent_that_starts_again_finds_its_peers_in_a_shared_gobgpd(shared: Shared, tmp_path: Path) -> None:
    """No session ends, neither the plugin's nor the other one's, and the last word is the new agent's."""
    with plugin(shared, tmp_path) as node:
        node.announce("10.244.1.0/24")
        wait_for(lambda: shared.ours.routes() == ["10.244.1.0/24"], "announced")
        node.stop()
        node.start()
        node.announce("10.244.2.0/24")
        wait_for(lambda: shared.ours.routes() == ["10.244.2.0/24"], "changed")
        wait_for(lambda: node.hops("198.51.1.0/24") == [OURS], "learnt again")
        assert (dropped(shared.ours, 1), dropped(shared.theirs, 2)) == (0, 0)
    assert shared.gobgpd.runs
    assert dropped(shared.theirs, 2) == 0


def test_a_node_that_is_cleaned_leaves_a_shared_gobgpd_as_it_was(shared: Shared, tmp_path: Path) -> None:
    with plugin(shared, tmp_path) as node:
        node.announce("10.244.1.0/24")
        wait_for(lambda: shared.ours.routes() == ["10.244.1.0/24"], "announced")
        node.stop()
        context = Context(node_name="n1", config=None, run_dir=node.directory)
        assert asyncio.run(Bgp().netloom_clean(context)) == (f"BGP speaker of {node.directory}/bgp",)
        assert list(shared.gobgpd.peers()) == [THEIRS]
        assert shared.gobgpd.policies() == ["others"]
        assert shared.gobgpd.runs
        assert dropped(shared.theirs, 2) == 0


def test_a_shared_gobgpd_of_another_node_is_neither_stopped_nor_used(shared: Shared, tmp_path: Path) -> None:
    other = CONFIG.replace("local_as: 65001", "local_as: 65009")
    with plugin(shared, tmp_path, other) as node:
        node.announce("10.244.1.0/24")
        words = "runs as AS 65001 with router id 10.9.1.1, expected AS 65009"
        wait_for(lambda: words in node.ask("peers")["speaker"]["error"], "refused")
        assert node.ask("peers")["speaker"]["state"] == "down"
        assert list(shared.gobgpd.peers()) == [THEIRS]
        assert dropped(shared.theirs, 2) == 0


def test_a_peer_that_somebody_else_has_configured_is_left_to_them(shared: Shared, tmp_path: Path) -> None:
    both = CONFIG.replace("}]\nimports", f"}}, {{address: {THEIRS}, remote_as: 65003}}]\nimports")
    with plugin(shared, tmp_path, both) as node:
        node.announce("10.244.1.0/24")
        wait_for(lambda: "somebody else has configured this peer" in node.peer(1)["held"], "refused")
        assert node.peer(1)["state"] != "established"
        wait_for(lambda: shared.ours.routes() == ["10.244.1.0/24"], "the other peer")
        assert dropped(shared.theirs, 2) == 0


def test_a_shared_gobgpd_that_ends_is_not_started_again(shared: Shared, tmp_path: Path) -> None:
    """Peers are shown as last known, down; whoever runs it starts it, and then all is as before."""
    with plugin(shared, tmp_path) as node:
        node.announce("10.244.1.0/24")
        wait_for(lambda: node.peer()["state"] == "established", "established")
        shared.gobgpd.close()
        wait_for(lambda: node.peer()["state"] == "down", "noticed")
        speaker = node.ask("peers")["speaker"]
        assert speaker["state"] == "down"
        assert "whoever runs it has to start it again" in speaker["error"]
        again = OthersGobgpd(shared.netns, shared.gobgpd.socket)
        try:
            wait_for(lambda: node.peer()["state"] == "established", "established again", 60)
        finally:
            again.close()
