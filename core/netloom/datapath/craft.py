"""Packets made and changed byte by byte, as stacks and tunnel devices do, with right lengths and checksums. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from netloom.datapath.packets import ETHERNET_BYTES
from netloom.model.address import Address
from netloom.model.errors import Invalid

Protocol = Literal["icmp", "tcp", "udp"]

DEFAULT_TTL = 64
"""Of packets that Linux sends (net.ipv4.ip_default_ttl)."""
SOURCE_PORT = 40000
"""Of packets that nobody's socket sends."""
MAX_PACKET_BYTES = 3400
"""The largest IP packet a test run of a program takes: a page less what the kernel keeps around it."""
BROADCAST_MAC = b"\xff" * 6
_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17}
_ICMP6 = 58
_FRAGMENT = 44
_DONT_FRAGMENT, _MORE_FRAGMENTS = 0x4000, 0x2000
_IDENTIFICATION = 1
"""Of fragments; stacks draw theirs by lot."""
_ECHO_TYPES = {(4, False): 8, (4, True): 0, (6, False): 128, (6, True): 129}
"""By IP version, and whether it is the reply (RFC 792, RFC 4443)."""
_SYN, _ACK = 0x02, 0x10
_PING_BYTES = 56
"""Payload of ping(8) unless told otherwise."""
_CHECKSUM_AT = {1: 2, 6: 16, 17: 6, _ICMP6: 2}
"""Where each protocol keeps its checksum."""
_VXLAN_HEADER = struct.Struct(">II")
_VXLAN_VALID = 0x08000000
"""The flag that says that there is a VNI (RFC 7348, section 5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The packet to be walked."""

    source: Address
    destination: Address
    protocol: Protocol = "icmp"
    port: int = 0
    """Destination port of TCP and UDP; ignored by ICMP."""
    size_bytes: int | None = None
    """Of the IP packet; None for what is usual: an echo request of 84 bytes, a SYN, a datagram of 8 bytes."""
    ttl: int = DEFAULT_TTL
    dont_fragment: bool = False
    """Whether the sender forbids its own stack to cut it."""
    reply: bool = False
    """What answers such a packet, on its way back: an echo reply, a SYN-ACK, a datagram between swapped ports."""


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); of data that carries its own, 0."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(probe: Probe) -> bytes:
    """The IP packet of a probe. Raises Invalid when its size is impossible, or its ends are of two families."""
    if probe.source.version != probe.destination.version:
        raise Invalid(f"a packet cannot go from {probe.source} to {probe.destination}: one is IPv4, the other IPv6")
    header_bytes = 20 if probe.source.version == 4 else 40
    message = _message(probe, header_bytes)
    number = _NUMBERS[probe.protocol]
    if isinstance(probe.source, IPv4Address):
        start = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(message), 0, _DONT_FRAGMENT, probe.ttl, number, 0)
    else:
        number = _ICMP6 if probe.protocol == "icmp" else number
        start = struct.pack(">IHBB", 6 << 28, len(message), number, probe.ttl)
    return with_checksums(start + probe.source.packed + probe.destination.packed + message)


def _message(probe: Probe, header_bytes: int) -> bytes:
    ports = (probe.port, SOURCE_PORT) if probe.reply else (SOURCE_PORT, probe.port)
    if probe.protocol == "icmp":
        kind = _ECHO_TYPES[probe.source.version, probe.reply]
        head, usual = struct.pack(">BBHHH", kind, 0, 0, 1, 1), _PING_BYTES
    elif probe.protocol == "tcp":
        flags = _SYN | _ACK if probe.reply else _SYN
        head, usual = struct.pack(">HHIIBBHHH", *ports, 1, int(probe.reply), 0x50, flags, 64240, 0, 0), 0
    else:
        head, usual = struct.pack(">HHHH", *ports, 0, 0), 8
    least = header_bytes + len(head)
    if probe.size_bytes is not None and not least <= probe.size_bytes <= MAX_PACKET_BYTES:
        raise Invalid(
            f"a packet of {probe.size_bytes} bytes cannot be walked, expected {least} (its headers) to "
            f"{MAX_PACKET_BYTES} (what the kernel takes in a test run)"
        )
    body = head + bytes(usual if probe.size_bytes is None else probe.size_bytes - least)
    return body[:4] + struct.pack(">H", len(body)) + body[6:] if probe.protocol == "udp" else body


