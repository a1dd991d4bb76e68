"""What every node has besides its workloads: loom_host and loom_net, the network mode's devices, kernel settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netloom.edge.answers import LinkInfo
from netloom.edge.checks import check_mtu
from netloom.edge.firewall import remove_masquerade
from netloom.edge.netlink import Netlink
from netloom.edge.sysctl import enable_forwarding, enable_ipv6, loosen_reverse_path, require_ipv6
from netloom.model.address import Address
from netloom.plugins.contract import DeviceSpec

HOST_DEVICE = "loom_host"
"""Has the gateway addresses; packets of the node itself to pods leave by it."""
NET_DEVICE = "loom_net"
"""The other end of loom_host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """What this node is to have."""

    gateways: tuple[Address, ...]
    """Addresses of loom_host, at most one a family."""
    mtu_bytes: int
    """Of loom_host and loom_net, so of what the node itself sends to pods."""
    devices: tuple[DeviceSpec, ...]
    """The network mode's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLinks:
    """What it has."""

    host: LinkInfo
    net: LinkInfo
    devices: Mapping[str, LinkInfo]
    """The network mode's, by name."""


def prepare_host(netlink: Netlink, spec: HostSpec) -> HostLinks:
    """Make or repair all of it; what is right is left alone, so packets go on flowing when an agent restarts.

    Call it in a thread of the namespace that ``netlink`` serves. Raises Conflict when a name is taken by somebody
    else's device, Invalid for an MTU too small for the gateways' families, Unsupported for IPv6 gateways on a kernel
    without IPv6.
    """
    families = {gateway.version for gateway in spec.gateways}
    check_mtu(spec.mtu_bytes, spec.gateways)
    if 6 in families:
        require_ipv6()
    host = netlink.ensure_veth_pair(HOST_DEVICE, NET_DEVICE, mtu_bytes=spec.mtu_bytes)
    devices = {device.name: netlink.ensure_device(device) for device in spec.devices}
    for name in (HOST_DEVICE, NET_DEVICE, *devices):
        loosen_reverse_path(name)
        if 6 in families:
            enable_ipv6(name)
    netlink.ensure_addresses(HOST_DEVICE, spec.gateways)
    enable_forwarding(ipv4=4 in families, ipv6=6 in families)
    return HostLinks(host=host, net=netlink.require_link(NET_DEVICE), devices=devices)


def clean_host(netlink: Netlink) -> tuple[str, ...]:
    """Remove everything of ours from the namespace ``netlink`` serves, and nothing else; says what that was.

    Call it in a thread of that namespace, while no agent runs.

    Routes, filters on other people's devices, links (with workloads' interfaces), the firewall table. Kernel
    settings stay as they are: somebody else may rely on forwarding by now.
    """
    removed = []
    for prefix in netlink.routes():
        netlink.delete_route(prefix)
        removed.append(f"route {prefix}")
    removed += [f"filter {place}" for place in netlink.detach_all_filters()]
    removed += [f"link {link.name}" for link in netlink.delete_own_links()]
    if remove_masquerade(netlink.node):
        removed.append("firewall table")
    return tuple(removed)
