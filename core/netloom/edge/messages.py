"""Routing netlink messages as bytes: what goes between the header and the next message, packed and taken apart. Pure.

A message is a fixed header of its family followed by attributes, each of which is a length, a number and a payload
filled up to four bytes (rtnetlink(7), linux/netlink.h). Integers are in the machine's own byte order, addresses in
network order. Messages of the attach path are packed here, because a general library spends most of an attachment's
time on them; what is asked for seldom, or has many forms, is left to pyroute2 (see :mod:`netloom.edge.answers`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEADER_BYTES = 16
"""Of struct nlmsghdr, before the family's own header."""
LINK_ATTRIBUTES_AT = HEADER_BYTES + 16
"""Where the attributes of a link message begin, counted from struct nlmsghdr."""
TRAFFIC_ATTRIBUTES_AT = HEADER_BYTES + 20
"""Of a message about filters and queues."""
_ATTRIBUTE = struct.Struct("=HH")
_U32_ATTRIBUTE = struct.Struct("=HHI")
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, device type, index, flags, which flags to change."""
_ADDRESS = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index of the device."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags."""
_TRAFFIC = struct.Struct("=BxxxiIII")
"""struct tcmsg: family, index of the device, handle, parent, info (priority and protocol)."""
_TYPE_BITS = 0x3FFF
"""NLA_TYPE_MASK: the other two bits say "nested" and "in network byte order"."""


def link_header(*, index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    """Pack struct ifinfomsg."""
    return _LINK.pack(0, 0, index, flags, change)


def address_header(family: int, prefix_len: int, index: int) -> bytes:
    """Pack struct ifaddrmsg."""
    return _ADDRESS.pack(family, prefix_len, 0, 0, index)


def route_header(*, family: int, prefix_len: int = 0, protocol: int = 0, scope: int = 0, kind: int = 0) -> bytes:
    """Pack struct rtmsg of the main table (RT_TABLE_MAIN, 254)."""
    return _ROUTE.pack(family, prefix_len, 0, 0, 254, protocol, scope, kind, 0)


def traffic_header(*, index: int, handle: int, parent: int, info: int = 0) -> bytes:
    """Pack struct tcmsg."""
    return _TRAFFIC.pack(0, index, handle, parent, info)


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute with its padding."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length & 3)


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits."""
    return _U32_ATTRIBUTE.pack(8, kind, value)


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string with its closing zero; names of devices need not be UTF-8."""
    return attribute(kind, value.encode(errors="surrogateescape") + b"\0")


def nest(kind: int, *parts: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind, b"".join(parts))


def attributes(raw: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Number and payload of each attribute from ``offset`` on; ends where lengths lead nowhere."""
    while offset + _ATTRIBUTE.size <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, offset)
        if not _ATTRIBUTE.size <= length <= len(raw) - offset:
            return
        yield kind & _TYPE_BITS, raw[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def link_fields(raw: bytes) -> tuple[int, int, int]:
    """Device type, index and flags of a link message, struct nlmsghdr included; zeros when it is too short."""
    if len(raw) < LINK_ATTRIBUTES_AT:
        return 0, 0, 0
    _, device_type, index, flags, _ = _LINK.unpack_from(raw, HEADER_BYTES)
    return device_type, index, flags
