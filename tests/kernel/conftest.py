"""Devices to attach programs to, and nodes that do it by a given way."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from netloom.edge import filters, tcx
from netloom.edge.netlink import Netlink
from support.attached import Node
from support.bgp_pair import PEERS, STANDING_FRR, Pair, pair
from support.bpf import load_verdict
from support.frr import wait_for
from support.netns import Namespace, namespaces

WAYS: tuple[filters.Way, ...] = ("tcx", "clsact") if tcx.supported() else ("clsact",)


@pytest.fixture(scope="module")
def programs() -> Iterator[tuple[int, int]]:
    """File descriptors of two different programs."""
    fds = load_verdict(0), load_verdict(2)
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture(scope="session")
def _standing(_nothing_left_by_the_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Sessions take seconds to come about, so tests that break nothing share these."""
    with namespaces() as make, pair(make, tmp_path_factory.mktemp("standing"), PEERS, STANDING_FRR) as found:
        found.node.announce()
        wait_for(found.node.established, "sessions stand")
        yield found


@pytest.fixture
def standing(_standing: Pair) -> Pair:
    """A node and a router whose sessions stand; the agent has just been started, and announces nothing."""
    _standing.node.restart(PEERS)
    return _standing


@pytest.fixture
def device(netns: Namespace) -> str:
    """A device that is not ours."""
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    return "eth0"


@pytest.fixture
def node(netns: Namespace) -> Iterator[Node]:
    """A node that attaches in a given way; it may be asked for both ways one after the other."""
    made: list[Netlink] = []

    def attaching_by(way: filters.Way) -> Netlink:
        made.append(netns.call(Netlink, "n1", way))
        return made[-1]

    yield attaching_by
    for each in made:
        each.close()


@pytest.fixture(params=WAYS)
def either(request: pytest.FixtureRequest, node: Node) -> Netlink:
    """Each way in turn."""
    return node(request.param)
