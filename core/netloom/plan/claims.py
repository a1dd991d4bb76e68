"""What one fact about the cluster asks of the kernel's tables. Pure: a fact in, entries out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from netloom.datapath.registry import (
    DeviceFlag,
    DeviceInfo,
    DeviceKey,
    EndpointFlag,
    EndpointInfo,
    EndpointKey,
    IpcacheFlag,
    IpcacheInfo,
    IpcacheKey,
    PeerInfo,
    PeerKey,
    PolicerInfo,
    TunnelInfo,
    TunnelKey,
)
from netloom.model.address import Address, Network, host_prefix
from netloom.model.endpoint import Endpoint
from netloom.model.identity import Reserved
from netloom.model.node import Node, RemoteAddress
from netloom.plan.shaping import policer_of
from netloom.plugins.contract import Reach, RouteSpec

NO_ADDRESS = NO_TUNNEL = IPv6Address(0)
"""``::`` stands for an address that is not there; in ``tunnel_endpoint``: not behind a tunnel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Entries wanted in each table."""

    endpoints: Mapping[EndpointKey, EndpointInfo] = field(default_factory=dict)
    policers: Mapping[DeviceKey, PolicerInfo] = field(default_factory=dict)
    devices: Mapping[DeviceKey, DeviceInfo] = field(default_factory=dict)
    ipcache: Mapping[IpcacheKey, IpcacheInfo] = field(default_factory=dict)
    tunnels: Mapping[TunnelKey, TunnelInfo] = field(default_factory=dict)
    peers: Mapping[PeerKey, PeerInfo] = field(default_factory=dict)
    routes: Mapping[Network, RouteSpec] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDevice:
    """The node's own end of the overlay, ``loom_host``."""

    name: str
    ifindex: int
    mac: bytes


def world_claims() -> Claims:
    """Everything nobody else claims is the world."""
    info = IpcacheInfo(identity=Reserved.WORLD, flags=0, tunnel_endpoint=NO_TUNNEL)
    everything = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
    return Claims(ipcache={IpcacheKey(prefix): info for prefix in everything})


def local_node_claims(node: Node, host: HostDevice, host_addresses: Iterable[Address], mtu_bytes: int) -> Claims:
    """This node: its own addresses lead to the host's stack, its pod prefixes are local and routed to ``loom_host``."""
    to_host = EndpointInfo(
        ifindex=host.ifindex,
        identity=Reserved.HOST,
        id=0,
        flags=EndpointFlag.HOST,
        mac=host.mac,
        node_mac=host.mac,
    )
    own = {*node.gateways, *host_addresses}
    is_host = IpcacheInfo(identity=Reserved.HOST, flags=0, tunnel_endpoint=NO_TUNNEL)
    is_local = IpcacheInfo(identity=Reserved.WORLD, flags=IpcacheFlag.LOCAL_POD_CIDR, tunnel_endpoint=NO_TUNNEL)
    return Claims(
        endpoints={EndpointKey(address): to_host for address in own},
        ipcache={IpcacheKey(host_prefix(address)): is_host for address in own}
        | {IpcacheKey(prefix): is_local for prefix in node.pod_cidrs},
        routes={prefix: host_route(prefix, node, host.name, mtu_bytes) for prefix in node.pod_cidrs},
    )


def host_route(prefix: Network, node: Node, device: str, mtu_bytes: int) -> RouteSpec:
    """Route to pods through ``loom_host`` with the gateway as source; IPv4 by way of the gateway, as in Cilium."""
    gateway = node.gateway(4 if prefix.version == 4 else 6)
    via = gateway if prefix.version == 4 else None
    return RouteSpec(prefix=prefix, device=device, via=via, source=gateway, mtu_bytes=mtu_bytes)


