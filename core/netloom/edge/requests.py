"""Requests for links, addresses, routes and filters: pure builders, one per thing that is asked of the kernel.

Numbers are those of linux/rtnetlink.h, linux/if_link.h, linux/pkt_sched.h and linux/pkt_cls.h.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, nla, nlmsg
from pyroute2.netlink import rtnl as numbers
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from netloom.edge.answers import IFF_NOARP, IFF_UP
from netloom.edge.ownership import FILTER_HANDLE, FILTER_PRIORITY, LINK_GROUP, ROUTE_PROTOCOL, filter_name
from netloom.edge.rtnl import Request, new_message
from netloom.model.address import Address, Family, Network
from netloom.model.errors import Invalid

Direction = Literal["ingress", "egress"]

_CREATE = NLM_F_CREATE | NLM_F_EXCL
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL})
_NO_LINK_LOCAL = 1
"""IN6_ADDR_GEN_MODE_NONE: the device makes no address by itself, so it solicits no router either."""
_IFA_F_NODAD = 0x02
_IFA_F_NOPREFIXROUTE = 0x200
_RT_TABLE_MAIN = 254
_RT_SCOPE_LINK = 253
_RT_SCOPE_ANY = 255
"""RT_SCOPE_NOWHERE: in a deletion, whatever scope the route has."""
_RTN_UNICAST = 1
_RTPROT_BOOT = 3
"""What ``ip route add`` sets too; the routes inside a workload are the workload's, so they carry no mark."""
_CLSACT = 0xFFFFFFF1
_CLSACT_HANDLE = 0xFFFF0000
_PARENT: Mapping[Direction, int] = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
_ETH_P_ALL = 0x0300
"""3 in network byte order, as tcm_info wants it."""
_ACT_DIRECT = 1
"""TCA_BPF_FLAG_ACT_DIRECT: the program's return value is the verdict."""


class bpf_options(nla):  # noqa: N801 - named as pyroute2 names its messages
    """Attributes of a cls_bpf filter; pyroute2's own list ends before the program's tag and number."""

    nla_map = (  # type: ignore[assignment] # pyroute2 takes tuples and dicts
        ("TCA_BPF_UNSPEC", "none"),
        ("TCA_BPF_ACT", "hex"),
        ("TCA_BPF_POLICE", "hex"),
        ("TCA_BPF_CLASSID", "uint32"),
        ("TCA_BPF_OPS_LEN", "uint16"),
        ("TCA_BPF_OPS", "hex"),
        ("TCA_BPF_FD", "uint32"),
        ("TCA_BPF_NAME", "asciiz"),
        ("TCA_BPF_FLAGS", "uint32"),
        ("TCA_BPF_FLAGS_GEN", "uint32"),
        ("TCA_BPF_TAG", "hex"),
        ("TCA_BPF_ID", "uint32"),
    )


class filter_message(nlmsg):  # noqa: N801 - as above
    """struct tcmsg with the attributes of cls_bpf."""

    prefix = "TCA_"  # type: ignore[assignment]
    fields = tcmsg.fields  # type: ignore[assignment]
    nla_map = (("TCA_UNSPEC", "none"), ("TCA_KIND", "asciiz"), ("TCA_OPTIONS", "bpf_options"))  # type: ignore[assignment]
    bpf_options = bpf_options


@dataclass(frozen=True, slots=True, kw_only=True)
class VethEnd:
    """One end of a veth pair to be made."""

    name: str
    mac: bytes
    mtu_bytes: int
    marked: bool = True
    """Whether it is ours to keep; an end inside a workload is the workload's."""
    noarp: bool = False
    netns_fd: int | None = None
    """Namespace it is born in; None: the one of the socket."""


