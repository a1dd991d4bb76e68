"""Routes as the kernel takes and tells them: messages about routes, built and read. Pure.

A route with one next hop has its gateway and device among its own attributes; one with several has a list of them
(RTA_MULTIPATH), over which the kernel spreads connections. Both IP versions are told alike; numbers are those of
linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE

from netloom.edge.messages import HEADER_BYTES, attribute, attributes, nest, number, route_header
from netloom.edge.ownership import ROUTE_PROTOCOL
from netloom.edge.rtnl import Request
from netloom.model.address import Address, Family, Network

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_MULTIPATH = 1, 4, 5, 6, 7, 8, 9
RT_SCOPE_ANY = 255
"""RT_SCOPE_NOWHERE: in a deletion, whatever scope the route has."""
RTN_UNICAST = 1
ATTRIBUTES_AT = HEADER_BYTES + 12
"""Where the attributes of a route message begin: behind struct nlmsghdr and struct rtmsg."""
GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH})
"""What is answered to the deletion of a route that is not there."""
_RTAX_MTU = 2
_RT_SCOPE_LINK = 253
_RTPROT_BOOT = 3
"""What ``ip route add`` sets too; the routes inside a workload are the workload's, so they carry no mark."""
_HOP = struct.Struct("=HBBi")
"""struct rtnexthop: length, flags, weight less one, index of the device."""
_FIELDS = struct.Struct("=BB")
"""The first two of struct rtmsg: address family, length of the prefix."""
_U32 = struct.Struct("=I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route as the kernel takes it."""

    prefix: Network
    device: str
    ifindex: int
    """0 leaves it to the kernel: the device that leads to the next hops."""
    via: Address | None = None
    source: Address | None = None
    mtu_bytes: int | None = None
    more: tuple[Address, ...] = ()
    """Further next hops."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A next hop; a dead one, whose link is down, is one too."""

    ifindex: int
    via: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteInfo:
    """A unicast route."""

    prefix: Network
    hops: tuple[Hop, ...]
    """At least one; in the order the kernel has them."""
    source: Address | None
    mtu_bytes: int | None
    metric: int

    @property
    def ifindex(self) -> int:
        """Of the device of the first next hop."""
        return self.hops[0].ifindex

    @property
    def via(self) -> Address | None:
        """The first next hop."""
        return self.hops[0].via


NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.ENETDOWN, errno.ENODEV})
"""What the kernel answers to a next hop that none of its devices leads to."""


def add_route(route: Route, *, ours: bool = True, replace: bool = False) -> Request:
    """Add a route of the main table; without ``replace`` refused (EEXIST) when the prefix has one.

    ``replace`` puts it in place of the one there at once, with no moment without a route, all its next hops included.
    """
    body = route_header(
        family=_af(route.prefix.version),
        prefix_len=route.prefix.prefixlen,
        protocol=ROUTE_PROTOCOL if ours else _RTPROT_BOOT,
        scope=_RT_SCOPE_LINK if route.via is None and route.prefix.version == 4 else 0,
        kind=RTN_UNICAST,
    )
    body += _destination(route.prefix) + _way(route)
    if route.source is not None:
        body += attribute(RTA_PREFSRC, route.source.packed)
    if route.mtu_bytes is not None:
        body += nest(RTA_METRICS, number(_RTAX_MTU, route.mtu_bytes))
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    where = f'on device "{route.device}"' if route.ifindex else f"via {_list((route.via, *route.more))}"
    return Request("add", f"route {route.prefix} {where}", RTM_NEWROUTE, body, flags)


def next_hops(hops: Sequence[bytes], ifindex: int = 0) -> bytes:
    """Attributes that name the gateways, each as its 4 or 16 bytes, and the device, if it is given."""
    if len(hops) == 1:
        return attribute(RTA_GATEWAY, hops[0]) + (number(RTA_OIF, ifindex) if ifindex else b"")
    gateways = [attribute(RTA_GATEWAY, hop) for hop in hops]
    return attribute(
        RTA_MULTIPATH, b"".join(_HOP.pack(_HOP.size + len(each), 0, 0, ifindex) + each for each in gateways)
    )