def endpoint_claims(endpoint: Endpoint) -> Claims:
    """A local endpoint: deliver to it, let it send as itself and no faster than it may, and know its identity."""
    limits = endpoint.bandwidth
    info = EndpointInfo(
        ifindex=endpoint.ifindex,
        identity=endpoint.identity,
        id=endpoint.id,
        flags=EndpointFlag.SHAPED if limits.ingress else 0,
        mac=endpoint.mac,
        node_mac=endpoint.node_mac,
    )
    sender = DeviceInfo(
        ipv4=endpoint.ipv4 or NO_ADDRESS,
        ipv6=endpoint.ipv6 or NO_ADDRESS,
        identity=endpoint.identity,
        id=endpoint.id,
        mac=endpoint.mac,
        node_mac=endpoint.node_mac,
        flags=DeviceFlag.POLICED if limits.egress else 0,
    )
    cached = IpcacheInfo(identity=endpoint.identity, flags=0, tunnel_endpoint=NO_TUNNEL)
    return Claims(
        endpoints={EndpointKey(address): info for address in endpoint.addresses},
        policers={DeviceKey(endpoint.ifindex): policer_of(limits.egress)} if limits.egress else {},
        devices={DeviceKey(endpoint.ifindex): sender},
        ipcache={IpcacheKey(host_prefix(address)): cached for address in endpoint.addresses},
    )


def native_cidr_claims(cidrs: Iterable[Network]) -> Claims:
    """Prefixes outside the cluster that are reached natively, and are the world all the same."""
    info = IpcacheInfo(identity=Reserved.WORLD, flags=IpcacheFlag.NATIVE, tunnel_endpoint=NO_TUNNEL)
    return Claims(ipcache={IpcacheKey(cidr): info for cidr in cidrs})


def nowhere(node: Node) -> Reach:
    """How a node is reached that no network mode reaches: what pods send to its pods is dropped.

    Without it they would be the world, and their packets would follow the host's default route.
    """
    return Reach(tunnels=dict.fromkeys(node.pod_cidrs, NO_TUNNEL))


def remote_node_claims(node: Node, reach: Reach) -> Claims:
    """Another node: its pods behind its tunnel or native, its own addresses as ``remote-node``.

    A native prefix names nobody: it serves a pod whose identity has not come yet.
    """
    unknown = IpcacheInfo(identity=Reserved.UNKNOWN, flags=IpcacheFlag.NATIVE, tunnel_endpoint=NO_TUNNEL)
    ipcache = {IpcacheKey(prefix): unknown for prefix in reach.native}
    for address in node.gateways:
        ipcache[IpcacheKey(host_prefix(address))] = _reached(Reserved.REMOTE_NODE, address, reach)
    for address in node.underlays:
        flags = IpcacheFlag.NATIVE if _is_native(address, reach) else 0
        ipcache[IpcacheKey(host_prefix(address))] = IpcacheInfo(
            identity=Reserved.REMOTE_NODE, flags=flags, tunnel_endpoint=NO_TUNNEL
        )
    return Claims(
        ipcache=ipcache,
        tunnels={TunnelKey(prefix): TunnelInfo(endpoint) for prefix, endpoint in reach.tunnels.items()},
        peers={PeerKey(address): PeerInfo(Reserved.REMOTE_NODE) for address in reach.peers},
        routes={route.prefix: route for route in reach.routes},
    )


def remote_address_claims(remote: RemoteAddress, reach: Reach) -> Claims:
    """An endpoint of another node: its identity, and how it is reached."""
    return Claims(ipcache={IpcacheKey(host_prefix(remote.address)): _reached(remote.identity, remote.address, reach)})


def _reached(identity: int, address: Address, reach: Reach) -> IpcacheInfo:
    """Natively, or by the tunnel that leads there, if any."""
    if _is_native(address, reach):
        return IpcacheInfo(identity=identity, flags=IpcacheFlag.NATIVE, tunnel_endpoint=NO_TUNNEL)
    return IpcacheInfo(identity=identity, flags=0, tunnel_endpoint=_tunnel_of(address, reach))


def _is_native(address: Address, reach: Reach) -> bool:
    return any(prefix.version == address.version and address in prefix for prefix in reach.native)


def _tunnel_of(address: Address, reach: Reach) -> Address:
    """The tunnel that leads to an address: that of the longest prefix holding it."""
    holding = [prefix for prefix in reach.tunnels if prefix.version == address.version and address in prefix]
    return reach.tunnels[max(holding, key=lambda prefix: prefix.prefixlen)] if holding else NO_TUNNEL