def new_veth(end: VethEnd, peer: VethEnd) -> Request:
    """Make a pair. The MACs are given so that no udev policy changes them afterwards.

    One queue each: a veth forwards on the sender's CPU without locks, and queues cost memory and time per CPU.
    """
    pair = {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", _nest(("VETH_INFO_PEER", _veth_end(peer)))]]}
    body = new_message(ifinfmsg, _arp_flags(end), [*_end_attributes(end), ("IFLA_LINKINFO", pair)])
    return Request("create", f'veth pair "{end.name}" and "{peer.name}"', numbers.RTM_NEWLINK, body, _CREATE)


def new_device(name: str, kind: str, attributes: Mapping[str, int], mtu_bytes: int | None) -> Request:
    """Make a device of any kind. Raises Invalid for an attribute pyroute2 does not know of that kind."""
    info: list[Any] = [["IFLA_INFO_KIND", kind]]
    if attributes:
        info.append(["IFLA_INFO_DATA", {"attrs": _kind_attributes(name, kind, attributes)}])
    common: list[tuple[str, Any]] = [("IFLA_IFNAME", name), ("IFLA_GROUP", LINK_GROUP)]
    if mtu_bytes is not None:
        common.append(("IFLA_MTU", mtu_bytes))
    body = new_message(ifinfmsg, {}, [*common, ("IFLA_LINKINFO", {"attrs": info})])
    return Request("create", f'{kind} device "{name}"', numbers.RTM_NEWLINK, body, _CREATE)


def get_link(name: str) -> Request:
    """One link by name; answered by nothing when it does not exist."""
    body = new_message(ifinfmsg, {}, [("IFLA_IFNAME", name)])
    return Request("read", _link(name), numbers.RTM_GETLINK, body, accept=frozenset({errno.ENODEV}))


def get_link_by_index(ifindex: int) -> Request:
    """One link by number; answered by nothing when it does not exist."""
    body = new_message(ifinfmsg, {"index": ifindex})
    return Request("read", f"link {ifindex}", numbers.RTM_GETLINK, body, accept=frozenset({errno.ENODEV}))


def list_links() -> Request:
    """For a dump of all links."""
    return Request("list", "links", numbers.RTM_GETLINK, new_message(ifinfmsg, {}))


def set_up(name: str, ifindex: int, *, noarp: bool = False) -> Request:
    """Bring a link up, and switch ARP off on it or leave it as it is."""
    flags = IFF_UP | (IFF_NOARP if noarp else 0)
    return _set_link(name, {"index": ifindex, "flags": flags, "change": flags}, [])


def set_mtu(name: str, ifindex: int, mtu_bytes: int) -> Request:
    """Change how long a packet may be."""
    return _set_link(name, {"index": ifindex}, [("IFLA_MTU", mtu_bytes)])


def set_alias(name: str, ifindex: int, alias: str) -> Request:
    """Change the alias."""
    return _set_link(name, {"index": ifindex}, [("IFLA_IFALIAS", alias)])


def quiet_ipv6(name: str, ifindex: int) -> Request:
    """Keep the device from making itself a link-local address; while it is down, else one exists already.

    Refused where the device has no IPv6 (MTU below 1280, or IPv6 absent), where nothing is to be done.
    """
    inet6 = _nest(("IFLA_INET6_ADDR_GEN_MODE", _NO_LINK_LOCAL))
    body = new_message(ifinfmsg, {"index": ifindex}, [("IFLA_AF_SPEC", _nest(("AF_INET6", inet6)))])
    accept = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})
    return Request("change", _link(name), numbers.RTM_NEWLINK, body, accept=accept)


def delete_link(name: str, ifindex: int) -> Request:
    """Remove a link; no error when it is gone."""
    return Request("delete", _link(name), numbers.RTM_DELLINK, new_message(ifinfmsg, {"index": ifindex}), accept=_GONE)


def delete_marked_links() -> Request:
    """Remove all links that carry our mark at once: the kernel waits once for all of them, not once for each."""
    body = new_message(ifinfmsg, {}, [("IFLA_GROUP", LINK_GROUP)])
    return Request("delete", "Netloom's links", numbers.RTM_DELLINK, body, accept=_GONE)


def list_addresses(ifindex: int = 0) -> Request:
    """For a dump of the addresses of one device, or of all."""
    return Request("list", "addresses", numbers.RTM_GETADDR, new_message(ifaddrmsg, {"index": ifindex}))


