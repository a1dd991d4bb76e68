"""Connections of real packets, as netctl shows and forgets them; walks and policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netloom.lab.agents import wait_until
from support.cluster import WITHIN_S, Cluster
from support.walked import ping, walk

pytestmark = pytest.mark.e2e

ONLY_BUSYBOX1 = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: walked}
spec:
  podSelector: {matchLabels: {app: busybox3}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {app: busybox1}}}]}]
"""


def shown(cluster: Cluster, node: str, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.netctl(node, "bpf", "ct", "list", "-o", "json", *words))
    return found


def test_a_ping_is_a_connection_on_both_nodes_until_it_is_forgotten(cluster: Cluster) -> None:
    client, server = cluster.pod("busybox1"), cluster.pod("busybox3")
    narrowed = ("--address", str(client.ipv4), "--address", str(server.ipv4), "--protocol", "icmp")
    for node in ("node1", "node2"):
        cluster.netctl(node, "bpf", "ct", "flush", *narrowed)
    ping(client, server.ipv4)
    for node in ("node1", "node2"):
        found = [one for one in shown(cluster, node, *narrowed) if one["destination"] == str(server.ipv4)]
        assert {(one["source"], one["service"], one["state"]) for one in found} == {
            (str(client.ipv4), 8, "established")
        }
        cluster.netctl(node, "bpf", "ct", "flush", *narrowed)
        assert shown(cluster, node, *narrowed) == []


def test_connections_of_a_pod_are_found_by_its_name(cluster: Cluster) -> None:
    client, server = cluster.pod("busybox1"), cluster.pod("busybox2")
    ping(client, server.ipv4)
    found = shown(cluster, "node1", "--pod", "busybox2")
    assert str(server.ipv4) in {one["destination"] for one in found}


def test_status_says_how_many_there_are(cluster: Cluster) -> None:
    """As the first sweep has found them."""
    assert wait_until(lambda: cluster.lab.api("node1", "/v1/status")["connections"]["swept_at"] is not None, WITHIN_S)


@pytest.fixture
def isolated(cluster: Cluster, tmp_path: Path) -> Iterator[None]:
    """busybox3, which only busybox1 may ask, and which may ask nobody."""
    file = tmp_path / "policy.yaml"
    file.write_text(ONLY_BUSYBOX1)
    cluster.netctl("node2", "policy", "import", "--wait", str(file))
    yield
    cluster.netctl("node2", "policy", "delete", "--all")


@pytest.mark.usefixtures("isolated")
def test_a_walk_says_why_policies_drop_and_what_they_were_asked(cluster: Cluster) -> None:
    client, server = cluster.pod("busybox2"), cluster.pod("busybox3")
    walked = walk(cluster, "node1", client.name, str(server.ipv4), "--proto", "tcp", "--port", "80")
    assert (walked["outcome"]["fate"], walked["outcome"]["drop"]["name"]) == ("dropped", "POLICY")
    calls = [call["text"] for hop in walked["hops"] for stage in hop["stages"] for call in stage["calls"]]
    assert any(text.startswith("subjects[") and "ingress enforced" in text for text in calls)
    assert any(text.startswith("policy[ingress peer 0 protocol 6 port 80") for text in calls)


@pytest.mark.usefixtures("isolated")
def test_the_walk_of_an_answer_passes_although_its_sender_may_ask_nobody(cluster: Cluster) -> None:
    client, server = cluster.pod("busybox1"), cluster.pod("busybox3")
    walked = walk(cluster, "node1", client.name, str(server.ipv4), "--reply")
    assert (walked["outcome"]["fate"], walked["reply"]["outcome"]["fate"]) == ("delivered", "delivered")
    asked = walk(cluster, "node2", server.name, str(client.ipv4))
    assert (asked["outcome"]["fate"], asked["outcome"]["drop"]["name"]) == ("dropped", "POLICY")
    ping(client, server.ipv4)
