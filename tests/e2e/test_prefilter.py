"""The prefilter before real packets: whoever stands in it is not heard, everybody else is, agent or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from netloom.datapath.reasons import DropReason
from netloom.lab.agents import wait_until
from netloom.lab.inside import program
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from netloom.model.address import Address
from support.cluster import WITHIN_S, Cluster, Place
from support.walked import walk

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
Netctl = Callable[..., str]


@pytest.fixture
def prefilter(cluster: Cluster) -> Iterator[Netctl]:
    """``netctl prefilter`` on node1, which refuses nobody before and after."""
    yield lambda *words: cluster.netctl("node1", "prefilter", *words)
    cluster.netctl("node1", "prefilter", "delete", "--all")
    cluster.lab.wait_converged()


def outside(version: int) -> Address:
    return OUTSIDE_V4 if version == 4 else OUTSIDE_V6


def is_heard(cluster: Cluster, place: Place, source: Address) -> bool:
    """Whether node1 answers what a place sends from an address of its own."""
    return not place.answers_nothing(cluster.underlay("node1", source.version), "-I", str(source))


def refused(cluster: Cluster) -> int:
    """Packets node1 has dropped for it."""
    return cluster.drops("node1").get(DropReason.PREFILTERED.name, 0)


@BOTH
def test_an_address_outside_is_not_heard_while_it_is_refused(cluster: Cluster, prefilter: Netctl, version: int) -> None:
    """Its packets are counted; others of the same place are heard all the time."""
    source, before = outside(version), refused(cluster)
    assert is_heard(cluster, cluster.outside, source)
    prefilter("update", str(source))
    assert not is_heard(cluster, cluster.outside, source)
    assert refused(cluster) > before
    cluster.node("node2").ping(cluster.underlay("node1", version))
    prefilter("delete", str(source))
    assert is_heard(cluster, cluster.outside, source)


@BOTH
def test_a_range_holds_its_addresses(cluster: Cluster, prefilter: Netctl, version: int) -> None:
    prefilter("update", "203.0.113.0/28", "2001:db8:77::/64")
    assert not is_heard(cluster, cluster.outside, outside(version))
    prefilter("update", "--replace", "203.0.113.16/28", "2001:db8:78::/64")
    assert is_heard(cluster, cluster.outside, outside(version))


def test_a_node_of_the_cluster_is_refused_by_force_alone(cluster: Cluster, prefilter: Netctl) -> None:
    """Its pods are cut off with it, and come back."""
    address, pod = cluster.underlay("node2", 4), cluster.pod("busybox1")
    words = (
        str(program("netctl")),
        "--socket",
        str(cluster.lab.files.socket("node1")),
        "prefilter",
        "update",
        str(address),
    )
    assert f'holds {address}, the underlay address of node "node2"' in cluster.node("node1").attempt(*words).stderr
    pod.ping(cluster.pod("busybox3").ipv4)
    prefilter("update", "--force", str(address))
    assert not is_heard(cluster, cluster.node("node2"), address)
    assert pod.answers_nothing(cluster.pod("busybox3").ipv4)
    prefilter("delete", str(address))
    assert wait_until(lambda: not pod.answers_nothing(cluster.pod("busybox3").ipv4), WITHIN_S)


def test_a_node_hears_itself_whatever_it_refuses(cluster: Cluster, prefilter: Netctl) -> None:
    """Its own packets to itself never reach a device."""
    address = cluster.underlay("node1", 4)
    prefilter("update", "--force", str(address))
    cluster.node("node1").ping(address)


@BOTH
def test_an_agent_that_is_killed_leaves_it_at_work(cluster: Cluster, prefilter: Netctl, version: int) -> None:
    """And so does the one that comes after."""
    source = outside(version)
    prefilter("update", str(source))
    cluster.lab.kill_agent("node1")
    try:
        assert not is_heard(cluster, cluster.outside, source)
    finally:
        cluster.lab.start_agent("node1")
    assert not is_heard(cluster, cluster.outside, source)
    assert cluster.lab.api("node1", "/v1/status")["state"] == "ok"


@BOTH
def test_a_walk_from_outside_ends_where_the_packet_would(cluster: Cluster, prefilter: Netctl, version: int) -> None:
    """Nothing is counted by telling it."""
    source, target = outside(version), cluster.underlay("node1", version)
    assert walk(cluster, "node1", str(source), str(target))["outcome"]["fate"] == "delivered"
    prefilter("update", str(source))
    before = refused(cluster)
    walked = walk(cluster, "node1", str(source), str(target))
    assert (walked["outcome"]["fate"], walked["outcome"]["drop"]["name"]) == ("dropped", "PREFILTERED")
    assert f"since {source}/{source.max_prefixlen} is refused" in walked["hops"][-1]["text"]
    assert refused(cluster) == before


def test_a_walk_from_a_refused_node_ends_at_the_device(cluster: Cluster, prefilter: Netctl) -> None:
    """What is inside of its tunnel is no matter."""
    prefilter("update", "--force", str(cluster.underlay("node2", 4)))
    walked = walk(cluster, "node1", "busybox3", "busybox1")
    assert (walked["outcome"]["drop"]["name"], walked["hops"][-1]["device"]) == ("PREFILTERED", "eth0")