def with_checksums(packet: bytes) -> bytes:
    """An IP packet without extension headers, its checksums made anew."""
    ipv4 = packet[0] >> 4 == 4
    header_bytes = (packet[0] & 0x0F) * 4 if ipv4 else 40
    ends, number = (packet[12:20], packet[9]) if ipv4 else (packet[8:40], packet[6])
    header, message = packet[:header_bytes], packet[header_bytes:]
    if ipv4:
        header = header[:10] + b"\0\0" + header[12:]
        header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    at = _CHECKSUM_AT.get(number)
    if at is not None and len(message) >= at + 2:
        blank = message[:at] + b"\0\0" + message[at + 2 :]
        pseudo = b"" if number == 1 else ends + struct.pack(">II", len(message), number)
        message = blank[:at] + struct.pack(">H", checksum(pseudo + blank) or 0xFFFF) + blank[at + 2 :]
    return header + message


def first_fragment(packet: bytes, mtu_bytes: int) -> tuple[bytes, int]:
    """What a stack sends first of a packet without extension headers that is too large, and how many fragments follow.

    Fragments but the last carry a multiple of 8 bytes (RFC 791, RFC 8200 section 4.5).
    """
    ipv4 = packet[0] >> 4 == 4
    header_bytes = 20 if ipv4 else 40
    message = packet[header_bytes:]
    whole = mtu_bytes - header_bytes - (0 if ipv4 else 8)
    room = whole & ~7
    # Linux lets the last IPv4 fragment be as long as the MTU allows.
    more = -(-(len(message) - (whole if ipv4 else room)) // room)
    if ipv4:
        start = packet[:2] + struct.pack(">HHH", 20 + room, _IDENTIFICATION, _MORE_FRAGMENTS) + packet[8:20]
        return _with_header_checksum(start + message[:room]), more
    fragment = struct.pack(">BBHI", packet[6], 0, 1, _IDENTIFICATION)
    start = packet[:4] + struct.pack(">HB", 8 + room, _FRAGMENT) + packet[7:40]
    return start + fragment + message[:room], more


def group_mac(group: Address) -> bytes:
    """The MAC address of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7)."""
    if isinstance(group, IPv6Address):
        return b"\x33\x33" + group.packed[12:]
    return b"\x01\x00\x5e" + bytes([group.packed[1] & 0x7F]) + group.packed[2:]


def ethernet(packet: bytes, *, source: bytes, destination: bytes) -> bytes:
    """An IP packet in a frame."""
    return destination + source + struct.pack(">H", _IPV4 if packet[0] >> 4 == 4 else _IPV6) + packet


def with_macs(frame: bytes, *, source: bytes, destination: bytes) -> bytes:
    """The frame from and to other devices."""
    return destination + source + frame[12:]


def with_hop_taken(frame: bytes) -> bytes:
    """One off the TTL of an IP packet in a frame."""
    return with_ttl(frame, frame[_ttl_at(frame)] - 1)


def with_ttl(frame: bytes, ttl: int) -> bytes:
    """An IP packet in a frame with so many hops before it."""
    at = _ttl_at(frame)
    changed = frame[:at] + bytes([ttl]) + frame[at + 1 :]
    return frame[:ETHERNET_BYTES] + _with_header_checksum(changed[ETHERNET_BYTES:])


def _ttl_at(frame: bytes) -> int:
    return ETHERNET_BYTES + (8 if frame[ETHERNET_BYTES] >> 4 == 4 else 7)


def with_source(frame: bytes, source: Address) -> bytes:
    """The IP packet in a frame as sent from another address of its family.

    Checksums are changed by the difference (RFC 1624), since a fragment does not hold all that its own covers.
    """
    packet = frame[ETHERNET_BYTES:]
    at = 12 if source.version == 4 else 8
    old = packet[at : at + len(source.packed)]
    changed = packet[:at] + source.packed + packet[at + len(source.packed) :]
    where = _transport_checksum_at(packet)
    if where and len(packet) >= where + 2 and packet[where : where + 2] != b"\0\0":
        inverse = bytes(byte ^ 0xFF for byte in packet[where : where + 2] + old)
        found = checksum(inverse + source.packed) or 0xFFFF
        changed = changed[:where] + struct.pack(">H", found) + changed[where + 2 :]
    return frame[:ETHERNET_BYTES] + _with_header_checksum(changed)


def _transport_checksum_at(packet: bytes) -> int:
    """Where the checksum stands that covers the packet's addresses too; 0 when the packet has none."""
    if packet[0] >> 4 == 4:
        number, at = packet[9], (packet[0] & 0x0F) * 4
        offset = int.from_bytes(packet[6:8], "big") & 0x1FFF
    elif packet[6] == _FRAGMENT and len(packet) >= 48:
        number, at, offset = packet[40], 48, int.from_bytes(packet[42:44], "big") & 0xFFF8
    else:
        number, at, offset = packet[6], 40, 0
    covers = number in _CHECKSUM_AT and number != _NUMBERS["icmp"]
    return at + _CHECKSUM_AT[number] if covers and not offset else 0


def _with_header_checksum(packet: bytes) -> bytes:
    if packet[0] >> 4 != 4:
        return packet
    header_bytes = (packet[0] & 0x0F) * 4
    header = packet[:10] + b"\0\0" + packet[12:header_bytes]
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + packet[header_bytes:]


def arp_request(*, sender: IPv4Address, sender_mac: bytes, target: IPv4Address) -> bytes:
    """Who has ``target``? (RFC 826)."""
    body = struct.pack(">HHBBH", 1, _IPV4, 6, 4, 1) + sender_mac + sender.packed + bytes(6) + target.packed
    return BROADCAST_MAC + sender_mac + struct.pack(">H", _ARP) + body


def neighbor_solicitation(*, sender: IPv6Address, sender_mac: bytes, target: IPv6Address) -> bytes:
    """Who has ``target``? (RFC 4861, section 4.3)."""
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + target.packed[13:])
    message = struct.pack(">BBHI", 135, 0, 0, 0) + target.packed + b"\x01\x01" + sender_mac
    start = struct.pack(">IHBB", 6 << 28, len(message), _ICMP6, 255)
    packet = with_checksums(start + sender.packed + group.packed + message)
    return ethernet(packet, source=sender_mac, destination=group_mac(group))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    """What a tunnel puts around a frame, besides its own header."""

    source: Address
    destination: Address
    source_mac: bytes
    destination_mac: bytes
    port: int
    vni: int
    ttl: int = DEFAULT_TTL


