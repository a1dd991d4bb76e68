"""CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy: what each field means."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from netloom.model.policy import (
    CidrPeer,
    EndpointPeer,
    Entity,
    EntityPeer,
    Icmp,
    PolicyKind,
    Ports,
    Protocol,
    Section,
    Selector,
)
from support.policies import asks, cilium, labels, namespace, policy, rule, written

CLUSTERWIDE = PolicyKind.CILIUM_CLUSTERWIDE
ANY_NAMESPACE = ("k8s", "io.kubernetes.pod.namespace", "Exists", ())


def peers(entry: str, *, section: str = "ingress") -> object:
    found = cilium(f"{section}:\n- {entry}\n")
    (one,) = (found.egress if section.startswith("egress") else found.ingress).allow or ()
    return one.peers


def services(entry: str) -> object:
    (one,) = cilium(f"ingress:\n- {entry}\n").ingress.allow or ()
    return one.services


def selector(text: str, kind: PolicyKind = PolicyKind.CILIUM, where: str = "team") -> Selector:
    found = rule(f"endpointSelector: {{}}\ningress:\n- fromEndpoints: [{text}]\n", kind, where)
    ((one,),) = [entry.peers or () for entry in found.ingress.allow or ()]
    assert isinstance(one, EndpointPeer)
    return one.selector


@pytest.mark.parametrize(
    ("sections", "ingress", "egress"),
    [
        ("ingress: [{}]", True, False),
        ("ingressDeny: [{fromEntities: [world]}]", True, False),
        ("egress: [{}]", False, True),
        ("egressDeny: [{toEntities: [world]}]", False, True),
        ("ingress: [{}]\negress: [{}]", True, True),
        ("ingress: []\negress: []", False, False),
        ("ingress: [{}]\nenableDefaultDeny: {ingress: false}", False, False),
        ("ingress: [{}]\nenableDefaultDeny: {egress: true}", True, True),
        ("enableDefaultDeny: {ingress: true}", True, False),
    ],
)
def test_default_deny_follows_from_the_sections_unless_it_is_written(
    sections: str, ingress: bool, egress: bool
) -> None:
    found = cilium(sections)
    assert (found.ingress.isolates, found.egress.isolates) == (ingress, egress)


def test_a_section_that_is_not_written_says_nothing() -> None:
    assert cilium("ingress: [{}]\n").egress == Section(allow=None, deny=None, isolates=False)


def test_an_empty_section_holds_no_entry() -> None:
    assert cilium("ingress: []\n").ingress == Section(allow=(), deny=None, isolates=False)


def test_an_entry_that_says_nothing_matches_nothing() -> None:
    """It is how Cilium's users write default deny."""
    assert peers("{}") == ()


def test_an_entry_with_ports_alone_is_for_any_peer() -> None:
    assert peers("toPorts: [{ports: [{port: '80'}]}]") is None


def test_an_entry_with_peers_alone_is_for_anything_they_send() -> None:
    assert services("fromEntities: [world]") is None


@pytest.mark.parametrize("field", ["fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities"])
def test_an_empty_list_of_peers_matches_nobody(field: str) -> None:
    assert peers(f"{field}: []") == ()


@pytest.mark.parametrize("field", ["toPorts: []", "toPorts: [{ports: []}]", "icmps: []", "icmps: [{fields: []}]"])
def test_an_empty_list_of_services_matches_nothing(field: str) -> None:
    assert services(field) == ()


def test_deny_entries_stand_beside_those_that_allow() -> None:
    found = cilium("ingressDeny: [{fromEntities: [world]}]\negressDeny: [{toEntities: [host]}]\n")
    assert [entry.peers for entry in found.ingress.deny or ()] == [(EntityPeer(Entity.WORLD),)]
    assert [entry.peers for entry in found.egress.deny or ()] == [(EntityPeer(Entity.HOST),)]


