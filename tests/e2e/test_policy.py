"""Policies given to one node are obeyed on both, whatever becomes of agents; what is told is what packets meet."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from netloom.lab.agents import wait_until
from netloom.lab.inside import program
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from netloom.model.address import Address
from support.cluster import WITHIN_S, Cluster, Place
from support.given import NODES, Given
from support.spare_pods import SparePods

pytestmark = pytest.mark.e2e

WALK_DROPPED = 5
"""Exit status of ``netctl walk`` for a packet that is dropped."""
NO_ANSWER_S = 0.5
"""How long a packet that is dropped is waited for."""
ONLY_BUSYBOX1 = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-busybox1}
spec:
  podSelector: {matchLabels: {app: busybox3}}
  ingress: [{from: [{podSelector: {matchLabels: {app: busybox1}}}]}]
"""
MIXED = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: server}
spec:
  endpointSelector: {matchLabels: {app: busybox3}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: busybox1}}]
    toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}]}]
  - icmps: [{fields: [{type: 8, family: IPv4}]}]
  ingressDeny:
  - fromEndpoints: [{matchLabels: {app: busybox4}}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: client}
spec:
  endpointSelector: {matchLabels: {"k8s:app": busybox2}}
  egress:
  - toEndpoints: [{matchLabels: {"k8s:app": busybox1}}]
    toPorts: [{ports: [{port: "80", protocol: TCP}]}]
  - toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.128/25]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: not-out-by-ipv6}
spec:
  endpointSelector: {matchLabels: {app: busybox1}}
  egressDeny: [{toCIDR: ["2001:db8::/32"]}]
  enableDefaultDeny: {egress: false}
"""


@pytest.fixture
def policies(cluster: Cluster, tmp_path: Path) -> Iterator[Given]:
    """None at the beginning, none afterwards."""
    given = Given(cluster, tmp_path)
    yield given
    given.delete("--all")


@pytest.fixture
def killed(cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Kills a node's agent; it runs again after the test."""
    gone: list[str] = []

    def kill(node: str) -> None:
        cluster.lab.kill_agent(node)
        gone.append(node)

    yield kill
    for node in gone:
        cluster.lab.start_agent(node)
    cluster.lab.wait_converged()


