"""Routes of a peer that cannot be reached go at once: the whole chain, from the failure to what the agent hears."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from netloom_bgp.bfdd import Bfdd
from support.bgp_node import BgpNode
from support.bgp_pair import PEERS, pair
from support.frr import Frr, wait_for
from support.netns import NamespaceFactory

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

PREFIX = "198.51.100.0/24"
WITH_BFD = PEERS.replace(
    "{address: 10.9.0.2, remote_as: 65002}",
    "{address: 10.9.0.2, remote_as: 65002, bfd: {enabled: true, min_interval_ms: 50}}",
)
FRR_BFD = ("bfd", "peer 10.9.0.1", "receive-interval 50", "transmit-interval 50")


def learned(node: BgpNode) -> bool:
    return ip_network(PREFIX) in node.learned


def learn(node: BgpNode, frr: Frr) -> None:
    """The route stands; FRR announces a network only while its kernel has it."""
    frr.netns.run("ip", "route", "replace", "blackhole", PREFIX)
    node.announce("10.244.1.0/24")
    wait_for(lambda: learned(node), "the route is learnt")


def measured_loss(node: BgpNode, what: str, fail: Callable[[], object]) -> None:
    """Fail, and say how long the route stayed."""
    begun = time.monotonic()
    fail()
    wait_for(lambda: not learned(node), f"the route went after: {what}")
    print(f"{what}: route withdrawn {(time.monotonic() - begun) * 1000:.0f} ms later")  # noqa: T201


@pytest.mark.parametrize("place", ["near", "far"])
def test_routes_go_with_the_link_and_come_back_with_it(
    make_netns: NamespaceFactory, tmp_path: Path, place: str
) -> None:
    with pair(make_netns, tmp_path) as (node, frr):
        learn(node, frr)
        netns = node.netns if place == "near" else frr.netns
        measured_loss(node, f"{place} end switched off", lambda: netns.run("ip", "link", "set", "eth0", "down"))
        peer = node.peer()
        assert (peer["device"], peer["link"]) == ("eth0", "down")
        assert peer["held"]
        assert len(node.events("link.down")) == 2
        netns.run("ip", "link", "set", "eth0", "up")
        wait_for(lambda: learned(node), "the route is learnt again")
        assert node.peer()["held"] == ""


def test_routes_go_when_bfd_says_so(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """The peer's bgpd is silent as well, and would be believed for nine seconds."""
    with pair(make_netns, tmp_path, WITH_BFD) as (node, frr):
        try:
            learn(node, frr)
            frr.start("bfdd")
            frr.ask("configure terminal", *FRR_BFD)
            wait_for(lambda: node.peer()["bfd"] == "up" and learned(node), "BFD is up")
            measured_loss(node, "bfdd of the peer stopped", lambda: frr.signal("bfdd", signal.SIGSTOP))
            assert node.events("bfd.down")
            frr.signal("bfdd", signal.SIGCONT)
            wait_for(lambda: node.peer()["bfd"] == "up" and learned(node), "the route is learnt again")
        finally:
            Bfdd(tmp_path / "run" / "bgp").end()
