"""What the kernel says of links, addresses, routes and filters, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from netloom.edge.ownership import FILTER_PREFIX, LINK_GROUP
from netloom.model.address import Address, Network

ARPHRD_ETHER = 1
"""Hardware type of devices whose packets begin with an Ethernet header (linux/if_arp.h)."""
IFF_UP = 0x1
IFF_NOARP = 0x80
_AF_INET = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """A network device."""

    name: str
    ifindex: int
    mac: bytes
    """6 bytes on Ethernet; other lengths, or none, on other devices."""
    mtu_bytes: int
    kind: str
    """Kernel link kind such as ``veth``; "" for hardware and loopback."""
    up: bool
    noarp: bool
    ethernet: bool
    alias: str
    group: int
    peer_ifindex: int
    """Of the other end of a veth, in that end's namespace; else 0."""

    @property
    def ours(self) -> bool:
        """Whether some Netloom node made it."""
        return self.group == LINK_GROUP


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressInfo:
    """An address of a device, with what a choice among several needs."""

    address: Address
    prefix_len: int
    ifindex: int
    global_scope: bool
    flags: int
    """IFA_F_* of linux/if_addr.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteInfo:
    """A unicast route; of several next hops the first one's device counts."""

    prefix: Network
    ifindex: int
    via: Address | None
    source: Address | None
    mtu_bytes: int | None
    metric: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterInfo:
    """A filter of a device."""

    kind: str
    """Of the classifier, ``bpf`` for a program."""
    name: str
    program_id: int
    tag: str
    """The kernel's hash of the instructions, 16 hex digits."""

    @property
    def ours(self) -> bool:
        """Whether some Netloom node attached it."""
        return self.kind == "bpf" and self.name.startswith(FILTER_PREFIX)


def link_info(message: Any) -> LinkInfo:
    """Read an answer to RTM_GETLINK."""
    mac = message.get_attr("IFLA_ADDRESS") or ""
    return LinkInfo(
        name=message.get_attr("IFLA_IFNAME"),
        ifindex=message["index"],
        mac=_mac(mac),
        mtu_bytes=message.get_attr("IFLA_MTU") or 0,
        kind=link_kind(message),
        up=bool(message["flags"] & IFF_UP),
        noarp=bool(message["flags"] & IFF_NOARP),
        ethernet=message["ifi_type"] == ARPHRD_ETHER,
        alias=message.get_attr("IFLA_IFALIAS") or "",
        group=message.get_attr("IFLA_GROUP") or 0,
        peer_ifindex=message.get_attr("IFLA_LINK") or 0,
    )


def link_kind(message: Any) -> str:
    """The kernel link kind, "" for hardware."""
    info = message.get_attr("IFLA_LINKINFO")
    return (info.get_attr("IFLA_INFO_KIND") or "") if info else ""


def link_attributes(message: Any) -> dict[str, Any]:
    """Attributes of the link's kind by pyroute2's short lower-case names, for example ``vxlan_port``."""
    info = message.get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    if not isinstance(data, dict):
        return {}
    return {str(name).removeprefix("IFLA_").lower(): value for name, value in data["attrs"]}


def address_info(message: Any) -> AddressInfo:
    """Read an answer to RTM_GETADDR; on a point-to-point device the local end counts."""
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS")
    return AddressInfo(
        address=ip_address(text),
        prefix_len=message["prefixlen"],
        ifindex=message["index"],
        global_scope=message["scope"] == 0,
        flags=message["flags"] if flags is None else flags,
    )


def route_info(message: Any) -> RouteInfo:
    """Read an answer to RTM_GETROUTE."""
    everything = "0.0.0.0" if message["family"] == _AF_INET else "::"
    via, source = message.get_attr("RTA_GATEWAY"), message.get_attr("RTA_PREFSRC")
    metrics = message.get_attr("RTA_METRICS")
    return RouteInfo(
        prefix=ip_network((message.get_attr("RTA_DST") or everything, message["dst_len"])),
        ifindex=message.get_attr("RTA_OIF") or _first_hop(message),
        via=ip_address(via) if via else None,
        source=ip_address(source) if source else None,
        mtu_bytes=metrics.get_attr("RTAX_MTU") if metrics else None,
        metric=message.get_attr("RTA_PRIORITY") or 0,
    )


def filter_info(message: Any) -> FilterInfo | None:
    """Read an answer to RTM_GETTFILTER; None for the empty entry that goes before the programs of a priority."""
    kind = message.get_attr("TCA_KIND")
    if kind != "bpf":
        return FilterInfo(kind=kind, name="", program_id=0, tag="")
    options = message.get_attr("TCA_OPTIONS")
    if not options or options.get_attr("TCA_BPF_ID") is None:
        return None
    return FilterInfo(
        kind=kind,
        name=options.get_attr("TCA_BPF_NAME") or "",
        program_id=options.get_attr("TCA_BPF_ID"),
        tag=(options.get_attr("TCA_BPF_TAG") or "").replace(":", ""),
    )


def _first_hop(message: Any) -> int:
    hops = message.get_attr("RTA_MULTIPATH") or []
    return int(hops[0]["oif"]) if hops else 0


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", "")) if text else b""