def connects(client: Place, server: Place, address: Address, port: int) -> bool:
    """Whether a TCP connection comes about."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with (
        server.open_socket(family, socket.SOCK_STREAM) as listener,
        client.open_socket(family, socket.SOCK_STREAM) as near,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen()
        near.settimeout(NO_ANSWER_S)
        try:
            near.connect((str(address), port))
        except TimeoutError:
            return False
        return True


def reached(cluster: Cluster, source: str, destination: str) -> bool:
    return not cluster.pod(source).answers_nothing(cluster.pod(destination).ipv4)


def test_a_policy_given_to_one_node_is_obeyed_on_the_other_until_it_is_deleted(
    cluster: Cluster, policies: Given
) -> None:
    policies.put(ONLY_BUSYBOX1)
    assert [reached(cluster, f"busybox{number}", "busybox3") for number in (1, 2, 4)] == [True, False, False]
    assert reached(cluster, "busybox3", "busybox4")
    policies.delete("only-busybox1", node="node2")
    assert all(reached(cluster, f"busybox{number}", "busybox3") for number in (1, 2, 4))


def test_a_policy_takes_the_place_of_the_one_of_its_name(cluster: Cluster, policies: Given) -> None:
    policies.put(ONLY_BUSYBOX1)
    policies.put(ONLY_BUSYBOX1.replace("{app: busybox1}", "{app: busybox2}"), node="node2")
    assert [reached(cluster, f"busybox{number}", "busybox3") for number in (1, 2)] == [False, True]


def test_a_pod_that_comes_later_finds_the_policy_in_place(
    cluster: Cluster, policies: Given, spare_pods: SparePods
) -> None:
    """It is selected by labels, so its very first packet is judged."""
    policies.put(ONLY_BUSYBOX1.replace("{app: busybox3}", "{}").replace("{app: busybox1}", "{app: busybox4}"))
    pod = spare_pods.attached("node1")
    assert cluster.pod("busybox1").answers_nothing(pod.ipv4)
    cluster.pod("busybox4").ping(pod.ipv4)


def test_a_pod_whose_labels_change_is_judged_by_the_new_ones_on_both_nodes(
    cluster: Cluster, policies: Given, spare_pods: SparePods
) -> None:
    policies.put(ONLY_BUSYBOX1.replace("{app: busybox1}", "{role: friend}"))
    pod = spare_pods.attached("node1")
    target = cluster.pod("busybox3").ipv4
    assert pod.answers_nothing(target)
    cluster.netctl("node1", "endpoint", "labels", str(pod.endpoint_id), "--add", "role=friend")
    assert wait_until(lambda: not pod.answers_nothing(target), WITHIN_S)
    cluster.netctl("node1", "endpoint", "labels", str(pod.endpoint_id), "--delete", "role")
    assert wait_until(lambda: pod.answers_nothing(target), WITHIN_S)


def test_policies_are_enforced_while_no_agent_runs_and_after_it_is_back(
    cluster: Cluster, policies: Given, killed: Callable[[str], None]
) -> None:
    policies.put(ONLY_BUSYBOX1)
    killed("node2")
    assert [reached(cluster, f"busybox{number}", "busybox3") for number in (1, 2)] == [True, False]
    cluster.lab.start_agent("node2")
    assert [reached(cluster, f"busybox{number}", "busybox3") for number in (1, 2)] == [True, False]
    assert cluster.lab.api("node2", "/v1/status")["policy"]["policies"] == 1


def test_a_policy_deleted_while_an_agent_was_away_is_gone_when_it_is_back(
    cluster: Cluster, policies: Given, killed: Callable[[str], None]
) -> None:
    policies.put(ONLY_BUSYBOX1)
    killed("node2")
    cluster.netctl("node1", "policy", "delete", "--all")
    cluster.lab.start_agent("node2")
    assert reached(cluster, "busybox2", "busybox3")


def test_an_import_with_a_problem_changes_nothing_on_any_node(
    cluster: Cluster, policies: Given, tmp_path: Path
) -> None:
    policies.put(ONLY_BUSYBOX1)
    bad = tmp_path / "bad.yaml"
    bad.write_text(MIXED + "---\nkind: Nonsense\n")
    ended = cluster.node("node1").attempt(*_netctl(cluster, "node1"), "policy", "import", str(bad))
    assert (ended.returncode, "nothing was imported" in ended.stderr) == (4, True)
    for node in NODES:
        assert [row["name"] for row in cluster.lab.api(node, "/v1/policies")["policies"]] == ["only-busybox1"]


def test_what_if_tells_what_an_import_then_does(cluster: Cluster, policies: Given, tmp_path: Path) -> None:
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(ONLY_BUSYBOX1)
    command = (*_netctl(cluster, "node1"), "policy", "what-if", str(candidate), "-o", "json")
    asked = cluster.node("node1").attempt(*command)
    assert asked.returncode == 6
    closed = {cell["source"]["name"] for cell in json.loads(asked.stdout)["cells"] if cell["closed"]}
    assert {f"default: app=busybox{number}" for number in (2, 3, 4)} <= closed
    assert reached(cluster, "busybox2", "busybox3")
    policies.put(ONLY_BUSYBOX1)
    assert cluster.node("node1").attempt(*command).returncode == 0
    assert not reached(cluster, "busybox2", "busybox3")


class Asked(NamedTuple):
    """One packet that is both traced and sent."""

    source: str
    destination: str
    """A pod, or ``outside``."""
    what: int | str
    """A TCP port, or ``echo``."""
    version: int
    passes: bool


PACKETS = (
    # Ingress on another node: by label, by range of ports, by family of ICMP.
    Asked("busybox1", "busybox3", 80, 4, True),
    Asked("busybox1", "busybox3", 90, 6, True),
    Asked("busybox1", "busybox3", 91, 4, False),
    Asked("busybox2", "busybox3", 80, 4, False),
    Asked("busybox1", "busybox3", "echo", 4, True),
    Asked("busybox1", "busybox3", "echo", 6, False),
    # Ingress on the same node: what is denied stays so, although another entry allows it.
    Asked("busybox4", "busybox3", "echo", 4, False),
    Asked("busybox4", "busybox3", 80, 6, False),
    # Egress on the same node, and to another.
    Asked("busybox2", "busybox1", 80, 4, True),
    Asked("busybox2", "busybox1", 80, 6, True),
    Asked("busybox2", "busybox1", 443, 4, False),
    Asked("busybox2", "busybox1", "echo", 4, False),
    Asked("busybox2", "busybox4", 80, 4, False),
    # Out of the cluster, by prefix and by family.
    Asked("busybox2", "outside", "echo", 4, True),
    Asked("busybox2", "outside", 80, 4, True),
    Asked("busybox2", "outside", "echo", 6, False),
    Asked("busybox1", "outside", "echo", 4, True),
    Asked("busybox1", "outside", "echo", 6, False),
    Asked("busybox1", "outside", 80, 6, False),
    Asked("busybox4", "outside", 80, 6, True),
)


def test_what_if_replays_flows_that_were_seen(cluster: Cluster, policies: Given, tmp_path: Path) -> None:
    """Which pass now; and says by whom they would be denied."""
    policies.put(ONLY_BUSYBOX1.replace("{app: busybox3}", "{app: nobody}"))
    cluster.pod("busybox2").ping(cluster.pod("busybox3").ipv6)
    candidate = tmp_path / "candidate.yaml"
    candidate.write_text(ONLY_BUSYBOX1)
    command = (*_netctl(cluster, "node2"), "policy", "what-if", str(candidate), "-o", "json")
    answer = json.loads(cluster.node("node2").attempt(*command).stdout)
    flow = next(
        flow
        for flow in answer["flows"]
        if flow["destination"]["address"] == str(cluster.pod("busybox3").ipv6)
        and flow["source"]["address"] == str(cluster.pod("busybox2").ipv6)
    )
    assert (flow["protocol"], flow["port"], flow["becomes"]) == ("icmp6", 128, "would be denied")
    assert flow["after"]["isolated_by"] == ["NetworkPolicy/default/only-busybox1"]


def test_a_trace_says_of_each_packet_what_then_becomes_of_it(cluster: Cluster, policies: Given) -> None:
    policies.put(MIXED)
    expected = {asked: asked.passes for asked in PACKETS}
    assert {asked: _traced(cluster, asked) for asked in PACKETS} == expected
    assert {asked: _sent(cluster, asked) for asked in PACKETS} == expected


def test_the_host_reaches_its_own_pods_whatever_isolates_them_and_those_of_others_do_not_hear_it(
    cluster: Cluster, policies: Given
) -> None:
    """As Kubernetes wants it; and a trace knows which node's host is meant."""
    policies.put(ONLY_BUSYBOX1)
    target = cluster.pod("busybox3")
    for node, passes in (("node1", False), ("node2", True)):
        words = ("policy", "trace", "--src", "host", "--dst", "default/busybox3", "--icmp", "8")
        traced = cluster.node(node).attempt(*_netctl(cluster, node), *words).returncode == 0
        sent = not cluster.node(node).answers_nothing(target.ipv4)
        assert (node, traced, sent) == (node, passes, passes)


