"""What people are told when something changes under way, and when there was more than could be told."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from netloom.lab.agents import wait_until
from support.cluster import WITHIN_S, Cluster
from support.enforced import enforced
from support.observing import between, observed, the_last
from support.packets import UDP, ethernet, ip, udp

pytestmark = pytest.mark.e2e

NO_WAY_OUT = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: no-way-out, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: busybox1}}
  egress: [{}]
"""
NOBODY = ip_address("10.244.1.201")
MORE_THAN_THE_RING_HOLDS = 20
"""Bursts; each fits in what the kernel queues for a busy CPU (``net.core.netdev_max_backlog``)."""
BURST = 500
TOLD_WITHIN_S = 4 * WITHIN_S
"""Thousands of events have waited, and are shown anew by each look."""


def test_a_reply_that_is_cut_is_explained_by_the_policy_of_whoever_began(cluster: Cluster) -> None:
    """The client may not send any more: the server's next packet is the first to find out, on the client's node."""
    one, three = cluster.pod("busybox1"), cluster.pod("busybox3")
    with (
        three.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        one.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind((str(three.ipv4), 0))
        client.sendto(b"hello", server.getsockname())
        _, address = server.recvfrom(16)
        with enforced(cluster, NO_WAY_OUT):
            server.sendto(b"too late", address)
            drop = the_last(cluster, "node1", "--policy", "no-way-out", *between(three, one))
    assert (drop["direction"], drop["tracking"], drop["endpoint_id"]) == ("egress", "reply", one.endpoint_id)
    assert drop["policy"]["policies"] == ["CiliumNetworkPolicy/default/no-way-out"]


@contextmanager
def standing_still(cluster: Cluster, node: str) -> Iterator[None]:
    """The node's agent does nothing while the block runs."""
    agent = cluster.lab.agent(node)
    assert agent is not None
    os.kill(agent.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(agent.pid, signal.SIGCONT)


def test_events_that_nobody_has_seen_are_counted_and_shown_in_their_place(cluster: Cluster) -> None:
    one = cluster.pod("busybox1")
    packet = ip(udp(b"x", destination_port=9), source=one.ipv4, destination=NOBODY, protocol=UDP)
    frame = ethernet(packet, source=one.mac, destination=one.node_mac)

    def counted() -> int:
        return int(cluster.lab.api("node1", "/v1/status")["monitor"]["lost"])

    def told() -> int:
        views: list[dict[str, Any]] = observed(cluster, "node1", "--since", "1h")
        return sum(view["count"] for view in views if view["kind"] == "lost" and view["where"] == "ring")

    counted_before, told_before = counted(), told()
    with standing_still(cluster, "node1"), one.packet_socket("eth0") as sender:
        for _ in range(MORE_THAN_THE_RING_HOLDS):
            for _ in range(BURST):
                sender.send(frame)
            time.sleep(0.002)
    assert wait_until(lambda: told() > told_before, TOLD_WITHIN_S)
    assert wait_until(lambda: told() - told_before == counted() - counted_before, TOLD_WITHIN_S)
    assert "events were lost: they came faster" in cluster.netctl("node1", "observe", "--all")