def add_address(device: str, ifindex: int, address: Address) -> Request:
    """Give a device one address, alone in its prefix, usable at once; no error when it has it."""
    flags = _IFA_F_NODAD | _IFA_F_NOPREFIXROUTE if address.version == 6 else 0
    body = _address_body(ifindex, address, address.max_prefixlen, [("IFA_FLAGS", flags)] if flags else [])
    return Request(
        "add",
        f'address {address} to device "{device}"',
        numbers.RTM_NEWADDR,
        body,
        _CREATE,
        frozenset({errno.EEXIST}),
    )


def delete_address(device: str, ifindex: int, address: Address, prefix_len: int) -> Request:
    """Take an address from a device; no error when it is gone."""
    obj = f'address {address}/{prefix_len} of device "{device}"'
    return Request("delete", obj, numbers.RTM_DELADDR, _address_body(ifindex, address, prefix_len, []), accept=_GONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route as the kernel takes it."""

    prefix: Network
    device: str
    ifindex: int
    via: Address | None = None
    source: Address | None = None
    mtu_bytes: int | None = None


def add_route(route: Route, *, ours: bool = True, replace: bool = False) -> Request:
    """Add a route of the main table; without ``replace`` refused (EEXIST) when the prefix has one.

    ``replace`` puts it in place of the one there at once, with no moment without a route.
    """
    fields = _route_fields(route.prefix, ROUTE_PROTOCOL if ours else _RTPROT_BOOT)
    fields["type"] = _RTN_UNICAST
    attributes: list[tuple[str, Any]] = [("RTA_OIF", route.ifindex)]
    if route.via is not None:
        attributes.append(("RTA_GATEWAY", str(route.via)))
    elif route.prefix.version == 4:
        fields["scope"] = _RT_SCOPE_LINK
    if route.source is not None:
        attributes.append(("RTA_PREFSRC", str(route.source)))
    if route.mtu_bytes is not None:
        attributes.append(("RTA_METRICS", _nest(("RTAX_MTU", route.mtu_bytes))))
    body = new_message(rtmsg, fields, [*_destination(route.prefix), *attributes])
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return Request("add", f'route {route.prefix} on device "{route.device}"', numbers.RTM_NEWROUTE, body, flags)


def delete_route(prefix: Network) -> Request:
    """Remove our route to a prefix and no one else's; no error when there is none."""
    fields = _route_fields(prefix, ROUTE_PROTOCOL) | {"scope": _RT_SCOPE_ANY}
    body = new_message(rtmsg, fields, _destination(prefix))
    return Request("delete", f"route {prefix}", numbers.RTM_DELROUTE, body, accept=_GONE)


def list_routes(family: Family, *, ours: bool) -> Request:
    """For a dump of the main table's unicast routes, sorted out by the kernel."""
    fields = {
        "family": _af(family),
        "table": _RT_TABLE_MAIN,
        "proto": ROUTE_PROTOCOL if ours else 0,
        "type": _RTN_UNICAST,
    }
    # A node without IPv6 has no such routes.
    accept = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT})
    return Request("list", f"IPv{family} routes", numbers.RTM_GETROUTE, new_message(rtmsg, fields), accept=accept)


