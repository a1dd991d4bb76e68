"""The header fields of a frame by name, and what changed between two frames: total, whatever the bytes are. Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from netloom.datapath.craft import decapsulate
from netloom.datapath.packets import ETHERNET_BYTES
from netloom.model.walk import Rewrite

Fields = dict[str, str]

_OUTER = "outer."
_FRAGMENT = 44
"""IPv6's fragment header (RFC 8200, section 4.5)."""


def header_fields(frame: bytes, tunnel_port: int = 0) -> Fields:
    """Fields in the order of the frame; those of a tunnel's outer headers begin with ``outer.``.

    A frame that carries another in VXLAN to UDP port ``tunnel_port`` shows both; 0 looks for none.
    """
    inner = decapsulate(frame, tunnel_port) if tunnel_port else None
    if inner is None:
        return _fields(frame)
    outer = {f"{_OUTER}{name}": value for name, value in _fields(frame).items()}
    return {**outer, "vni": str(inner.vni), **_fields(inner.frame)}


def rewrites(before: bytes, after: bytes, tunnel_port: int = 0) -> tuple[Rewrite, ...]:
    """What a hop has changed, in the order of the headers."""
    one, other = header_fields(before, tunnel_port), header_fields(after, tunnel_port)
    names = dict.fromkeys((*other, *one))
    return tuple(
        Rewrite(field=name, before=one.get(name, ""), after=other.get(name, ""))
        for name in names
        if one.get(name, "") != other.get(name, "")
    )


def _fields(frame: bytes) -> Fields:
    if len(frame) < ETHERNET_BYTES:
        return {}
    found = {"destination_mac": frame[:6].hex(":"), "source_mac": frame[6:12].hex(":")}
    packet = frame[ETHERNET_BYTES:]
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == 0x0800 and len(packet) >= 20:
        found |= {"source": str(IPv4Address(packet[12:16])), "destination": str(IPv4Address(packet[16:20]))}
        found |= {"ttl": str(packet[8]), "bytes": str(int.from_bytes(packet[2:4], "big"))}
        place = int.from_bytes(packet[6:8], "big")
        fragment = (place & 0x1FFF) * 8, bool(place & 0x2000)
        return found | _transport(packet[9], packet[(packet[0] & 0x0F) * 4 :], fragment)
    if ethertype == 0x86DD and len(packet) >= 40:
        found |= {"source": str(IPv6Address(packet[8:24])), "destination": str(IPv6Address(packet[24:40]))}
        found |= {"ttl": str(packet[7]), "bytes": str(40 + int.from_bytes(packet[4:6], "big"))}
        if packet[6] != _FRAGMENT or len(packet) < 48:
            return found | _transport(packet[6], packet[40:], (0, False))
        place = int.from_bytes(packet[42:44], "big")
        return found | _transport(packet[40], packet[48:], (place & 0xFFF8, bool(place & 1)))
    return found | {"ethertype": f"0x{ethertype:04x}"}


def _transport(number: int, message: bytes, fragment: tuple[int, bool]) -> Fields:
    """``fragment``: where it stands in the whole, and whether more come behind it."""
    name = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}.get(number, str(number))
    offset, more = fragment
    found = {"protocol": name} | ({"fragment": f"{offset}{'+' if more else ''}"} if offset or more else {})
    if offset:
        return found
    if number in (6, 17) and len(message) >= 4:
        source, destination = struct.unpack_from(">HH", message)
        found |= {"source_port": str(source), "destination_port": str(destination)}
    elif number in (1, 58) and len(message) >= 2:
        found |= {"icmp": f"{message[0]}/{message[1]}"}
    return found
