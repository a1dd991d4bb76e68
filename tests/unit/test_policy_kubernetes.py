"""NetworkPolicy: what each field means."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from netloom.model.policy import CidrPeer, EndpointPeer, PolicyKind, Ports, Protocol, Section, Selector
from support.policies import asks, kubernetes, labels, namespace, rule

NAMESPACE_LABEL = "io.cilium.k8s.namespace.labels."
ANY_NAMESPACE = ("k8s", "io.kubernetes.pod.namespace", "Exists", ())


def peers(text: str) -> object:
    (entry,) = kubernetes(f"ingress:\n- from: [{text}]\n", "team").ingress.allow or ()
    return entry.peers


def services(text: str) -> object:
    (entry,) = kubernetes(f"ingress:\n- ports: [{text}]\n").ingress.allow or ()
    return entry.services


@pytest.mark.parametrize(
    ("sections", "ingress", "egress"),
    [
        ("", True, False),
        ("ingress: []", True, False),
        ("egress: []", True, True),
        ("egress: [{}]", True, True),
        ("policyTypes: []", True, False),
        ("policyTypes: [Ingress]", True, False),
        ("policyTypes: [Egress]", False, True),
        ("policyTypes: [Ingress, Egress]", True, True),
        ("policyTypes: [Ingress]\negress: [{}]", True, False),
    ],
)
def test_a_pod_is_isolated_in_the_directions_of_policy_types_or_of_the_sections(
    sections: str, ingress: bool, egress: bool
) -> None:
    found = kubernetes(sections)
    assert (found.ingress.isolates, found.egress.isolates) == (ingress, egress)


def test_a_section_that_policy_types_leaves_out_says_nothing() -> None:
    assert kubernetes("policyTypes: [Egress]\ningress: [{}]\n").ingress == Section()


def test_an_isolated_direction_without_entries_allows_nothing() -> None:
    assert kubernetes("policyTypes: [Egress]\n").egress == Section(allow=(), isolates=True)


@pytest.mark.parametrize("entry", ["{}", "{from: [], ports: []}", "{from: []}", "{ports: []}"])
def test_missing_and_empty_peers_and_ports_are_any(entry: str) -> None:
    (found,) = kubernetes(f"ingress: [{entry}]\n").ingress.allow or ()
    assert (found.peers, found.services) == (None, None)


def test_pods_are_selected_by_kubernetes_own_labels_in_the_policys_namespace() -> None:
    found = rule(
        "podSelector: {matchLabels: {app: web}, matchExpressions: [{key: x, operator: Exists}]}",
        PolicyKind.KUBERNETES,
        "team",
    )
    assert found.subject == asks(("k8s", "app", "In", ("web",)), ("k8s", "x", "Exists", ()), namespace("team"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{podSelector: {}}", asks(namespace("team"))),
        ("{podSelector: {matchLabels: {a: b}}}", asks(("k8s", "a", "In", ("b",)), namespace("team"))),
        ("{namespaceSelector: {}}", asks(ANY_NAMESPACE)),
        (
            "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: x}}}",
            asks(namespace("x")),
        ),
        (
            "{namespaceSelector: {matchLabels: {t: x}}, podSelector: {matchLabels: {a: b}}}",
            asks(("k8s", NAMESPACE_LABEL + "t", "In", ("x",)), ("k8s", "a", "In", ("b",))),
        ),
        (
            "{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}",
            asks(ANY_NAMESPACE, ("k8s", "a", "In", ("b",))),
        ),
        (
            "{namespaceSelector: {matchExpressions: [{key: t, operator: NotIn, values: [x]}]}}",
            asks(ANY_NAMESPACE, ("k8s", NAMESPACE_LABEL + "t", "NotIn", ("x",))),
        ),
    ],
)
def test_a_peer_is_pods_of_namespaces(text: str, expected: Selector) -> None:
    assert peers(text) == (EndpointPeer(expected),)


def test_namespaces_are_never_matched_by_what_has_none() -> None:
    found = peers("{namespaceSelector: {matchExpressions: [{key: t, operator: DoesNotExist}]}}")
    assert isinstance(found, tuple)
    assert not found[0].selector.selects(labels("reserved:world"))


def test_an_ip_block_matches_endpoints_too() -> None:
    assert peers("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}") == (
        CidrPeer(ip_network("10.0.0.0/8"), (ip_network("10.1.0.0/16"),), with_endpoints=True),
    )


def test_peers_of_egress_are_called_to() -> None:
    (entry,) = kubernetes("egress: [{to: [{podSelector: {}}]}]\n").egress.allow or ()
    assert entry.peers == (EndpointPeer(asks(namespace("default"))),)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("{port: 80}", Ports(Protocol.TCP, 80, 80)),
        ("{port: 53, protocol: UDP}", Ports(Protocol.UDP, 53, 53)),
        ("{protocol: SCTP}", Ports(Protocol.SCTP, 0, 65535)),
        ("{}", Ports(Protocol.TCP, 0, 65535)),
        ("{port: 1, endPort: 65535}", Ports(Protocol.TCP, 1, 65535)),
        ("{port: http}", Ports(Protocol.TCP, name="http")),
    ],
)
def test_a_port_is_of_tcp_unless_another_protocol_is_written(port: str, expected: Ports) -> None:
    assert services(port) == (expected,)
