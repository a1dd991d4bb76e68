"""What the kernel would do with a packet: its own answers to questions about routes and neighbours.

Nothing here sends or changes anything. The questions are those of ``ip route get`` and ``ip neigh get``; an answer
holds for the network namespace of the thread that made the socket.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address

from netloom.edge.messages import HEADER_BYTES, attribute, attributes, number
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.model.address import Address
from netloom.model.errors import KernelError

_RTM_GETROUTE, _RTM_GETNEIGH = 26, 30
"""linux/rtnetlink.h."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags."""
_NEIGHBOR = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index of the device, state, flags, type."""
_RTA_DST, _RTA_SRC, _RTA_IIF, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_METRICS, _RTA_MARK = 1, 2, 3, 4, 5, 7, 8, 16
_RTA_VIA = 18
"""A next hop of another family than the destination's: its family, then the address."""
_RTAX_MTU = 2
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_FAILED = 0x20
_NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
"""Reachable, stale, delayed, probed, no ARP, permanent: states in which the address is used (linux/neighbour.h)."""


class RouteKind(IntEnum):
    """What a route does with a packet (``rtm_type``, linux/rtnetlink.h)."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A packet's route: sent from here, or received by a device and to be forwarded or kept."""

    destination: Address
    source: Address | None = None
    """None lets the kernel choose; a received packet has one."""
    received_by: int = 0
    """Index of the device; 0 for a packet of this node's own."""
    mark: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The kernel's answer."""

    kind: RouteKind
    ifindex: int
    """Of the device it leaves by."""
    via: Address | None
    """Next hop; None when the destination is on the link."""
    source: Address | None
    """What the kernel would choose as source address."""
    mtu_bytes: int | None
    """Of the route; None when the device's counts."""

    @property
    def is_here(self) -> bool:
        """Whether the packet is for this network namespace itself."""
        return self.kind is not RouteKind.UNICAST


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPath:
    """The kernel refuses the packet."""

    errno: int
    text: str


_REFUSALS = {
    errno.EXDEV: "reverse-path filter: the way back to the source is not the way it came",
    errno.ENETUNREACH: "no route to the destination",
    errno.EHOSTUNREACH: "no route to the destination, or forwarding is off on the device",
    errno.EACCES: "a route prohibits it",
    errno.EINVAL: "its source cannot come from there (reverse-path filter, martian address), or a route drops it",
}
_TO_LOOPBACK = "a loopback address is nobody's but the sender's own: from a device, it is a martian address"
_DROPPING = {
    RouteKind.BLACKHOLE: "a blackhole route drops it",
    RouteKind.UNREACHABLE: "the route says that the destination is unreachable",
    RouteKind.PROHIBIT: "a route prohibits it",
    RouteKind.THROW: "no route to the destination",
}


def find_path(rtnl: RtnlSocket, question: Question) -> Path | NoPath:
    """Where the kernel sends or forwards such a packet. Raises KernelError for what is no answer about the packet."""
    obj = f"route to {question.destination}"
    try:
        raw = rtnl.call(Request("find", obj, _RTM_GETROUTE, _question(question)))[0]
    except KernelError as error:
        if error.errno not in _REFUSALS:
            raise
        martian = error.errno == errno.EINVAL and question.received_by and question.destination.is_loopback
        return NoPath(errno=error.errno, text=_TO_LOOPBACK if martian else _REFUSALS[error.errno])
    kind = RouteKind(_ROUTE.unpack_from(raw, HEADER_BYTES)[7])
    if kind in _DROPPING:
        return NoPath(errno=errno.ENETUNREACH, text=_DROPPING[kind])
    found = dict(attributes(raw, HEADER_BYTES + _ROUTE.size))
    via = found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]
    metrics = dict(attributes(found.get(_RTA_METRICS, b""), 0))
    return Path(
        kind=kind,
        ifindex=_u32(found.get(_RTA_OIF)) or 0,
        via=ip_address(via) if via else None,
        source=ip_address(found[_RTA_PREFSRC]) if _RTA_PREFSRC in found else None,
        mtu_bytes=_u32(metrics.get(_RTAX_MTU)),
    )


def neighbor_of(rtnl: RtnlSocket, ifindex: int, address: Address) -> bytes | None:
    """The MAC address the kernel knows of a neighbour; None when it would have to ask for it first."""
    found = _neighbor(rtnl, ifindex, address)
    if found is None or not _NEIGHBOR.unpack_from(found, HEADER_BYTES)[2] & _NUD_VALID:
        return None
    return dict(attributes(found, HEADER_BYTES + _NEIGHBOR.size)).get(_NDA_LLADDR)


def is_known_silent(rtnl: RtnlSocket, ifindex: int, address: Address) -> bool:
    """Whether the kernel has asked for a neighbour in vain, and still remembers."""
    state = _neighbor(rtnl, ifindex, address)
    return state is not None and bool(_NEIGHBOR.unpack_from(state, HEADER_BYTES)[2] & _NUD_FAILED)


def _neighbor(rtnl: RtnlSocket, ifindex: int, address: Address) -> bytes | None:
    """The kernel's entry, as it sends it."""
    body = _NEIGHBOR.pack(_family(address), ifindex, 0, 0, 0) + attribute(_NDA_DST, address.packed)
    accept = frozenset({errno.ENOENT})
    answers = rtnl.call(Request("find", f"neighbour {address}", _RTM_GETNEIGH, body, accept=accept))
    return answers[0] if answers else None


def _question(question: Question) -> bytes:
    bits = question.destination.max_prefixlen
    source = question.source
    parts = [_ROUTE.pack(_family(question.destination), bits, bits if source else 0, 0, 0, 0, 0, 0, 0)]
    parts.append(attribute(_RTA_DST, question.destination.packed))
    if source is not None:
        parts.append(attribute(_RTA_SRC, source.packed))
    if question.received_by:
        parts.append(number(_RTA_IIF, question.received_by))
    if question.mark:
        parts.append(number(_RTA_MARK, question.mark))
    return b"".join(parts)


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _u32(payload: bytes | None) -> int | None:
    return None if payload is None else int(struct.unpack("=I", payload)[0])
