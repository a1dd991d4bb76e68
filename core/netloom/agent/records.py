"""How endpoints, nodes and identities are written to files and to the store: JSON, checked when read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import msgspec

from netloom.agent.decoding import decoded
from netloom.model.address import parse_address, parse_network
from netloom.model.bandwidth import Bandwidth, RateLimit
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId
from netloom.model.labels import Label
from netloom.model.node import Node, RemoteAddress
from netloom.model.ports import NamedPort
from netloom.model.visibility import visibility_of


class BandwidthRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint's limits: rates in bits per second, bursts in bits; 0 is no limit."""

    ingress_rate_bps: int = 0
    ingress_burst_bits: int = 0
    egress_rate_bps: int = 0
    egress_burst_bits: int = 0


class EndpointRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint as kept on disk across restarts."""

    version: int = 1
    id: int
    container_id: str
    ifname: str
    netns: str
    ipv4: str | None
    ipv6: str | None
    ifindex: int
    mac: str
    node_mac: str
    identity: int
    labels: list[str]
    state: str
    pod_name: str
    pod_namespace: str
    pod_uid: str = ""
    network: str = ""
    """Empty in records of versions that did not keep it."""
    bandwidth: BandwidthRecord = BandwidthRecord()
    ports: list[str] = []
    visibility: list[str] = []


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node as published; unknown fields of later versions are passed over."""

    name: str
    underlay_ipv4: str | None
    underlay_ipv6: str | None
    pod_cidrs: list[str]
    gateways: list[str]
    mode: str
    modes: list[str] = []
    segments: list[str] = []


class AddressRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint address as published; unknown fields of later versions are passed over."""

    address: str
    identity: int
    node: str
    pod: str = ""
    ports: list[str] = []


def encode_endpoint(endpoint: Endpoint) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(
        EndpointRecord(
            id=endpoint.id,
            container_id=endpoint.attachment.container_id,
            ifname=endpoint.attachment.ifname,
            netns=endpoint.attachment.netns,
            ipv4=str(endpoint.ipv4) if endpoint.ipv4 else None,
            ipv6=str(endpoint.ipv6) if endpoint.ipv6 else None,
            ifindex=endpoint.ifindex,
            mac=endpoint.mac.hex(),
            node_mac=endpoint.node_mac.hex(),
            identity=endpoint.identity,
            labels=sorted(str(label) for label in endpoint.labels),
            state=endpoint.state.value,
            pod_name=endpoint.pod_name,
            pod_namespace=endpoint.pod_namespace,
            pod_uid=endpoint.pod_uid,
            network=endpoint.network,
            bandwidth=_bandwidth_record(endpoint.bandwidth),
            ports=[str(port) for port in endpoint.ports],
            visibility=[str(one) for one in endpoint.visibility],
        )
    )


def decode_endpoint(raw: bytes, what: str) -> Endpoint:
    """Inverse of :func:`encode_endpoint`; raises Invalid naming ``what``."""
    record = decoded(raw, EndpointRecord, what)
    try:
        return Endpoint(
            id=EndpointId(record.id),
            attachment=Attachment(container_id=record.container_id, ifname=record.ifname, netns=record.netns),
            ipv4=IPv4Address(record.ipv4) if record.ipv4 else None,
            ipv6=IPv6Address(record.ipv6) if record.ipv6 else None,
            ifindex=IfIndex(record.ifindex),
            mac=bytes.fromhex(record.mac),
            node_mac=bytes.fromhex(record.node_mac),
            identity=IdentityId(record.identity),
            labels=frozenset(Label.parse(text) for text in record.labels),
            state=EndpointState(record.state),
            pod_name=record.pod_name,
            pod_namespace=record.pod_namespace,
            pod_uid=record.pod_uid,
            network=record.network,
            bandwidth=_bandwidth(record.bandwidth),
            ports=_ports(record.ports),
            visibility=visibility_of(",".join(record.visibility)),
        )
    except (ValueError, Invalid) as error:
        raise Invalid(f"{what} cannot be used: {error}") from error


def _ports(texts: list[str]) -> tuple[NamedPort, ...]:
    return tuple(sorted(map(NamedPort.parse, texts)))


def _bandwidth_record(bandwidth: Bandwidth) -> BandwidthRecord:
    nothing = RateLimit(rate_bps=0, burst_bits=0)
    ingress, egress = bandwidth.ingress or nothing, bandwidth.egress or nothing
    return BandwidthRecord(
        ingress_rate_bps=ingress.rate_bps,
        ingress_burst_bits=ingress.burst_bits,
        egress_rate_bps=egress.rate_bps,
        egress_burst_bits=egress.burst_bits,
    )


def _bandwidth(record: BandwidthRecord) -> Bandwidth:
    return Bandwidth(
        ingress=_limit(record.ingress_rate_bps, record.ingress_burst_bits),
        egress=_limit(record.egress_rate_bps, record.egress_burst_bits),
    )


def _limit(rate_bps: int, burst_bits: int) -> RateLimit | None:
    if min(rate_bps, burst_bits) < 0:
        raise ValueError(f"a limit of {rate_bps} bits per second with a burst of {burst_bits} bits is none")
    return RateLimit(rate_bps=rate_bps, burst_bits=burst_bits) if rate_bps else None


def encode_node(node: Node) -> bytes:
    """As published under ``nodes/<name>``."""
    return msgspec.json.encode(
        NodeRecord(
            name=node.name,
            underlay_ipv4=str(node.underlay_ipv4) if node.underlay_ipv4 else None,
            underlay_ipv6=str(node.underlay_ipv6) if node.underlay_ipv6 else None,
            pod_cidrs=[str(cidr) for cidr in node.pod_cidrs],
            gateways=[str(gateway) for gateway in node.gateways],
            mode=node.mode,
            modes=list(node.modes),
            segments=[str(segment) for segment in node.segments],
        )
    )


def decode_node(raw: bytes, what: str) -> Node:
    """Inverse of :func:`encode_node`; raises Invalid naming ``what``."""
    record = decoded(raw, NodeRecord, what)
    try:
        return Node(
            name=record.name,
            underlay_ipv4=IPv4Address(record.underlay_ipv4) if record.underlay_ipv4 else None,
            underlay_ipv6=IPv6Address(record.underlay_ipv6) if record.underlay_ipv6 else None,
            pod_cidrs=tuple(parse_network(text) for text in record.pod_cidrs),
            gateways=tuple(parse_address(text) for text in record.gateways),
            mode=record.mode,
            modes=tuple(record.modes),
            segments=tuple(parse_network(text) for text in record.segments),
        )
    except ValueError as error:
        raise Invalid(f"{what} cannot be used: {error}") from error


def encode_address(remote: RemoteAddress) -> bytes:
    """As published under ``addresses/<node>/<address>``."""
    return msgspec.json.encode(
        AddressRecord(
            address=str(remote.address),
            identity=remote.identity,
            node=remote.node,
            pod=remote.pod,
            ports=[str(port) for port in remote.ports],
        )
    )


def decode_address(raw: bytes, what: str) -> RemoteAddress:
    """Inverse of :func:`encode_address`; raises Invalid naming ``what``."""
    record = decoded(raw, AddressRecord, what)
    try:
        return RemoteAddress(
            address=parse_address(record.address),
            identity=record.identity,
            node=record.node,
            pod=record.pod,
            ports=_ports(record.ports),
        )
    except (ValueError, Invalid) as error:
        raise Invalid(f"{what} cannot be used: {error}") from error
