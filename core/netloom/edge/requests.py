"""Requests for links, addresses and filters: pure builders, one per thing that is asked of the kernel.

Those for routes stand in :mod:`netloom.edge.routes`. Numbers are those of linux/rtnetlink.h, linux/if_link.h,
linux/pkt_sched.h and linux/pkt_cls.h.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL
from pyroute2.netlink import rtnl as numbers
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from netloom.edge.answers import IFF_NOARP, IFF_UP
from netloom.edge.messages import (
    HEADER_BYTES,
    address_header,
    attribute,
    link_header,
    nest,
    number,
    text,
    traffic_header,
)
from netloom.edge.ownership import FILTER_HANDLE, FILTER_PRIORITY, LINK_GROUP, filter_name
from netloom.edge.rtnl import Request
from netloom.model.address import Address
from netloom.model.errors import Invalid

Direction = Literal["ingress", "egress"]

_CREATE = NLM_F_CREATE | NLM_F_EXCL
_NO_DEVICE = frozenset({errno.ENODEV})
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL})
_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_LINKINFO = 18
_IFLA_IFALIAS = 20
_IFLA_AF_SPEC = 26
_IFLA_GROUP = 27
_IFLA_NET_NS_FD = 28
_IFLA_EXT_MASK = 29
_IFLA_NUM_TX_QUEUES = 31
_IFLA_NUM_RX_QUEUES = 32
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_IFLA_INET6_ADDR_GEN_MODE = 8
_VETH_INFO_PEER = 1
_WITHOUT_STATISTICS = 8
"""RTEXT_FILTER_SKIP_STATS: counters are most of an answer about a link, and cost the kernel most of its time."""
_NO_LINK_LOCAL = 1
"""IN6_ADDR_GEN_MODE_NONE: the device makes no address by itself, so it solicits no router either."""
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_FLAGS = 8
_IFA_F_NODAD = 0x02
_IFA_F_NOPREFIXROUTE = 0x200
_TCA_KIND = 1
_TCA_OPTIONS = 2
_TCA_BPF_FD = 6
_TCA_BPF_NAME = 7
_TCA_BPF_FLAGS = 8
_CLSACT = 0xFFFFFFF1
_CLSACT_HANDLE = 0xFFFF0000
_PARENT: Mapping[Direction, int] = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
_ETH_P_ALL = 0x0300
"""3 in network byte order, as tcm_info wants it."""
_ACT_DIRECT = 1
"""TCA_BPF_FLAG_ACT_DIRECT: the program's return value is the verdict."""


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
    pair = nest(_IFLA_INFO_DATA, nest(_VETH_INFO_PEER, _veth_end(peer)))
    body = _veth_end(end) + nest(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "veth"), pair)
    return Request("create", f'veth pair "{end.name}" and "{peer.name}"', numbers.RTM_NEWLINK, body, _CREATE)


def new_device(name: str, kind: str, attributes: Mapping[str, int], mtu_bytes: int | None) -> Request:
    """Make a device of any kind. Raises Invalid for an attribute pyroute2 does not know of that kind."""
    info: list[Any] = [["IFLA_INFO_KIND", kind]]
    if attributes:
        info.append(["IFLA_INFO_DATA", {"attrs": _kind_attributes(name, kind, attributes)}])
    # pyroute2 knows the attributes of many kinds, with their widths and byte orders.
    message = ifinfmsg()  # type: ignore[no-untyped-call]
    message["attrs"] = [["IFLA_IFNAME", name], ["IFLA_GROUP", LINK_GROUP], ["IFLA_LINKINFO", {"attrs": info}]]
    if mtu_bytes is not None:
        message["attrs"].insert(2, ["IFLA_MTU", mtu_bytes])
    message.encode()  # type: ignore[no-untyped-call]
    body = bytes(message.data)[HEADER_BYTES:]
    return Request("create", f'{kind} device "{name}"', numbers.RTM_NEWLINK, body, _CREATE)


def get_link(name: str) -> Request:
    """One link by name; answered by nothing when it does not exist."""
    body = link_header() + text(_IFLA_IFNAME, name) + number(_IFLA_EXT_MASK, _WITHOUT_STATISTICS)
    return Request("read", _link(name), numbers.RTM_GETLINK, body, accept=_NO_DEVICE)


def get_link_by_index(ifindex: int) -> Request:
    """One link by number; answered by nothing when it does not exist."""
    body = link_header(index=ifindex) + number(_IFLA_EXT_MASK, _WITHOUT_STATISTICS)
    return Request("read", f"link {ifindex}", numbers.RTM_GETLINK, body, accept=_NO_DEVICE)


def list_links() -> Request:
    """For a dump of all links."""
    return Request("list", "links", numbers.RTM_GETLINK, link_header() + number(_IFLA_EXT_MASK, _WITHOUT_STATISTICS))


def set_up(name: str, ifindex: int, *, noarp: bool = False) -> Request:
    """Bring a link up, and switch ARP off on it or leave it as it is."""
    flags = IFF_UP | (IFF_NOARP if noarp else 0)
    return _set_link(name, link_header(index=ifindex, flags=flags, change=flags))


