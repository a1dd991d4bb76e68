"""When one entry leaves nothing of another."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.labels import Label, Labels
from netloom.model.policy import ANY_SOURCE, CidrPeer, Operator, Requirement, Selector
from netloom.policy.shadowing import covers, peer_covers, selector_covers, shadowed
from support.policies import cilium, rule

SOURCES = ("k8s", "container")
KEYS = "ab"
VALUES = "xyz"


def hidden(allow: str, deny: str) -> bool:
    found = cilium(f"ingress: [{allow}]\ningressDeny: [{deny}]\n")
    return bool(list(shadowed(found, found)))


@pytest.mark.parametrize(
    ("allow", "deny"),
    [
        ("{fromEntities: [world]}", "{fromEntities: [world]}"),
        ("{fromEntities: [world-ipv4]}", "{fromEntities: [world]}"),
        ("{fromEntities: [host, remote-node]}", "{fromEntities: [cluster]}"),
        ("{fromEntities: [host]}", "{fromEntities: [all]}"),
        ("{toPorts: [{ports: [{port: '80'}]}]}", "{fromEntities: [all]}"),
        ("{fromCIDR: [10.1.0.0/16]}", "{fromCIDR: [10.0.0.0/8]}"),
        ("{fromCIDR: [10.1.0.0/16]}", "{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.2.0.0/16]}]}"),
        (
            "{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.0.0.0/9]}]}",
            "{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}",
        ),
        ("{fromCIDR: [10.0.0.0/8]}", "{fromEntities: [world]}"),
        ("{fromEndpoints: [{matchLabels: {a: x, b: y}}]}", "{fromEndpoints: [{matchLabels: {a: x}}]}"),
        ("{fromEndpoints: [{matchLabels: {'k8s:a': x}}]}", "{fromEndpoints: [{matchLabels: {a: x}}]}"),
        (
            "{fromEndpoints: [{matchLabels: {a: x}}]}",
            "{fromEndpoints: [{matchExpressions: [{key: a, operator: In, values: [x, y]}]}]}",
        ),
        ("{fromEntities: [world], toPorts: [{ports: [{port: '80'}]}]}", "{fromEntities: [world]}"),
        (
            "{fromEntities: [world], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}",
            "{fromEntities: [world], toPorts: [{ports: [{port: '1', endPort: 100}]}]}",
        ),
        (
            "{toPorts: [{ports: [{port: http, protocol: TCP}]}]}",
            "{fromEntities: [all], toPorts: [{ports: [{port: '0', protocol: TCP}]}]}",
        ),
        (
            "{fromEntities: [world], icmps: [{fields: [{type: 8}]}]}",
            "{fromEntities: [world], icmps: [{fields: [{type: 8}, {type: 3}]}]}",
        ),
        (
            "{fromEntities: [all], toPorts: [{ports: [{port: '1', protocol: ANY}]}]}",
            "{toPorts: [{ports: [{port: '1', protocol: TCP}, {port: '1', protocol: UDP}, {port: 1, protocol: SCTP}]}]}",
        ),
    ],
)
def test_an_allow_is_shadowed_by_a_deny_as_wide_or_wider(allow: str, deny: str) -> None:
    assert hidden(allow, deny)


@pytest.mark.parametrize(
    ("allow", "deny"),
    [
        ("{fromEntities: [world]}", "{fromEntities: [world-ipv4]}"),
        ("{fromEntities: [world]}", "{fromEntities: [host]}"),
        ("{toPorts: [{ports: [{port: '80'}]}]}", "{fromEntities: [world]}"),
        ("{fromCIDR: [10.0.0.0/8]}", "{fromCIDR: [10.1.0.0/16]}"),
        ("{fromCIDR: [10.0.0.0/8]}", "{fromCIDR: ['::/0']}"),
        ("{fromCIDR: ['fd00::/8']}", "{fromEntities: [world-ipv4]}"),
        ("{fromCIDR: [10.1.0.0/16]}", "{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.2.0/24]}]}"),
        ("{fromCIDR: [10.1.2.0/24]}", "{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}"),
        ("{fromEndpoints: [{matchLabels: {a: x}}]}", "{fromEndpoints: [{matchLabels: {a: x, b: y}}]}"),
        ("{fromEndpoints: [{matchLabels: {a: x}}]}", "{fromEndpoints: [{matchLabels: {'k8s:a': x}}]}"),
        ("{fromEndpoints: [{}]}", "{fromEntities: [world]}"),
        ("{fromEntities: [world]}", "{fromEntities: [world], toPorts: [{ports: [{port: '80'}]}]}"),
        (
            "{fromEntities: [world], toPorts: [{ports: [{port: '80'}]}]}",
            "{fromEntities: [world], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}",
        ),
        (
            "{fromEntities: [world], toPorts: [{ports: [{port: http}]}]}",
            "{fromEntities: [world], toPorts: [{ports: [{port: '1', endPort: 65535}]}]}",
        ),
        ("{}", "{fromEntities: [all]}"),
        ("{fromCIDR: []}", "{fromEntities: [all]}"),
        ("{fromEntities: [world]}", "{}"),
        ("{fromEntities: [world]}", "{fromEntities: [world], toPorts: []}"),
    ],
)
def test_an_allow_of_which_something_is_left_is_not_shadowed(allow: str, deny: str) -> None:
    assert not hidden(allow, deny)


def test_the_other_direction_shadows_nothing() -> None:
    found = cilium("ingress: [{fromEntities: [world]}]\negressDeny: [{toEntities: [all]}]\n")
    assert list(shadowed(found, found)) == []


def test_a_rule_for_more_endpoints_shadows_one_for_fewer_and_not_the_other_way_round() -> None:
    allowing = rule("endpointSelector: {matchLabels: {a: x}}\ningress: [{fromEntities: [world]}]\n")
    denying = rule("endpointSelector: {}\ningressDeny: [{fromEntities: [world]}]\n")
    ((allow, deny),) = shadowed(allowing, denying)
    assert covers(deny, allow)
    few = rule("endpointSelector: {matchLabels: {a: x, b: y}}\ningressDeny: [{fromEntities: [world]}]\n")
    assert list(shadowed(allowing, few)) == []


def test_a_prefix_that_matches_endpoints_is_wider_than_one_that_does_not() -> None:
    network = ip_network("10.0.0.0/8")
    assert peer_covers(CidrPeer(network, with_endpoints=True), CidrPeer(network))
    assert not peer_covers(CidrPeer(network), CidrPeer(network, with_endpoints=True))


REQUIREMENTS = st.builds(
    lambda source, key, operator, values: Requirement(
        source, key, operator, tuple(sorted(values)) if operator in (Operator.IN, Operator.NOT_IN) else ()
    ),
    st.sampled_from((*SOURCES, ANY_SOURCE)),
    st.sampled_from(KEYS),
    st.sampled_from(Operator),
    st.sets(st.sampled_from(VALUES), min_size=1),
)
SELECTORS = st.builds(lambda found: Selector(tuple(sorted(found))), st.sets(REQUIREMENTS, max_size=3))
LABELS: st.SearchStrategy[Mapping[tuple[str, str], str]] = st.dictionaries(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(KEYS)), st.sampled_from(VALUES)
)


@given(SELECTORS, SELECTORS, LABELS)
def test_whatever_a_covered_selector_selects_the_other_selects(
    wide: Selector, narrow: Selector, found: Mapping[tuple[str, str], str]
) -> None:
    labels: Labels = frozenset(Label(source, key, value) for (source, key), value in found.items())
    if selector_covers(wide, narrow) and narrow.selects(labels):
        assert wide.selects(labels)
