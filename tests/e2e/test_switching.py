"""Two network modes at once, and from one to the other under way: a lab of three nodes on two segments."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from netloom.lab.topology import LabSpec
from support.cluster import Cluster, cluster_of
from support.leaks import MARK
from support.load import Route, under_load
from support.objects import with_given_objects

pytestmark = pytest.mark.e2e

SPEC = LabSpec(name=f"{MARK}-s", nodes=3, pods_per_node=1)
VXLAN: Mapping[str, Any] = {"network_mode": "vxlan"}
HYBRID: Mapping[str, Any] = {"network_mode": "native", "fallback_mode": "vxlan"}
NATIVE: Mapping[str, Any] = {"network_mode": "native"}
ROUTED: Mapping[str, Any] = {**NATIVE, "plugins": {"native": {"routed": True}}}
HEADERS_BYTES = {4: 28, 6: 48}
BOTH = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])


@pytest.fixture
def lab(_nothing_left_by_the_run: None) -> Iterator[Cluster]:
    """Three nodes with a pod each, by tunnel."""
    with cluster_of(SPEC, VXLAN) as made:
        yield made


def switch(cluster: Cluster, chosen: Mapping[str, Any]) -> None:
    """One agent after the other."""
    for node in cluster.lab.topology.nodes:
        cluster.lab.stop_agent(node.name)
        cluster.lab.configure(node.name, with_given_objects(chosen))
        cluster.lab.start_agent(node.name)
        cluster.lab.wait_converged()


def ways(cluster: Cluster, node: str) -> dict[str, str]:
    """How the others are reached."""
    return {view["name"]: view["way"] for view in cluster.lab.api(node, "/v1/nodes") if not view["local"]}


def test_modes_are_switched_under_way_and_back(lab: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Connections survive; what is lost is told."""
    routes = [
        Route(client=lab.pod("busybox1"), server=lab.pod("busybox2")),
        Route(client=lab.pod("busybox3"), server=lab.pod("busybox1")),
    ]
    for name, chosen, way in (
        ("vxlan to native with fallback vxlan", HYBRID, "native"),
        ("then to native alone", NATIVE, "native"),
        ("back to native with fallback vxlan", HYBRID, "native"),
        ("back to vxlan", VXLAN, "tunnel"),
    ):
        with under_load(routes) as account:
            switch(lab, chosen)
        with capsys.disabled():
            found = account.trouble or "no loss"
            sys.stdout.write(f"\n{name}: {account.pings} pings, {account.streamed_bytes} bytes, {found}\n")
        assert ways(lab, "node1") == {"node2": way, "node3": way}
        assert account.trouble == []


@pytest.fixture(scope="module")
def hybrid(_nothing_left_by_the_run: None) -> Iterator[Cluster]:
    """node3 stands on a segment of its own, behind the router that all have."""
    with cluster_of(SPEC, HYBRID) as cluster:
        cluster.lab.stop_agent("node3")
        for address, more in (("192.168.177.1/24", ()), ("fd00:177::1/64", ("nodad",))):
            cluster.outside.run("ip", "address", "add", address, "dev", "underlay", *more)
        cluster.outside.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        there = cluster.node("node3")
        there.run("ip", "address", "flush", "dev", "eth0", "scope", "global")
        there.run("ip", "address", "add", "192.168.177.13/24", "dev", "eth0")
        there.run("ip", "address", "add", "fd00:177::13/64", "dev", "eth0", "nodad")
        there.run("ip", "route", "replace", "default", "via", "192.168.177.1")
        there.run("ip", "-6", "route", "replace", "default", "via", "fd00:177::1")
        cluster.lab.start_agent("node3")
        cluster.lab.wait_converged()
        yield cluster


def test_neighbours_are_reached_natively_and_others_by_tunnel(hybrid: Cluster) -> None:
    assert ways(hybrid, "node1") == {"node2": "native", "node3": "tunnel"}
    assert ways(hybrid, "node3") == {"node1": "tunnel", "node2": "tunnel"}
    (found,) = (view for view in hybrid.lab.api("node1", "/v1/nodes") if view["name"] == "node3")
    assert "on no segment of this node" in found["passed_over"][0]


@BOTH
def test_both_ways_work_at_once(hybrid: Cluster, version: int) -> None:
    for client, server in (("busybox1", "busybox2"), ("busybox1", "busybox3"), ("busybox3", "busybox2")):
        hybrid.pod(client).ping(hybrid.pod(server).address(version))


@BOTH
def test_each_way_has_its_own_mtu(hybrid: Cluster, version: int) -> None:
    """What the tunnel does not take is told to the sender by ICMP."""
    full = str(1500 - HEADERS_BYTES[version])
    one = hybrid.pod("busybox1")
    one.ping(hybrid.pod("busybox2").address(version), "-M", "do", "-s", full)
    far = hybrid.pod("busybox3").address(version)
    refused = one.attempt("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", full, str(far))
    assert refused.returncode == 1
    assert "1450" in refused.stdout + refused.stderr
    one.ping(far, "-M", "do", "-s", str(1450 - HEADERS_BYTES[version]))