def _netctl(cluster: Cluster, node: str) -> tuple[str, ...]:
    return str(program("netctl")), "--socket", str(cluster.lab.files.socket(node))


def _address(cluster: Cluster, asked: Asked) -> Address:
    if asked.destination == "outside":
        return OUTSIDE_V4 if asked.version == 4 else OUTSIDE_V6
    return cluster.pod(asked.destination).address(asked.version)


def _traced(cluster: Cluster, asked: Asked) -> bool:
    """What ``netctl`` says, asked on the sender's node, by names where there are names."""
    node = cluster.pod(asked.source).node
    target = str(_address(cluster, asked)) if asked.destination == "outside" else f"default/{asked.destination}"
    echo = ("--icmp", "8") if asked.version == 4 else ("--icmp6", "128")
    service = echo if asked.what == "echo" else ("--dport", f"{asked.what}/tcp")
    family = ("-6",) if asked.version == 6 else ()
    words = ("policy", "trace", "--src", f"default/{asked.source}", "--dst", target, *service, *family)
    ended = cluster.node(node).attempt(*_netctl(cluster, node), *words)
    assert ended.returncode in (0, 5), ended.stderr
    return ended.returncode == 0


def _sent(cluster: Cluster, asked: Asked) -> bool:
    client, address = cluster.pod(asked.source), _address(cluster, asked)
    if isinstance(asked.what, str):
        return not client.answers_nothing(address)
    server = cluster.outside if asked.destination == "outside" else cluster.pod(asked.destination)
    return connects(client, server, address, asked.what)


def test_a_walk_ends_where_a_policy_denies_and_names_what_was_found_in_its_table(
    cluster: Cluster, policies: Given
) -> None:
    policies.put(ONLY_BUSYBOX1)
    allowed = cluster.netctl("node1", "walk", "busybox1", "busybox3")
    assert f"policy[ingress peer {cluster.pod('busybox1').identity} protocol 1 port 8/16] = allow" in allowed
    argv = [str(program("netctl")), "--socket", str(cluster.lab.files.socket("node1")), "walk", "busybox2", "busybox3"]
    denied = cluster.node("node1").attempt(*argv)
    assert denied.returncode == WALK_DROPPED
    assert f"policy[ingress peer {cluster.pod('busybox2').identity} protocol 1 port 8/16] has nothing" in denied.stdout
    assert "Policy denied" in denied.stdout