def test_specs_are_rules_in_their_order() -> None:
    text = written("x", namespace="").partition("spec:")[0]
    text += "specs:\n- endpointSelector: {}\n  description: one\n- endpointSelector: {}\n  description: two\n"
    assert [item.description for item in policy(text).rules] == ["one", "two"]


def test_a_rule_knows_where_it_was_written() -> None:
    found = cilium("ingress:\n- fromEntities: [all]\n")
    (entry,) = found.ingress.allow or ()
    assert (str(found.origin), str(entry.origin)) == ("p.yaml:6: spec", "p.yaml:8: spec.ingress[0]")


def test_a_subject_is_of_the_policys_namespace() -> None:
    found = rule("endpointSelector: {matchLabels: {app: web}}", namespace="team")
    assert found.subject == asks(("any", "app", "In", ("web",)), namespace("team"))


def test_a_subject_of_another_namespace_is_of_the_policys_all_the_same() -> None:
    text = 'endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": other}}'
    assert rule(text, namespace="team").subject == asks(namespace("team"))


def test_a_subject_of_a_clusterwide_policy_is_of_any_namespace() -> None:
    assert rule("endpointSelector: {}", CLUSTERWIDE).subject == Selector()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", asks(namespace("team"))),
        ("{matchLabels: {app: web}}", asks(("any", "app", "In", ("web",)), namespace("team"))),
        ('{matchLabels: {"any:app": web}}', asks(("any", "app", "In", ("web",)), namespace("team"))),
        ('{matchLabels: {"k8s:app": web}}', asks(("k8s", "app", "In", ("web",)), namespace("team"))),
        ('{matchLabels: {"container:app": ""}}', asks(("container", "app", "In", ("",)), namespace("team"))),
        ('{matchLabels: {"k8s:io.kubernetes.pod.namespace": other}}', asks(namespace("other"))),
        (
            "{matchLabels: {io.kubernetes.pod.namespace: other}}",
            asks(("any", "io.kubernetes.pod.namespace", "In", ("other",))),
        ),
        (
            '{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: Exists}]}',
            asks(ANY_NAMESPACE),
        ),
        ('{matchLabels: {"reserved:host": ""}}', asks(("reserved", "host", "In", ("",)))),
        (
            '{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": a}}',
            asks(("k8s", "io.cilium.k8s.namespace.labels.team", "In", ("a",))),
        ),
        (
            "{matchExpressions: [{key: app, operator: In, values: [b, a, b]}]}",
            asks(("any", "app", "In", ("a", "b")), namespace("team")),
        ),
        (
            "{matchExpressions: [{key: app, operator: NotIn, values: [a]}, {key: x/y, operator: DoesNotExist}]}",
            asks(("any", "app", "NotIn", ("a",)), ("any", "x/y", "DoesNotExist", ()), namespace("team")),
        ),
        (
            "{matchLabels: {a: b}, matchExpressions: [{key: a, operator: Exists, values: []}]}",
            asks(("any", "a", "In", ("b",)), ("any", "a", "Exists", ()), namespace("team")),
        ),
    ],
)
def test_peers_are_of_the_policys_namespace_unless_another_is_written(text: str, expected: Selector) -> None:
    assert selector(text) == expected


def test_every_endpoint_of_a_clusterwide_policy_is_every_one_that_has_a_namespace() -> None:
    """Else it would let in nodes and the world."""
    found = selector("{}", CLUSTERWIDE, "")
    assert found == asks(ANY_NAMESPACE)
    assert not found.selects(labels("reserved:world"))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("fromCIDR: [10.0.0.0/8, 'fd00::/8']", ["10.0.0.0/8", "fd00::/8"]),
        ("fromCIDR: [192.0.2.1, 'fd00::1']", ["192.0.2.1/32", "fd00::1/128"]),
        ("fromCIDR: [0.0.0.0/0, 0.0.0.0/0]", ["0.0.0.0/0"]),
    ],
)
def test_a_cidr_is_a_prefix_or_an_address(entry: str, expected: list[str]) -> None:
    assert peers(entry) == tuple(CidrPeer(ip_network(text)) for text in expected)