def add_clsact(device: str, ifindex: int) -> Request:
    """Give a device the place where filters hang; no error when it has one."""
    fields = {"index": ifindex, "handle": _CLSACT_HANDLE, "parent": _CLSACT}
    body = new_message(tcmsg, fields, [("TCA_KIND", "clsact")])
    obj = f'clsact on device "{device}"'
    return Request("create", obj, numbers.RTM_NEWQDISC, body, _CREATE, frozenset({errno.EEXIST}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A place for one program of ours on a device."""

    device: str
    ifindex: int
    direction: Direction

    def __str__(self) -> str:
        return f'{self.direction} filter of device "{self.device}"'


def put_filter(place: Attachment, program_fd: int, program_name: str) -> Request:
    """Attach a program; one of ours that is there is replaced without a packet in between going past."""
    options = _nest(
        ("TCA_BPF_FD", program_fd), ("TCA_BPF_NAME", filter_name(program_name)), ("TCA_BPF_FLAGS", _ACT_DIRECT)
    )
    body = new_message(filter_message, _filter_fields(place), [("TCA_KIND", "bpf"), ("TCA_OPTIONS", options)])
    return Request("attach", f'program "{program_name}" as {place}', numbers.RTM_NEWTFILTER, body, NLM_F_CREATE)


def delete_filter(place: Attachment) -> Request:
    """Remove what hangs at our priority and handle; no error when nothing does."""
    body = new_message(filter_message, _filter_fields(place), [("TCA_KIND", "bpf")])
    return Request("detach", str(place), numbers.RTM_DELTFILTER, body, accept=_GONE | {errno.EINVAL})


def list_filters(place: Attachment) -> Request:
    """For a dump of what hangs at our priority, of any protocol; nothing when the device has no place for filters."""
    fields = _filter_fields(place) | {"handle": 0, "info": FILTER_PRIORITY << 16}
    accept = _GONE | {errno.EINVAL}
    return Request("list", str(place), numbers.RTM_GETTFILTER, new_message(filter_message, fields), accept=accept)


def _filter_fields(place: Attachment) -> dict[str, int]:
    return {
        "index": place.ifindex,
        "handle": FILTER_HANDLE,
        "parent": _PARENT[place.direction],
        "info": FILTER_PRIORITY << 16 | _ETH_P_ALL,
    }


def _set_link(name: str, fields: dict[str, int], attributes: list[tuple[str, Any]]) -> Request:
    return Request("change", _link(name), numbers.RTM_NEWLINK, new_message(ifinfmsg, fields, attributes))


def _link(name: str) -> str:
    return f'link "{name}"'


def _nest(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"attrs": [list(pair) for pair in pairs]}


def _end_attributes(end: VethEnd) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [
        ("IFLA_IFNAME", end.name),
        ("IFLA_ADDRESS", end.mac.hex(":")),
        ("IFLA_MTU", end.mtu_bytes),
        ("IFLA_NUM_TX_QUEUES", 1),
        ("IFLA_NUM_RX_QUEUES", 1),
    ]
    if end.marked:
        found.append(("IFLA_GROUP", LINK_GROUP))
    if end.netns_fd is not None:
        found.append(("IFLA_NET_NS_FD", end.netns_fd))
    return found


def _arp_flags(end: VethEnd) -> dict[str, int]:
    return {"flags": IFF_NOARP, "change": IFF_NOARP} if end.noarp else {}


def _veth_end(end: VethEnd) -> dict[str, Any]:
    return {**_arp_flags(end), **_nest(*_end_attributes(end))}


def _kind_attributes(name: str, kind: str, attributes: Mapping[str, int]) -> list[list[Any]]:
    data = ifinfmsg.ifinfo.data_map.get(kind)
    known = {str(item[0]).removeprefix("IFLA_").lower(): item[0] for item in data.nla_map} if data else {}
    unknown = sorted(set(attributes) - set(known))
    if unknown:
        raise Invalid(
            f'device "{name}" of kind "{kind}" asks for attributes that are not known: {", ".join(unknown)}; '
            f"known are {', '.join(sorted(known)) or 'none'}"
        )
    return [[known[key], value] for key, value in sorted(attributes.items())]


def _address_body(ifindex: int, address: Address, prefix_len: int, extra: list[tuple[str, Any]]) -> Any:
    fields = {"family": _af(address.version), "prefixlen": prefix_len, "index": ifindex}
    return new_message(ifaddrmsg, fields, [("IFA_LOCAL", str(address)), ("IFA_ADDRESS", str(address)), *extra])


def _route_fields(prefix: Network, protocol: int) -> dict[str, int]:
    return {
        "family": _af(prefix.version),
        "dst_len": prefix.prefixlen,
        "table": _RT_TABLE_MAIN,
        "proto": protocol,
    }


def _destination(prefix: Network) -> list[tuple[str, Any]]:
    return [("RTA_DST", str(prefix.network_address))] if prefix.prefixlen else []


def _af(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6
