"""Bandwidth limits between pods of different nodes."""

from __future__ import annotations

import json

import pytest

from netloom.plan.shaping import LEAST_BURST_BYTES
from support.bulk import move
from support.cluster import Cluster
from support.spare_pods import SparePods

pytestmark = pytest.mark.e2e

RATE_BPS = 20_000_000
BYTES = 2_000_000


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_limit_holds_across_nodes(cluster: Cluster, spare_pods: SparePods, direction: str, version: int) -> None:
    """Through the overlay, each way; what goes the other way is free, and the policer stands by."""
    limited = spare_pods.attached("node1", bandwidth={f"{direction}Rate": RATE_BPS})
    free = cluster.pod("busybox3")
    into = move(free.open_socket, limited.open_socket, str(limited.address(version)), BYTES)
    out_of = move(limited.open_socket, free.open_socket, str(free.address(version)), BYTES)
    slow, fast = (into, out_of) if direction == "ingress" else (out_of, into)
    assert (slow.bytes, fast.bytes) == (BYTES, BYTES)
    assert slow.keeps(RATE_BPS, 8 * LEAST_BURST_BYTES)
    assert "RATE_LIMITED" not in cluster.drops("node1")


def test_netctl_shows_the_limits(cluster: Cluster, spare_pods: SparePods) -> None:
    """Everybody's in one table, a pod's own with its facts."""
    limits = {"ingressRate": RATE_BPS, "egressRate": 1_500_000, "egressBurst": 16_000_000}
    pod = spare_pods.attached("node1", bandwidth=limits)
    (row,) = (
        line.split()
        for line in cluster.netctl("node1", "bpf", "bandwidth", "list").splitlines()
        if line.startswith(f"{pod.endpoint_id} ")
    )
    assert row == [str(pod.endpoint_id), "20M", "1.5M"]
    shown = cluster.netctl("node1", "endpoint", "get", str(pod.endpoint_id))
    assert "ingress 20 Mbit/s (burst 131072 bytes), egress 1.5 Mbit/s (burst 2000000 bytes)" in shown


def test_a_walk_goes_by_the_queue_of_a_limited_pod_and_spends_nothing(cluster: Cluster, spare_pods: SparePods) -> None:
    """Both ends are limited; a walk's packet is measured against a copy of the policer."""
    limits = {"ingressRate": RATE_BPS, "egressRate": RATE_BPS}
    sender, receiver = (spare_pods.attached("node1", bandwidth=limits) for _ in range(2))
    sender.ping(receiver.ipv4)
    before = policers(cluster)
    walked = json.loads(cluster.netctl("node1", "walk", sender.name, receiver.name, "-o", "json"))
    assert walked["outcome"]["fate"] == "delivered"
    assert (receiver.host_ifname, "egress") in [(hop["device"], hop["direction"]) for hop in walked["hops"]]
    assert policers(cluster) == before


def policers(cluster: Cluster) -> dict[int, int]:
    """Clocks of node1, by device."""
    entries = cluster.lab.api("node1", "/v1/maps/policers")["entries"]
    return {entry["key"]["ifindex"]: entry["value"]["clock_ns"] for entry in entries}
