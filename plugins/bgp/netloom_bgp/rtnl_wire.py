"""Routing netlink as far as the link watch speaks it: bytes to values and back. Pure.

Offsets and numbers are those of linux/netlink.h, linux/rtnetlink.h and linux/if_link.h. Integers are in the machine's
own byte order, addresses in network order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from netloom.model.address import Address

NLMSG_ERROR: Final = 2
RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_NEWROUTE: Final = 24
RTM_GETROUTE: Final = 26

_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, kind, flags, sequence number, port."""
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, device type, index, flags, which flags to change."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags."""
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_REQUEST = 0x1
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000
_IFLA_IFNAME = 3
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_VIA = 1, 4, 5, 7, 18
_RTN_UNICAST, _RTN_LOCAL = 1, 2
_TYPE_BITS = 0x3FFF
"""NLA_TYPE_MASK: the other two bits say "nested" and "in network byte order"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A network device, as the kernel described it last."""

    ifindex: int
    name: str
    trouble: str = ""
    """Why nothing goes out by it, such as ``has no carrier``; "" when nothing is known against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the kernel sends to an address."""

    ifindex: int
    on_link: bool
    """Whether no router stands in between."""
    source: Address | None = None
    """What the kernel would choose as source address."""


def messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, sequence number and body of each message; ends where lengths lead nowhere."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, _, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if not _HEADER.size <= length <= len(datagram) - offset:
            return
        yield kind, sequence, datagram[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def error_number(body: bytes) -> int:
    """The errno in an NLMSG_ERROR; 0 when it is no error, or too short to be one."""
    return -int(_ERROR.unpack_from(body)[0]) if len(body) >= _ERROR.size else 0


def read_link(kind: int, body: bytes) -> Device | None:
    """A notice of a device or an answer about one; None for what is neither.

    A bridge tells of its ports by messages of the same kind and another family: such a port has not left when its
    bridge lets go of it.
    """
    if kind not in (RTM_NEWLINK, RTM_DELLINK) or len(body) < _LINK.size:
        return None
    family, _, ifindex, flags, _ = _LINK.unpack_from(body)
    if family != socket.AF_UNSPEC:
        return None
    raw_name = dict(_attributes(body, _LINK.size)).get(_IFLA_IFNAME, b"")
    name = raw_name.rstrip(b"\0").decode(errors="surrogateescape")
    return Device(ifindex=ifindex, name=name, trouble="is gone" if kind == RTM_DELLINK else _trouble(flags))


def read_way(body: bytes) -> Way | None:
    """The answer to :func:`way_request`; None when the kernel would not send."""
    if len(body) < _ROUTE.size or _ROUTE.unpack_from(body)[7] not in (_RTN_UNICAST, _RTN_LOCAL):
        return None
    found = dict(_attributes(body, _ROUTE.size))
    source, device = found.get(_RTA_PREFSRC, b""), found.get(_RTA_OIF, b"")
    if len(device) != 4:
        return None
    return Way(
        ifindex=struct.unpack("=I", device)[0],
        on_link=_RTA_GATEWAY not in found and _RTA_VIA not in found,
        source=ip_address(source) if len(source) in (4, 16) else None,
    )


def way_request(address: Address, sequence: int) -> bytes:
    """Ask how a packet to ``address`` would go; ``ip route get`` asks the same."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address.packed), _RTA_DST) + address.packed
    return _message(RTM_GETROUTE, sequence, _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + attribute)


def link_request(ifindex: int, sequence: int) -> bytes:
    """Ask for one device."""
    return _message(RTM_GETLINK, sequence, _LINK.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0))


def _message(kind: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, sequence, 0) + body


def _trouble(flags: int) -> str:
    if not flags & _IFF_UP:
        return "is switched off"
    return "" if flags & _IFF_LOWER_UP else "has no carrier"


def _attributes(raw: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Number and payload of each attribute from ``offset`` on; ends where lengths lead nowhere."""
    while offset + _ATTRIBUTE.size <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, offset)
        if not _ATTRIBUTE.size <= length <= len(raw) - offset:
            return
        yield kind & _TYPE_BITS, raw[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
