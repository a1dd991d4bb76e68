"""Masquerading switched off: pods appear outside under their own addresses."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from netloom.edge.ownership import masquerade_table
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from support.cluster import Cluster

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def plain(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a node1 that does not masquerade."""
    cluster.lab.stop_agent("node1")
    cluster.lab.configure("node1", {"masquerade": False})
    cluster.lab.start_agent("node1")
    yield cluster
    cluster.lab.stop_agent("node1")
    cluster.lab.configure("node1", {})
    cluster.lab.start_agent("node1")


@pytest.mark.parametrize(
    ("family", "outside"), [(socket.AF_INET, OUTSIDE_V4), (socket.AF_INET6, OUTSIDE_V6)], ids=["IPv4", "IPv6"]
)
def test_the_world_sees_the_pods_own_address(plain: Cluster, family: int, outside: object) -> None:
    """Whoever switches it off has routes of their own."""
    pod = plain.pod("busybox1")
    with (
        plain.outside.open_socket(family, socket.SOCK_DGRAM) as server,
        pod.open_socket(family, socket.SOCK_DGRAM) as client,
    ):
        server.bind((str(outside), 0))
        client.sendto(b"x", server.getsockname())
        _, source = server.recvfrom(16)
    assert source[0] in (str(pod.ipv4), str(pod.ipv6))


def test_no_rule_is_left_in_the_firewall(plain: Cluster) -> None:
    """Off means that there is no table for it."""
    assert masquerade_table("node1") not in plain.node("node1").run("nft", "list", "tables").split()