def test_a_cidr_set_takes_prefixes_out_and_matches_no_endpoint() -> None:
    assert peers("fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.2.0.0/16, 10.1.0.0/16]}]") == (
        CidrPeer(ip_network("10.0.0.0/8"), (ip_network("10.1.0.0/16"), ip_network("10.2.0.0/16"))),
    )


@pytest.mark.parametrize("entity", Entity)
def test_every_entity_is_known(entity: Entity) -> None:
    assert peers(f"fromEntities: [{entity}]") == (EntityPeer(entity),)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("toEndpoints: [{}]", EndpointPeer(asks(namespace("default")))),
        ("toCIDR: [10.0.0.0/8]", CidrPeer(ip_network("10.0.0.0/8"))),
        ("toCIDRSet: [{cidr: 'fd00::/8'}]", CidrPeer(ip_network("fd00::/8"))),
        ("toEntities: [kube-apiserver]", EntityPeer(Entity.KUBE_APISERVER)),
    ],
)
def test_egress_has_the_same_peers_by_other_names(entry: str, expected: object) -> None:
    assert peers(entry, section="egress") == (expected,)


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("{port: '80', protocol: TCP}", Ports(Protocol.TCP, 80, 80)),
        ("{port: 80, protocol: UDP}", Ports(Protocol.UDP, 80, 80)),
        ("{port: '80'}", Ports(Protocol.ANY, 80, 80)),
        ("{port: '80', protocol: ANY}", Ports(Protocol.ANY, 80, 80)),
        ("{port: '0', protocol: SCTP}", Ports(Protocol.SCTP, 0, 65535)),
        ("{protocol: TCP}", Ports(Protocol.TCP, 0, 65535)),
        ("{port: '1024', endPort: 65535, protocol: TCP}", Ports(Protocol.TCP, 1024, 65535)),
        ("{port: '80', endPort: 80}", Ports(Protocol.ANY, 80, 80)),
        ("{port: '80', endPort: 0}", Ports(Protocol.ANY, 80, 80)),
        ("{port: dns-tcp, protocol: TCP}", Ports(Protocol.TCP, name="dns-tcp")),
        ("{port: HTTP}", Ports(Protocol.ANY, name="http")),
        ("{port: '0x50'}", Ports(Protocol.ANY, name="0x50")),
    ],
)
def test_a_port_is_a_number_a_range_or_a_name(port: str, expected: Ports) -> None:
    assert services(f"toPorts: [{{ports: [{port}]}}]") == (expected,)


def test_ports_of_all_lists_are_one_set() -> None:
    found = services("toPorts: [{ports: [{port: '1'}, {port: '2'}]}, {ports: [{port: '1'}]}]")
    assert found == (Ports(Protocol.ANY, 1, 1), Ports(Protocol.ANY, 2, 2))


def test_forty_ports_in_a_list_are_not_too_many() -> None:
    many = ", ".join(f"{{port: '{number}'}}" for number in range(1, 41))
    found = services(f"toPorts: [{{ports: [{many}]}}]")
    assert isinstance(found, tuple)
    assert len(found) == 40


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("{type: 8}", Icmp(4, 8)),
        ("{type: '8'}", Icmp(4, 8)),
        ("{type: EchoRequest, family: IPv4}", Icmp(4, 8)),
        ("{type: 255, family: IPv6}", Icmp(6, 255)),
        ("{type: EchoRequest, family: IPv6}", Icmp(6, 128)),
        ("{type: PacketTooBig, family: IPv6}", Icmp(6, 2)),
        ("{type: 0}", Icmp(4, 0)),
    ],
)
def test_an_icmp_type_is_a_number_or_a_name_of_its_family(field: str, expected: Icmp) -> None:
    assert services(f"icmps: [{{fields: [{field}]}}]") == (expected,)
