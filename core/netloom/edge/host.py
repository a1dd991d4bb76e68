"""What every node has besides its workloads: loom_host and loom_net, the network mode's devices, kernel settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netloom.edge.answers import LinkInfo
from netloom.edge.checks import check_mtu
from netloom.edge.firewall import remove_firewall
from netloom.edge.learned_routes import delete_learned_routes
from netloom.edge.netlink import Netlink
from netloom.edge.steering import ensure_steering, remove_steering, steered
from netloom.edge.sysctl import (
    accept_own_addresses,
    enable_forwarding,
    enable_ipv6,
    loosen_reverse_path,
    read_sysctl,
    require_ipv6,
    reuse_waiting_ports,
)
from netloom.model.address import Address, Family, family_of
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

    @property
    def families(self) -> tuple[Family, ...]:
        """Of the gateways."""
        return tuple(dict.fromkeys(family_of(gateway) for gateway in self.gateways))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLinks:
    """What it has."""

    host: LinkInfo
    net: LinkInfo
    devices: Mapping[str, LinkInfo]
    """The network mode's, by name."""


def memory_bytes() -> int:
    """Of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def prepare_host(netlink: Netlink, spec: HostSpec) -> HostLinks:
    """Make or repair all of it; what is right is left alone, so packets go on flowing when an agent restarts.

    Call it in a thread of the namespace that ``netlink`` serves. Raises Conflict when a name is taken by somebody
    else's device, Invalid for an MTU too small for the gateways' families, Unsupported for IPv6 gateways on a kernel
    without IPv6.
    """
    families = set(spec.families)
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
    accept_own_addresses(HOST_DEVICE)
    reuse_waiting_ports()
    ensure_steering(netlink.socket, spec.families, host.ifindex)
    enable_forwarding(ipv4=4 in families, ipv6=6 in families)
    return HostLinks(host=host, net=netlink.require_link(NET_DEVICE), devices=devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """The node's own network as it is, for comparing."""

    links: Mapping[str, LinkInfo]
    """By name; those that are there."""
    addresses: frozenset[Address]
    """Of loom_host, besides link-local ones."""
    settings: Mapping[str, str | None]
    """Below /proc/sys/net."""
    steered: frozenset[Family]
    """Families in which packets of the proxy find it."""


def observe_host(netlink: Netlink, spec: HostSpec) -> HostState:
    """What :func:`prepare_host` looks after, in a few reads. Call it as that."""
    names = (HOST_DEVICE, NET_DEVICE, *(device.name for device in spec.devices))
    links = {name: link for name in names if (link := netlink.link(name))}
    settings = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/rp_filter", "ipv4/tcp_tw_reuse"]
    for name in links:
        settings += [f"ipv4/conf/{name}/rp_filter", f"ipv6/conf/{name}/disable_ipv6"]
    if HOST_DEVICE in links:
        settings.append(f"ipv4/conf/{HOST_DEVICE}/accept_local")
    return HostState(
        links=links,
        addresses=frozenset(netlink.device_addresses(HOST_DEVICE) if HOST_DEVICE in links else ()),
        settings={name: read_sysctl(name) for name in settings},
        steered=steered(netlink.socket, spec.families),
    )


def differences(before: HostState, after: HostState) -> Iterator[tuple[str, str]]:
    """What was done between two looks: a thing's name and what became of it. Pure."""
    for name, link in after.links.items():
        if before.links.get(name) != link:
            yield f"device {name}", _link_change(before.links.get(name), link)
    for address in sorted(after.addresses ^ before.addresses, key=str):
        yield f"address {address} of {HOST_DEVICE}", "added" if address in after.addresses else "removed"
    for family in sorted(after.steered - before.steered):
        yield f"IPv{family} rule and route for packets of the proxy", "added"
    for name, value in after.settings.items():
        if before.settings.get(name, value) != value:
            yield f"setting net/{name}", f"{before.settings[name]} to {value}"


def _link_change(before: LinkInfo | None, after: LinkInfo) -> str:
    """In words."""
    if before is None or before.ifindex != after.ifindex:
        return "made again"
    changed = [
        f"{name} {getattr(before, name)} to {getattr(after, name)}"
        for name in ("up", "mtu_bytes", "noarp", "alias")
        if getattr(before, name) != getattr(after, name)
    ]
    return ", ".join(changed) or "taken up as it is now"


def clean_host(netlink: Netlink) -> tuple[str, ...]:
    """Remove everything of ours from the namespace ``netlink`` serves, and nothing else; says what that was.

    Call it in a thread of that namespace, while no agent runs.

    Routes and rules, filters and XDP programs on other people's devices, links (with workloads' interfaces), the
    firewall tables.
    Kernel settings stay as they are: somebody else may rely on forwarding by now.
    """
    routes = netlink.routes()
    netlink.delete_routes(routes)
    removed = [f"route {prefix}" for prefix in routes]
    if learned := delete_learned_routes(netlink.socket):
        removed.append(f"{learned} learnt routes")
    removed += remove_steering(netlink.socket)
    removed += [f"filter {place}" for place in netlink.detach_all_filters()]
    removed += [f"XDP program of {name}" for name in netlink.xdp.devices_with_ours() if netlink.xdp.detach(name)]
    removed += [f"link {link.name}" for link in netlink.delete_own_links()]
    removed += remove_firewall(netlink.node)
    return tuple(removed)
