"""While a workload's program is off its device, and nobody has put it back yet, nothing of the workload's passes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest

from netloom.edge.netlink import Netlink
from netloom.edge.ownership import guard_table
from support.damaged import DamagedNode

pytestmark = pytest.mark.kernel

PORT = 7007
TARGETS = {
    "gateway": ("10.244.1.1", "fd00:10:244:1::1"),
    "node": ("192.168.78.11", "fd00:78::11"),
    "outside": ("192.168.78.99", "fd00:78::99"),
}
WORD = b"unchecked"


@pytest.fixture(scope="module", params=["clsact", "tcx"])
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[DamagedNode]:
    """The pod's program is off; the agent is frozen, so nothing is repaired."""
    made = DamagedNode(tmp_path_factory, resync_s=3600, attach=request.param)
    neighbours(made)
    assert made.node.agent is not None
    made.node.agent.send_signal(signal.SIGSTOP)
    netlink = made.node.netns.call(Netlink, "n1")
    assert netlink.detach_filter(made.lxc, "ingress")
    netlink.close()
    yield made
    made.close()


def neighbours(site: DamagedNode) -> None:
    """Nobody needs to be asked for a MAC: packets come if they may."""
    netlink = site.node.netns.call(Netlink, "n1")
    mac = netlink.require_link(site.lxc).mac.hex(":")
    netlink.close()
    for gateway in TARGETS["gateway"]:
        site.pod.run("ip", "neigh", "replace", gateway, "lladdr", mac, "dev", "eth0")
    for outside in TARGETS["outside"]:
        site.node.netns.run("ip", "neigh", "replace", outside, "lladdr", "02:00:00:00:00:99", "dev", "eth0")


def leaks(site: DamagedNode, target: str) -> bool:
    """Whether a datagram of the pod's is seen by a socket of the node or behind its underlay device."""
    node = site.node.netns
    with (
        node.call(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM) as inside,
        node.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire,
    ):
        inside.bind(("::", PORT))
        wire.bind(("uplink", 3))
        for listener in (inside, wire):
            listener.settimeout(0.3)
        site.pod.call(send, target)
        return heard(inside) or heard(wire)


def heard(listener: socket.socket) -> bool:
    try:
        while WORD not in listener.recv(2048):
            pass
    except TimeoutError:
        return False
    return True


def send(target: str) -> None:
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(WORD, (target, PORT))


@pytest.mark.parametrize("target", [target for pair in TARGETS.values() for target in pair])
def test_without_its_program_a_workload_reaches_nothing(site: DamagedNode, target: str) -> None:
    """Neither the node, nor anything behind it."""
    assert not leaks(site, target)


@pytest.mark.parametrize("target", [target for pair in TARGETS.values() for target in pair])
def test_it_is_the_guard_that_keeps_it_in(site: DamagedNode, target: str) -> None:
    """Without the guard each of these packets arrives: the test before has teeth."""
    node = site.node.netns
    rules = node.run("nft", "-s", "list", "table", "inet", guard_table("n1"))
    node.run("nft", "delete", "table", "inet", guard_table("n1"))
    try:
        assert leaks(site, target)
    finally:
        node.run("nft", "-f", "-", stdin=rules)
