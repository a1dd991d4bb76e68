"""Native mode: packets between nodes as they are, in a lab of its own."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netloom.datapath.reasons import DropReason
from netloom.lab.agents import wait_until
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6, LabSpec
from netloom.model.address import Address
from support.cluster import WITHIN_S, Cluster, cluster_of, ends_of, frames_until, monitoring, receive
from support.leaks import MARK
from support.load import Route, under_load
from support.objects import with_given_objects
from support.observing import between, the_last

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
OTHER_V4, OTHER_V6 = "203.0.113.20", "2001:db8:77::20"
"""Of the world, beside the one that is reached natively."""
NOBODY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: nobody-comes}
spec:
  endpointSelector: {matchLabels: {app: busybox2}}
  ingress: [{}]
"""
HEADERS_BYTES = {4: 28, 6: 48}
"""Of IP and ICMP."""


def settings(**of_mode: bool) -> dict[str, Any]:
    """Of a node in native mode; ``of_mode``: what is not as usual there."""
    prefixes = [f"{OUTSIDE_V4}/32", f"{OUTSIDE_V6}/128"]
    return {"network_mode": "native", "plugins": {"native": {"native_cidrs": prefixes, **of_mode}}}


@contextmanager
def configured(cluster: Cluster, node: str, **of_mode: bool) -> Iterator[None]:
    """A node whose agent was given other settings, and is given the usual ones again."""

    def start_with(chosen: Mapping[str, bool]) -> None:
        cluster.lab.stop_agent(node)
        cluster.lab.configure(node, with_given_objects(settings(**chosen)))
        cluster.lab.start_agent(node)
        cluster.lab.wait_converged()

    start_with(of_mode)
    try:
        yield
    finally:
        start_with({})


@pytest.fixture(scope="module")
def native(_nothing_left_by_the_run: None) -> Iterator[Cluster]:
    """Two nodes with a pod each; the world's first address knows the way to pods."""
    with cluster_of(LabSpec(name=f"{MARK}-n", pods_per_node=1), settings()) as cluster:
        for node in cluster.lab.topology.nodes:
            cluster.outside.run("ip", "route", "add", str(node.pod_cidr_v4), "via", str(node.ipv4.ip))
            cluster.outside.run("ip", "route", "add", str(node.pod_cidr_v6), "via", str(node.ipv6.ip))
        cluster.outside.run("ip", "address", "add", f"{OTHER_V4}/32", "dev", "lo")
        cluster.outside.run("ip", "address", "add", f"{OTHER_V6}/128", "dev", "lo", "nodad")
        yield cluster


def source_seen(cluster: Cluster, outside: str) -> str:
    """What address the world sees when the first pod sends to one of its own."""
    family = socket.AF_INET6 if ":" in outside else socket.AF_INET
    with (
        cluster.outside.open_socket(family, socket.SOCK_DGRAM) as server,
        cluster.pod("busybox1").open_socket(family, socket.SOCK_DGRAM) as client,
    ):
        server.bind((outside, 0))
        client.sendto(b"x", server.getsockname())
        return str(server.recvfrom(16)[1][0])


@BOTH
def test_packets_between_pods_travel_as_they_are(native: Cluster, version: int) -> None:
    """The first one too, when nobody knows the other node's neighbour entry yet."""
    one, two = native.pod("busybox1"), native.pod("busybox2")
    native.node("node1").run("ip", "neigh", "flush", "dev", "eth0")
    expected = one.address(version).packed + two.address(version).packed
    with native.node("node2").packet_socket("eth0") as sniffer:
        one.ping(two.address(version))
        assert receive(sniffer, lambda frame: ends_of(frame) == expected)


@BOTH
def test_a_pod_has_all_of_the_underlays_mtu(native: Cluster, version: int) -> None:
    native.pod("busybox1").ping(
        native.pod("busybox2").address(version), "-M", "do", "-s", str(1500 - HEADERS_BYTES[version])
    )


@BOTH
def test_nodes_and_pods_of_other_nodes_reach_each_other(native: Cluster, version: int) -> None:
    native.node("node1").ping(native.pod("busybox2").address(version))
    native.pod("busybox1").ping(native.gateway("node2", version))
    native.pod("busybox1").ping(native.underlay("node2", version))


@pytest.mark.parametrize("outside", [OTHER_V4, OTHER_V6])
def test_the_world_sees_the_node(native: Cluster, outside: str) -> None:
    version = 6 if ":" in outside else 4
    assert source_seen(native, outside) == str(native.underlay("node1", version))


