"""What the kernel says of links, addresses and filters, as frozen values.

An answer comes as the bytes of one message, struct nlmsghdr included. Links and filters are asked about all the time,
so those are read here; the rest is read by pyroute2.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from netloom.datapath.program_names import PROGRAM_PREFIX
from netloom.edge.messages import LINK_ATTRIBUTES_AT, TRAFFIC_ATTRIBUTES_AT, attributes, link_fields
from netloom.edge.ownership import FILTER_PREFIX, LINK_GROUP
from netloom.model.address import Address

ARPHRD_ETHER = 1
"""Hardware type of devices whose packets begin with an Ethernet header (linux/if_arp.h)."""
IFF_UP = 0x1
IFF_NOARP = 0x80
_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_LINK = 5
_IFLA_LINKINFO = 18
_IFLA_IFALIAS = 20
_IFLA_GROUP = 27
_IFLA_INFO_KIND = 1
_TCA_KIND = 1
_TCA_OPTIONS = 2
_TCA_BPF_NAME = 7
_TCA_BPF_TAG = 10
_TCA_BPF_ID = 11


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
class FilterInfo:
    """A filter of a device, or a program attached without one."""

    kind: str
    """``tcx``; else that of the classifier, ``bpf`` for a program."""
    name: str
    program_id: int
    tag: str
    """The kernel's hash of the instructions, 16 hex digits."""

    @property
    def ours(self) -> bool:
        """Whether some Netloom node attached it."""
        prefix = {"bpf": FILTER_PREFIX, "tcx": PROGRAM_PREFIX}.get(self.kind)
        return prefix is not None and self.name.startswith(prefix)


def link_info(raw: bytes) -> LinkInfo:
    """Read an answer to RTM_GETLINK, or a notice of a link."""
    device_type, ifindex, flags = link_fields(raw)
    found = dict(attributes(raw, LINK_ATTRIBUTES_AT))
    return LinkInfo(
        name=_text(found.get(_IFLA_IFNAME, b"")),
        ifindex=ifindex,
        mac=found.get(_IFLA_ADDRESS, b""),
        mtu_bytes=_number(found.get(_IFLA_MTU, b"")),
        kind=_text(dict(attributes(found.get(_IFLA_LINKINFO, b""), 0)).get(_IFLA_INFO_KIND, b"")),
        up=bool(flags & IFF_UP),
        noarp=bool(flags & IFF_NOARP),
        ethernet=device_type == ARPHRD_ETHER,
        alias=_text(found.get(_IFLA_IFALIAS, b"")),
        group=_number(found.get(_IFLA_GROUP, b"")),
        peer_ifindex=_number(found.get(_IFLA_LINK, b"")),
    )


def link_attributes(raw: bytes) -> dict[str, Any]:
    """Attributes of the link's kind by pyroute2's short lower-case names, for example ``vxlan_port``."""
    info = _read(ifinfmsg, raw).get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    if not isinstance(data, dict):
        return {}
    return {str(name).removeprefix("IFLA_").lower(): value for name, value in data["attrs"]}


def address_info(raw: bytes) -> AddressInfo:
    """Read an answer to RTM_GETADDR; on a point-to-point device the local end counts."""
    message = _read(ifaddrmsg, raw)
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS")
    return AddressInfo(
        address=ip_address(text),
        prefix_len=message["prefixlen"],
        ifindex=message["index"],
        global_scope=message["scope"] == 0,
        flags=message["flags"] if flags is None else flags,
    )


def filter_info(raw: bytes) -> FilterInfo | None:
    """Read an answer to RTM_GETTFILTER; None for the empty entry that goes before the programs of a priority."""
    found = dict(attributes(raw, TRAFFIC_ATTRIBUTES_AT))
    kind = _text(found.get(_TCA_KIND, b""))
    if kind != "bpf":
        return FilterInfo(kind=kind, name="", program_id=0, tag="")
    options = dict(attributes(found.get(_TCA_OPTIONS, b""), 0))
    if _TCA_BPF_ID not in options:
        return None
    return FilterInfo(
        kind=kind,
        name=_text(options.get(_TCA_BPF_NAME, b"")),
        program_id=_number(options[_TCA_BPF_ID]),
        tag=options.get(_TCA_BPF_TAG, b"").hex(),
    )


def _read(kind: type[nlmsg], raw: bytes) -> Any:
    message = kind(raw)
    message.decode()  # type: ignore[no-untyped-call]
    return message


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode(errors="surrogateescape")


def _number(payload: bytes) -> int:
    return int.from_bytes(payload, sys.byteorder)