def delete_route(prefix: Network) -> Request:
    """Remove our route to a prefix and no one else's; no error when there is none."""
    body = route_header(
        family=_af(prefix.version), prefix_len=prefix.prefixlen, protocol=ROUTE_PROTOCOL, scope=RT_SCOPE_ANY
    )
    return Request("delete", f"route {prefix}", RTM_DELROUTE, body + _destination(prefix), accept=GONE)


def list_routes(family: Family, protocol: int = 0, kind: int = RTN_UNICAST) -> Request:
    """For a dump of the main table, sorted out by the kernel; 0 stands for any protocol, or any kind (RTN_*)."""
    body = route_header(family=_af(family), protocol=protocol, kind=kind)
    # A node without IPv6 has no such routes.
    accept = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.ENOENT})
    return Request("list", f"IPv{family} routes", RTM_GETROUTE, body, accept=accept)


def route_info(raw: bytes) -> RouteInfo:
    """Read an answer to RTM_GETROUTE."""
    family, prefix_len = _FIELDS.unpack_from(raw, HEADER_BYTES)
    found = dict(attributes(raw, ATTRIBUTES_AT))
    destination = found.get(RTA_DST, b"\0" * (4 if family == socket.AF_INET else 16))
    source = found.get(RTA_PREFSRC)
    mtu = dict(attributes(found.get(RTA_METRICS, b""), 0)).get(_RTAX_MTU)
    kind = IPv4Network if family == socket.AF_INET else IPv6Network
    return RouteInfo(
        prefix=kind((destination, prefix_len)),
        hops=tuple(_hops(found)),
        source=ip_address(source) if source else None,
        mtu_bytes=_u32(mtu) if mtu else None,
        metric=_u32(found.get(RTA_PRIORITY)),
    )


def gateways(found: dict[int, bytes]) -> tuple[bytes, ...]:
    """The next hops among a route's attributes, each as its 4 or 16 bytes.

    Those of another IP version are left out; of some that do not have equal shares none is given.
    """
    if RTA_GATEWAY in found:
        return (found[RTA_GATEWAY],)
    hops = list(_parts(found.get(RTA_MULTIPATH, b"")))
    if len({weight for _, weight, _ in hops}) > 1:
        return ()
    return tuple(hop[RTA_GATEWAY] for _, _, hop in hops if RTA_GATEWAY in hop)


def _hops(found: dict[int, bytes]) -> Iterator[Hop]:
    if RTA_MULTIPATH not in found:
        yield _hop(_u32(found.get(RTA_OIF)), found)
    for ifindex, _, attributes_ in _parts(found.get(RTA_MULTIPATH, b"")):
        yield _hop(ifindex, attributes_)


def _hop(ifindex: int, found: dict[int, bytes]) -> Hop:
    via = found.get(RTA_GATEWAY)
    return Hop(ifindex, ip_address(via) if via else None)


def _parts(raw: bytes) -> Iterator[tuple[int, int, dict[int, bytes]]]:
    """Index of the device, weight less one, and attributes of each next hop of a list."""
    offset = 0
    while offset + _HOP.size <= len(raw):
        length, _, weight, ifindex = _HOP.unpack_from(raw, offset)
        if not _HOP.size <= length <= len(raw) - offset:
            return
        yield ifindex, weight, dict(attributes(raw[: offset + length], offset + _HOP.size))
        offset += (length + 3) & ~3


def _way(route: Route) -> bytes:
    if route.via is None:
        return number(RTA_OIF, route.ifindex)
    return next_hops([hop.packed for hop in (route.via, *route.more)], route.ifindex)


def _destination(prefix: Network) -> bytes:
    return attribute(RTA_DST, prefix.network_address.packed) if prefix.prefixlen else b""


def _af(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _list(hops: Sequence[Address | None]) -> str:
    return ", ".join(str(hop) for hop in hops)


def _u32(payload: bytes | None) -> int:
    return int(_U32.unpack(payload)[0]) if payload and len(payload) == _U32.size else 0
