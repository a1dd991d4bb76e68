"""What the kernel's notices mean to this node: which of its things to look at. Pure.

Offsets and numbers are those of linux/rtnetlink.h, linux/netconf.h and linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from netloom.edge.messages import HEADER_BYTES, LINK_ATTRIBUTES_AT, attributes
from netloom.edge.ownership import ROUTE_PROTOCOL

_HEADER = struct.Struct("=IHHII")
_INDEX = struct.Struct("=4xi")
"""The index as struct ifinfomsg, ifaddrmsg and tcmsg have it, behind four bytes."""
_ROUTE = struct.Struct("=4xBB")
"""Table and protocol of struct rtmsg."""
_NEW_LINK = 16
_LINK = frozenset({_NEW_LINK, 17})
_IFLA_IFNAME = 3
_ADDRESS = frozenset({20, 21})
_ROUTES = frozenset({24, 25})
_TRAFFIC = frozenset({36, 37, 44, 45})
"""RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER."""
_SETTINGS = frozenset({80, 81})
"""RTM_NEWNETCONF, RTM_DELNETCONF."""
_NETCONF_ATTRIBUTES_AT = HEADER_BYTES + 4
_NETCONFA_IFINDEX = 1
_ALL_DEVICES = -1
_NLM_F_REPLACE = 0x100
_MAIN_TABLE = 254
_NFTABLES = 10
"""NFNL_SUBSYS_NFTABLES, the upper byte of a message's number."""
_NFTABLES_ATTRIBUTES_AT = HEADER_BYTES + 4
_TABLE_NAME = 1
"""NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and NFTA_RULE_TABLE; of a new generation, four bytes that are no name of ours."""


class Aspect(Enum):
    """A part of the node that can be looked at by itself."""

    HOST = "host"
    """The node's own devices, their addresses, and the settings."""
    ROUTES = "routes"
    FIREWALL = "firewall"
    PREFILTER = "prefilter"
    """Its program on the underlay device, and its entries."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What to look at."""

    aspects: frozenset[Aspect] = frozenset()
    devices: frozenset[int] = frozenset()
    """Indexes of devices whose state or filters may have changed."""

    def __or__(self, other: Notice) -> Notice:
        return Notice(self.aspects | other.aspects, self.devices | other.devices)

    def __bool__(self) -> bool:
        return bool(self.aspects or self.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is this node's."""

    host_devices: frozenset[int]
    workload_devices: frozenset[int]
    tables: frozenset[str]
    """Of the firewall."""
    prefiltered_devices: frozenset[int] = frozenset()
    """Indexes of those the prefilter has its program on."""
    uplinks: frozenset[int] = frozenset()
    """Of the underlay's devices."""
    uplinks_away: frozenset[str] = frozenset()
    """Names of those that were deleted: their indexes will be others."""

    @property
    def devices(self) -> frozenset[int]:
        """All kinds."""
        return self.host_devices | self.workload_devices | self.uplinks


def everything(known: Known) -> Notice:
    """When notices were lost."""
    return Notice(frozenset(Aspect), known.devices)


def read_route_notices(datagram: bytes, known: Known) -> Notice:
    """Of rtnetlink; what is not understood, or nobody's business, is nothing."""
    found = Notice()
    for kind, flags, message in _messages(datagram):
        found |= _read(kind, flags, message, known)
    return found


def read_firewall_notices(datagram: bytes, known: Known) -> Notice:
    """Of nftables: whether a table of ours is concerned."""
    for kind, _, message in _messages(datagram):
        if kind >> 8 == _NFTABLES:
            name = dict(attributes(message, _NFTABLES_ATTRIBUTES_AT)).get(_TABLE_NAME, b"")
            if name.rstrip(b"\0").decode(errors="replace") in known.tables:
                return Notice(frozenset({Aspect.FIREWALL}))
    return Notice()


def _read(kind: int, flags: int, message: bytes, known: Known) -> Notice:
    if len(message) < HEADER_BYTES + 8:
        return Notice()
    if kind in _ROUTES:
        table, protocol = _ROUTE.unpack_from(message, HEADER_BYTES)
        # A stranger's route may have taken the place of ours, which is told of in no other way.
        ours = protocol == ROUTE_PROTOCOL or flags & _NLM_F_REPLACE
        return Notice(frozenset({Aspect.ROUTES})) if table == _MAIN_TABLE and ours else Notice()
    if kind in _SETTINGS:
        found = dict(attributes(message, _NETCONF_ATTRIBUTES_AT)).get(_NETCONFA_IFINDEX, b"")
        ifindex = int.from_bytes(found, sys.byteorder, signed=True)
        return _of_host() if ifindex in known.host_devices or ifindex == _ALL_DEVICES else Notice()
    if kind == _NEW_LINK and known.uplinks_away and _name_in(message) in known.uplinks_away:
        return _of_host() | Notice(frozenset({Aspect.PREFILTER}))
    if kind in _LINK | _ADDRESS | _TRAFFIC:
        (ifindex,) = _INDEX.unpack_from(message, HEADER_BYTES)
        return _of_device(kind, ifindex, known)
    return Notice()


def _of_device(kind: int, ifindex: int, known: Known) -> Notice:
    if ifindex in known.host_devices and kind not in _TRAFFIC:
        return _of_host()
    prefiltered = kind in _LINK and ifindex in known.prefiltered_devices
    found = Notice(frozenset({Aspect.PREFILTER}) if prefiltered else frozenset(), known.devices & {ifindex})
    return found | _of_host() if kind in _LINK and ifindex in known.uplinks else found


def _name_in(message: bytes) -> str:
    """Of the link that a notice is about."""
    return dict(attributes(message, LINK_ATTRIBUTES_AT)).get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")


def _of_host() -> Notice:
    """The kernel drops IPv4 routes of a device that goes down without telling."""
    return Notice(frozenset({Aspect.HOST, Aspect.ROUTES}))


def _messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, flags and bytes of each message."""
    offset = 0
    while offset + HEADER_BYTES <= len(datagram):
        length, kind, flags, _, _ = _HEADER.unpack_from(datagram, offset)
        if length < HEADER_BYTES:
            return
        yield kind, flags, datagram[offset : offset + length]
        offset += (length + 3) & ~3
