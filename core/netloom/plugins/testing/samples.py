"""Values of the model for tests: whole, plausible, and changed where a test says so."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from netloom.datapath.reasons import DropReason
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.flow import Flow, FlowKind, Packet
from netloom.model.identity import IdentityId
from netloom.model.labels import Label
from netloom.model.node import Node


def node(name: str, number: int, mode: str) -> Node:
    """A node with both IP versions, on the underlay and for pods, unlike any with another ``number`` (1 to 255)."""
    return Node(
        name=name,
        underlay_ipv4=IPv4Address(f"192.0.2.{number}"),
        underlay_ipv6=IPv6Address(f"2001:db8::{number}"),
        pod_cidrs=(IPv4Network(f"10.99.{number}.0/24"), IPv6Network(f"fd00:99:{number}::/64")),
        gateways=(IPv4Address(f"10.99.{number}.1"), IPv6Address(f"fd00:99:{number}::1")),
        mode=mode,
        segments=(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/64")),
    )


def endpoint(**changes: Any) -> Endpoint:
    """An endpoint that is ready."""
    sample = Endpoint(
        id=EndpointId(17),
        attachment=Attachment(container_id="4f2a", ifname="eth0", netns="/run/netns/web-0"),
        ipv4=IPv4Address("10.99.1.7"),
        ipv6=IPv6Address("fd00:99:1::7"),
        ifindex=IfIndex(42),
        mac=bytes.fromhex("02000000aa07"),
        node_mac=bytes.fromhex("02000000bb07"),
        identity=IdentityId(1234),
        labels=frozenset({Label("k8s", "app", "web")}),
        state=EndpointState.READY,
        pod_name="web-0",
        pod_namespace="default",
    )
    return replace(sample, **changes)


def flow(**changes: Any) -> Flow:
    """A dropped packet: somebody used an address that was not given to it."""
    reason = DropReason.INVALID_SOURCE_IP
    packet = Packet(
        protocol="udp",
        source=IPv4Address("10.99.1.66"),
        destination=IPv4Address("10.99.2.9"),
        source_port=40000,
        destination_port=53,
    )
    sample = Flow(
        kind=FlowKind.DROP,
        at_ns=1_700_000_000_000_000_000,
        code=int(reason),
        text=reason.text,
        direction="egress",
        source_identity=1234,
        destination_identity=0,
        endpoint_id=17,
        ifindex=42,
        hash=0,
        packet_bytes=74,
        packet=packet,
        line=0,
    )
    return replace(sample, **changes)
