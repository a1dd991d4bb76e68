"""What people are told of real packets: who let them pass, who did not, and what nobody has seen."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from support.cluster import Cluster, PodView, monitoring
from support.enforced import enforced
from support.observing import between, the_last

pytestmark = pytest.mark.e2e

POLICIES = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-web, namespace: default}
spec:
  podSelector: {matchLabels: {app: busybox3}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: busybox1}}}], ports: [{port: 80}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: closed, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: busybox3}}
  ingress: [{}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: not-from-one, namespace: default}
spec:
  description: one is not to be trusted
  endpointSelector: {matchLabels: {app: busybox2}}
  enableDefaultDeny: {ingress: false}
  ingressDeny: [{fromEndpoints: [{matchLabels: {app: busybox1}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: watched, namespace: default, annotations: {netloom.io/audit: "true"}}
spec:
  endpointSelector: {matchLabels: {app: busybox4}}
  ingress: [{}]
"""
CLOSED, WEB = "CiliumNetworkPolicy/default/closed", "NetworkPolicy/default/only-web"


@pytest.fixture(scope="module")
def policies(cluster: Cluster) -> Iterator[Cluster]:
    """The lab with these policies."""
    with enforced(cluster, POLICIES):
        yield cluster


def connect(client: PodView, server: PodView, port: int) -> None:
    """One SYN; nobody need listen."""
    with client.open_socket(socket.AF_INET, socket.SOCK_STREAM) as near:
        near.setblocking(False)
        near.connect_ex((str(server.ipv4), port))


def test_a_drop_by_default_names_all_policies_that_isolate_on_the_node_that_denied(policies: Cluster) -> None:
    """With both ends: the sender's pod is of another node."""
    one, three = policies.pod("busybox1"), policies.pod("busybox3")
    assert one.answers_nothing(three.ipv4)
    drop = the_last(policies, "node2", "--verdict", "dropped", *between(one, three))
    assert (drop["text"], drop["direction"], drop["endpoint_id"]) == ("Policy denied", "ingress", three.endpoint_id)
    assert drop["policy"]["policies"] == drop["policy"]["isolated_by"] == [CLOSED, WEB]
    assert (drop["source_identity"], drop["destination_identity"]) == (one.identity, three.identity)
    assert "k8s:app=busybox1" in drop["source_labels"]
    assert "k8s:app=busybox3" in drop["destination_labels"]


def test_a_drop_by_an_entry_names_its_place_and_what_its_author_wrote(policies: Cluster) -> None:
    """Between two pods of one node: it is the receiver that denies."""
    one, two = policies.pod("busybox1"), policies.pod("busybox2")
    assert one.answers_nothing(two.ipv4)
    drop = the_last(policies, "node1", "--policy", "not-from-one", *between(one, two))
    assert (drop["code"], drop["direction"], drop["endpoint_id"]) == (181, "ingress", two.endpoint_id)
    (rule,) = drop["policy"]["rules"]
    assert (rule["policy"], rule["path"]) == ("CiliumNetworkPolicy/default/not-from-one", "spec.ingressDeny[0]")
    assert rule["description"] == "one is not to be trusted"


def test_an_allowed_flow_names_the_rule_that_allowed_it(policies: Cluster) -> None:
    one, three = policies.pod("busybox1"), policies.pod("busybox3")
    connect(one, three, 80)
    flow = the_last(policies, "node2", "--verdict", "forwarded", "--port", "80", *between(one, three))
    assert (flow["kind"], flow["policy"]["match"]) == ("policy-verdict", "L3-L4")
    assert [(rule["policy"], rule["path"]) for rule in flow["policy"]["rules"]] == [(WEB, "spec.ingress[0]")]


def test_what_an_audit_policy_would_deny_passes_and_is_shown_as_such(policies: Cluster) -> None:
    one, four = policies.pod("busybox1"), policies.pod("busybox4")
    one.ping(four.ipv4)
    flow = the_last(policies, "node2", "--verdict", "audit", *between(one, four))
    assert (flow["text"], flow["policy"]["policies"]) == (
        "audited by default",
        ["CiliumNetworkPolicy/default/watched"],
    )
    line = policies.netctl("node2", "observe", "--verdict", "audit", *between(one, four)).splitlines()[-1]
    assert "policy-verdict:none INGRESS AUDITED (ICMPv4 EchoRequest); would be isolated by" in line


def test_ipv6_is_explained_as_well(policies: Cluster) -> None:
    one, three = policies.pod("busybox1"), policies.pod("busybox3")
    assert one.answers_nothing(three.ipv6)
    drop = the_last(policies, "node2", "--protocol", "icmpv6", *between(one, three))
    assert drop["policy"]["policies"] == [CLOSED, WEB]


def test_the_monitor_shows_a_denial_as_a_verdict_and_as_a_drop(policies: Cluster) -> None:
    one, three = policies.pod("busybox1"), policies.pod("busybox3")
    with monitoring(policies, "node2", "-t", "drop,policy-verdict") as events:
        assert one.answers_nothing(three.ipv4)
        verdict = events.expect(lambda event: event["source_pod"] == "default/busybox1")
        drop = events.expect(lambda event: event["source_pod"] == "default/busybox1")
    assert [verdict["kind"], drop["kind"]] == ["policy-verdict", "drop"]
    assert (
        f"local EP ID {three.endpoint_id}, remote ID {one.identity}, proto 1, ingress, action deny"
        in (verdict["summary"])
    )
    assert drop["summary"].endswith(f"[isolated by {CLOSED}, {WEB}]")