def encapsulate(frame: bytes, outer: Outer) -> bytes:
    """A frame in VXLAN (RFC 7348), as Linux's device sends it: over IPv4 without a UDP checksum."""
    body = _VXLAN_HEADER.pack(_VXLAN_VALID, outer.vni << 8) + frame
    message = struct.pack(">HHHH", SOURCE_PORT, outer.port, 8 + len(body), 0) + body
    if isinstance(outer.source, IPv4Address):
        start = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, outer.ttl, 17, 0)
        packet = _with_header_checksum(start + outer.source.packed + outer.destination.packed + message)
    else:
        start = struct.pack(">IHBB", 6 << 28, len(message), 17, outer.ttl)
        packet = with_checksums(start + outer.source.packed + outer.destination.packed + message)
    return ethernet(packet, source=outer.source_mac, destination=outer.destination_mac)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnelled:
    """A frame that came in a tunnel."""

    source: Address
    destination: Address
    vni: int
    frame: bytes


def decapsulate(frame: bytes, port: int) -> Tunnelled | None:
    """What a frame carries in VXLAN to UDP port ``port``; None when it carries none. Total."""
    packet = frame[ETHERNET_BYTES:]
    if len(packet) < 20 or packet[0] >> 4 not in (4, 6):
        return None
    ipv4 = packet[0] >> 4 == 4
    at = (packet[0] & 0x0F) * 4 if ipv4 else 40
    number, fragment = (packet[9], packet[6] & 0x3F or packet[7]) if ipv4 else (packet[6] if len(packet) > 6 else 0, 0)
    if number != 17 or fragment or len(packet) < at + 16 + ETHERNET_BYTES:
        return None
    flags, word = _VXLAN_HEADER.unpack_from(packet, at + 8)
    if int.from_bytes(packet[at + 2 : at + 4], "big") != port or not flags & _VXLAN_VALID:
        return None
    ends: tuple[Address, Address] = (
        (IPv4Address(packet[12:16]), IPv4Address(packet[16:20]))
        if ipv4
        else (IPv6Address(packet[8:24]), IPv6Address(packet[24:40]))
    )
    return Tunnelled(source=ends[0], destination=ends[1], vni=word >> 8, frame=packet[at + 16 :])
