"""Packets, byte by byte: small builders that compose from the inside out.

Every builder fills lengths and checksums in unless told otherwise, so that a wrong one in a test is there on purpose.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from netloom.model.address import Address

ARP, IPV4, IPV6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
MORE_FRAGMENTS = 0x2000
"""In the fragment field of IPv4; the lower 13 bits are the offset in units of 8 bytes."""
ETHERNET_BYTES = 14


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); of data that carries its own, 0."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo_header(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    """What L4 checksums cover besides the message (RFC 768, RFC 8200)."""
    ends = source.packed + destination.packed
    if isinstance(source, IPv4Address):
        return ends + struct.pack(">BBH", 0, protocol, length)
    return ends + struct.pack(">II", length, protocol)


def ethernet(payload: bytes, *, source: bytes, destination: bytes, ethertype: int | None = None) -> bytes:
    """A frame; the type is read from the payload's IP version unless given."""
    if ethertype is None:
        ethertype = {4: IPV4, 6: IPV6}[payload[0] >> 4]
    return destination + source + struct.pack(">H", ethertype) + payload


def ipv4(
    payload: bytes,
    *,
    source: Address,
    destination: Address,
    protocol: int,
    ttl: int = 64,
    fragment: int = 0,
    options: bytes = b"",
    total_bytes: int | None = None,
) -> bytes:
    """An IPv4 packet; ``options`` in whole words."""
    header_bytes = 20 + len(options)
    total = header_bytes + len(payload) if total_bytes is None else total_bytes
    start = struct.pack(">BBHHHBB", 4 << 4 | header_bytes // 4, 0, total, 0x1234, fragment, ttl, protocol)
    end = source.packed + destination.packed + options
    return start + struct.pack(">H", checksum(start + b"\0\0" + end)) + end + payload


def ipv6(
    payload: bytes,
    *,
    source: Address,
    destination: Address,
    protocol: int,
    hop_limit: int = 64,
    payload_bytes: int | None = None,
) -> bytes:
    """An IPv6 packet; ``protocol`` is that of the first header in ``payload``."""
    length = len(payload) if payload_bytes is None else payload_bytes
    return struct.pack(">IHBB", 6 << 28, length, protocol, hop_limit) + source.packed + destination.packed + payload


def ip(payload: bytes, *, source: Address, destination: Address, protocol: int, ttl: int = 64) -> bytes:
    """A packet of the addresses' family."""
    if isinstance(source, IPv4Address):
        return ipv4(payload, source=source, destination=destination, protocol=protocol, ttl=ttl)
    return ipv6(payload, source=source, destination=destination, protocol=protocol, hop_limit=ttl)


def extension(kind: int, next_header: int, payload: bytes = b"") -> bytes:
    """The shortest IPv6 extension header of a kind, and what follows it."""
    if kind == FRAGMENT:
        return fragment_header(next_header) + payload
    length_of_authentication = 2  # in words of 4 bytes, less 2: 16 bytes in all
    length = length_of_authentication if kind == AUTHENTICATION else 0
    return struct.pack(">BB", next_header, length) + bytes(14 if kind == AUTHENTICATION else 6) + payload


def fragment_header(next_header: int, *, offset: int = 0, more: bool = False) -> bytes:
    """IPv6 fragment header; ``offset`` in units of 8 bytes."""
    return struct.pack(">BBHI", next_header, 0, offset << 3 | more, 0x5678)


def udp(payload: bytes = b"payload", *, source_port: int = 40000, destination_port: int = 7) -> bytes:
    """A UDP datagram without checksum."""
    return struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
"""Flags of TCP."""


def tcp(
    payload: bytes = b"",
    *,
    source_port: int = 40000,
    destination_port: int = 80,
    options: bytes = b"",
    flags: int = ACK,
) -> bytes:
    """A TCP segment without checksum; ``options`` in whole words."""
    offset = (20 + len(options)) // 4 << 4
    ports = struct.pack(">HH", source_port, destination_port)
    return ports + struct.pack(">IIBBHHH", 1, 1, offset, flags, 8192, 0, 0) + options + payload


def icmp(kind: int, code: int = 0, rest: bytes = b"\0\0\0\x01", payload: bytes = b"ping") -> bytes:
    """An ICMP message of IPv4."""
    message = struct.pack(">BBH", kind, code, 0) + rest + payload
    return message[:2] + struct.pack(">H", checksum(message)) + message[4:]


def icmp6(kind: int, rest: bytes = b"\0\0\0\x01", payload: bytes = b"ping", *, ends: tuple[Address, Address]) -> bytes:
    """An ICMPv6 message between two addresses, which its checksum covers."""
    message = struct.pack(">BBH", kind, 0, 0) + rest + payload
    covered = pseudo_header(*ends, ICMP6, len(message)) + message
    return message[:2] + struct.pack(">H", checksum(covered)) + message[4:]


def arp(
    *,
    sender: Address,
    sender_mac: bytes,
    target: Address,
    target_mac: bytes = bytes(6),
    operation: int = 1,
) -> bytes:
    """ARP for IPv4 over Ethernet: a request unless told otherwise."""
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, operation)
    return head + sender_mac + sender.packed + target_mac + target.packed


def solicitation(*, source: Address, target: Address, mac: bytes | None, hop_limit: int = 255, code: int = 0) -> bytes:
    """A neighbour solicitation to the target's solicited-node group, with the sender's MAC if given."""
    group = IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + target.packed[13:])
    option = b"" if mac is None else b"\x01\x01" + mac
    message = icmp6(135, b"\0\0\0\0", target.packed + option, ends=(source, group))
    message = message[:1] + bytes([code]) + message[2:]
    return ipv6(message, source=source, destination=group, protocol=ICMP6, hop_limit=hop_limit)