def set_mtu(name: str, ifindex: int, mtu_bytes: int) -> Request:
    """Change how long a packet may be."""
    return _set_link(name, link_header(index=ifindex) + number(_IFLA_MTU, mtu_bytes))


def set_group(name: str, ifindex: int) -> Request:
    """Mark a link as ours again."""
    return _set_link(name, link_header(index=ifindex) + number(_IFLA_GROUP, LINK_GROUP))


def set_alias(name: str, ifindex: int, alias: str) -> Request:
    """Change the alias."""
    return _set_link(name, link_header(index=ifindex) + text(_IFLA_IFALIAS, alias))


def quiet_ipv6(name: str, ifindex: int) -> Request:
    """Keep the device from making itself a link-local address; while it is down, else one exists already.

    Refused where the device has no IPv6 (MTU below 1280, or IPv6 absent), where nothing is to be done.
    """
    inet6 = nest(socket.AF_INET6, attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_NO_LINK_LOCAL])))
    body = link_header(index=ifindex) + nest(_IFLA_AF_SPEC, inet6)
    accept = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})
    return Request("change", _link(name), numbers.RTM_NEWLINK, body, accept=accept)


def delete_link(name: str, ifindex: int) -> Request:
    """Remove a link; no error when it is gone."""
    return Request("delete", _link(name), numbers.RTM_DELLINK, link_header(index=ifindex), accept=_GONE)


def delete_marked_links() -> Request:
    """Remove all links that carry our mark at once: the kernel waits once for all of them, not once for each."""
    body = link_header() + number(_IFLA_GROUP, LINK_GROUP)
    return Request("delete", "Netloom's links", numbers.RTM_DELLINK, body, accept=_GONE)


def list_addresses(ifindex: int = 0) -> Request:
    """For a dump of the addresses of one device, or of all."""
    return Request("list", "addresses", numbers.RTM_GETADDR, address_header(0, 0, ifindex))


def add_address(device: str, ifindex: int, address: Address) -> Request:
    """Give a device one address, alone in its prefix, usable at once; no error when it has it."""
    body = _address_body(ifindex, address, address.max_prefixlen)
    if address.version == 6:
        body += number(_IFA_FLAGS, _IFA_F_NODAD | _IFA_F_NOPREFIXROUTE)
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
    return Request("delete", obj, numbers.RTM_DELADDR, _address_body(ifindex, address, prefix_len), accept=_GONE)


def add_clsact(device: str, ifindex: int) -> Request:
    """Give a device the place where filters hang; no error when it has one."""
    body = traffic_header(index=ifindex, handle=_CLSACT_HANDLE, parent=_CLSACT) + text(_TCA_KIND, "clsact")
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
    options = nest(
        _TCA_OPTIONS,
        number(_TCA_BPF_FD, program_fd),
        text(_TCA_BPF_NAME, filter_name(program_name)),
        number(_TCA_BPF_FLAGS, _ACT_DIRECT),
    )
    body = _filter_header(place) + text(_TCA_KIND, "bpf") + options
    return Request("attach", f'program "{program_name}" as {place}', numbers.RTM_NEWTFILTER, body, NLM_F_CREATE)


def delete_filter(place: Attachment) -> Request:
    """Remove what hangs at our priority and handle; no error when nothing does."""
    body = _filter_header(place) + text(_TCA_KIND, "bpf")
    return Request("detach", str(place), numbers.RTM_DELTFILTER, body, accept=_GONE | {errno.EINVAL})


def list_filters(place: Attachment) -> Request:
    """For a dump of what hangs at our priority, of any protocol; nothing when the device has no place for filters."""
    body = traffic_header(index=place.ifindex, handle=0, parent=_PARENT[place.direction], info=FILTER_PRIORITY << 16)
    return Request("list", str(place), numbers.RTM_GETTFILTER, body, accept=_GONE | {errno.EINVAL})


def _filter_header(place: Attachment) -> bytes:
    return traffic_header(
        index=place.ifindex,
        handle=FILTER_HANDLE,
        parent=_PARENT[place.direction],
        info=FILTER_PRIORITY << 16 | _ETH_P_ALL,
    )


def _set_link(name: str, body: bytes) -> Request:
    return Request("change", _link(name), numbers.RTM_NEWLINK, body)


def _link(name: str) -> str:
    return f'link "{name}"'


def _veth_end(end: VethEnd) -> bytes:
    """Header and attributes of one end."""
    noarp = IFF_NOARP if end.noarp else 0
    body = (
        link_header(flags=noarp, change=noarp)
        + text(_IFLA_IFNAME, end.name)
        + attribute(_IFLA_ADDRESS, end.mac)
        + number(_IFLA_MTU, end.mtu_bytes)
        + number(_IFLA_NUM_TX_QUEUES, 1)
        + number(_IFLA_NUM_RX_QUEUES, 1)
    )
    if end.marked:
        body += number(_IFLA_GROUP, LINK_GROUP)
    if end.netns_fd is not None:
        body += number(_IFLA_NET_NS_FD, end.netns_fd)
    return body


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


def _address_body(ifindex: int, address: Address, prefix_len: int) -> bytes:
    header = address_header(_af(address.version), prefix_len, ifindex)
    return header + attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)


def _af(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6