@pytest.mark.parametrize("outside", [OTHER_V4, OTHER_V6])
def test_the_world_may_ask_a_pod_by_its_own_address(native: Cluster, outside: str) -> None:
    """Where a router knows the way: the pod answers as whom it was asked."""
    pod = native.pod("busybox1")
    native.outside.ping(pod.address(6 if ":" in outside else 4), "-I", outside)


@pytest.mark.parametrize("outside", [OUTSIDE_V4, OUTSIDE_V6], ids=["IPv4", "IPv6"])
def test_native_cidrs_see_the_pod(native: Cluster, outside: Address) -> None:
    assert source_seen(native, str(outside)) == str(native.pod("busybox1").address(outside.version))


def test_a_policy_holds_across_nodes(native: Cluster, tmp_path: Path) -> None:
    """The receiver's node knows the sender by its address, and tells which policy refused it."""
    one, two = native.pod("busybox1"), native.pod("busybox2")
    file = tmp_path / "policy.yaml"
    file.write_text(NOBODY)
    native.netctl("node2", "policy", "import", "--wait", str(file))
    try:
        assert one.answers_nothing(two.ipv4)
        drop = the_last(native, "node2", *between(one, two, "--type", "drop"))
        assert "nobody-comes" in json.dumps(drop)
        with monitoring(native, "node2", "--type", "trace") as monitor:
            assert one.answers_nothing(two.ipv6)
            seen = monitor.expect(lambda event: "network" in json.dumps(event))
        assert str(one.ipv6) in json.dumps(seen)
    finally:
        native.netctl("node2", "policy", "delete", "nobody-comes")
    one.ping(two.ipv4)


def test_the_agent_says_what_reaches_the_others(native: Cluster) -> None:
    (_, other) = native.lab.api("node1", "/v1/nodes")
    assert (other["reached_by"], other["way"], other["passed_over"]) == ("native", "native", [])
    assert native.lab.api("node1", "/v1/status")["tunnel"]["device"] == ""


def test_packets_for_a_node_that_nothing_reaches_are_dropped(native: Cluster) -> None:
    """They are not the world's: the host's default route would take them along, unseen by any policy."""
    one, two = native.pod("busybox1"), native.pod("busybox2")
    with configured(native, "node1", direct_node_routes=False):
        (_, other) = native.lab.api("node1", "/v1/nodes")
        assert "plugins.native.routed" in other["error"]
        with native.node("node1").packet_socket("eth0") as sniffer:
            for version in (4, 6):
                assert one.answers_nothing(two.address(version))
                drop = the_last(native, "node1", *between(one, two, "--type", "drop"))
                assert drop["code"] == DropReason.NO_TUNNEL_ENDPOINT
            end = native.underlay("node1", 4).packed + native.underlay("node2", 4).packed
            native.node("node1").ping(native.underlay("node2", 4))
            sent = frames_until(sniffer, lambda frame: ends_of(frame) == end)
        own = (one.ipv4.packed, one.ipv6.packed)
        assert not [frame for frame in sent if ends_of(frame).startswith(own)]
    one.ping(two.ipv4)


@BOTH
def test_a_route_that_somebody_deletes_is_put_back(native: Cluster, version: int) -> None:
    node = native.lab.topology.node("node2")
    prefix = str(node.pod_cidr_v4 if version == 4 else node.pod_cidr_v6)
    native.node("node1").run("ip", "route", "delete", prefix)

    def is_there() -> bool:
        return "via" in native.node("node1").run("ip", f"-{version}", "route", "show", prefix)

    assert wait_until(is_there, WITHIN_S)


def test_traffic_goes_on_while_the_agent_is_killed_and_started(native: Cluster) -> None:
    """Nothing is lost, doubled or changed."""
    route = Route(client=native.pod("busybox1"), server=native.pod("busybox2"))
    with under_load([route]) as account:
        native.lab.kill_agent("node1")
        native.lab.start_agent("node1")
        native.lab.wait_converged()
    assert account.trouble == []
    assert account.pings > 100


def test_a_node_that_leaves_takes_its_routes_away(native: Cluster) -> None:
    """They come back with it."""
    prefix = str(native.lab.topology.node("node2").pod_cidr_v4)
    native.lab.stop_agent("node2")
    native.netctl("node1", "node", "forget", "node2")
    assert wait_until(lambda: not native.node("node1").run("ip", "route", "show", prefix), WITHIN_S)
    native.lab.start_agent("node2")
    native.lab.wait_converged()
    native.pod("busybox1").ping(native.pod("busybox2").ipv4)
