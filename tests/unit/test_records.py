"""Records written to files and the store come back as they were, and garbage is refused with a sentence."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.records import (
    decode_address,
    decode_endpoint,
    decode_node,
    encode_address,
    encode_endpoint,
    encode_node,
)
from netloom.model.bandwidth import Bandwidth, RateLimit
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId
from netloom.model.labels import Label
from netloom.model.node import Node, RemoteAddress

LIMITS = st.none() | st.builds(RateLimit, rate_bps=st.integers(1, 10**15), burst_bits=st.integers(0, 2**31))
ENDPOINTS = st.builds(
    Endpoint,
    id=st.integers(1, 65535).map(EndpointId),
    attachment=st.builds(Attachment, container_id=st.text(min_size=1), ifname=st.text(min_size=1), netns=st.text()),
    ipv4=st.none() | st.ip_addresses(v=4).map(lambda a: IPv4Address(int(a))),
    ipv6=st.none() | st.ip_addresses(v=6).map(lambda a: IPv6Address(int(a))),
    ifindex=st.integers(1, 2**31).map(IfIndex),
    mac=st.binary(min_size=6, max_size=6),
    node_mac=st.binary(min_size=6, max_size=6),
    identity=st.integers(0, 2**24).map(IdentityId),
    labels=st.frozensets(
        st.builds(Label, st.just("k8s"), st.sampled_from(["app", "tier"]), st.sampled_from(["a", ""]))
    ),
    state=st.sampled_from(EndpointState),
    pod_name=st.text(),
    pod_namespace=st.text(),
    bandwidth=st.builds(Bandwidth, ingress=LIMITS, egress=LIMITS),
)
NODE = Node(
    name="n",
    underlay_ipv4=IPv4Address("192.0.2.1"),
    underlay_ipv6=None,
    pod_cidrs=(IPv4Network("10.1.0.0/24"),),
    gateways=(IPv4Address("10.1.0.1"),),
    mode="vxlan",
)


@given(ENDPOINTS)
def test_an_endpoint_comes_back_as_it_was(endpoint: Endpoint) -> None:
    """Any endpoint."""
    assert decode_endpoint(encode_endpoint(endpoint), "file") == endpoint


def test_a_node_comes_back_as_it_was() -> None:
    """With one family and with both."""
    assert decode_node(encode_node(NODE), "record") == NODE
    both = replace(NODE, underlay_ipv6=IPv6Address("2001:db8::1"))
    assert decode_node(encode_node(both), "record") == both


def test_a_node_record_of_a_later_version_is_read() -> None:
    """Fields this version does not know are passed over."""
    raw = encode_node(NODE)[:-1] + b',"later":1}'
    assert decode_node(raw, "record") == NODE


def test_an_address_comes_back_as_it_was() -> None:
    """Either family."""
    remote = RemoteAddress(address=IPv6Address("fd00::5"), identity=300, node="n")
    assert decode_address(encode_address(remote), "record") == remote


@given(st.binary(max_size=200))
def test_garbage_is_refused_naming_the_record(raw: bytes) -> None:
    """Never another exception."""
    for decode in (decode_endpoint, decode_node, decode_address):
        with pytest.raises(Invalid, match="the thing"):
            decode(raw, "the thing")


def test_an_impossible_address_is_refused() -> None:
    """Well-formed JSON with values that make no sense."""
    raw = encode_node(NODE).replace(b"192.0.2.1", b"300.0.2.1")
    with pytest.raises(Invalid, match="300"):
        decode_node(raw, "record")
