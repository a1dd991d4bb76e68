"""Reading the headers of a captured frame: total and bounded, whatever the bytes are."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from netloom.model.address import Address
from netloom.model.flow import Packet

ETHERNET_BYTES = 14
MAX_EXTENSIONS = 8
"""IPv6 extension headers followed; a longer chain is nobody's packet (the data path drops earlier)."""

_ETHERTYPE_IPV4, _ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x86DD
_TCP, _UDP, _SCTP, _ICMP, _ICMP6 = 6, 17, 132, 1, 58
_WITH_PORTS = (_TCP, _UDP, _SCTP)
_FRAGMENT = 44
_EXTENSIONS = {0: "hop-by-hop", 43: "routing", _FRAGMENT: "fragment", 60: "destination options"}
"""Extension headers with the common length field, and the fragment header (RFC 8200, section 4)."""

_ARP = struct.Struct(">HHBBH6s4s6s4s")
_ARP_OPERATIONS = {1: "request", 2: "reply"}
_TCP_FLAGS = ((0x02, "SYN"), (0x10, "ACK"), (0x04, "RST"), (0x01, "FIN"), (0x08, "PSH"), (0x20, "URG"))

_ICMP_TYPES = {
    0: "EchoReply",
    3: "DestinationUnreachable",
    5: "Redirect",
    8: "EchoRequest",
    11: "TimeExceeded",
    12: "ParameterProblem",
}
_ICMP_CODES = {
    (3, 0): "Net",
    (3, 1): "Host",
    (3, 2): "Protocol",
    (3, 3): "Port",
    (3, 4): "FragmentationNeeded",
    (11, 0): "TTLExceeded",
    (11, 1): "FragmentReassembly",
}
"""RFC 792."""
_ICMP6_TYPES = {
    1: "DestinationUnreachable",
    2: "PacketTooBig",
    3: "TimeExceeded",
    4: "ParameterProblem",
    128: "EchoRequest",
    129: "EchoReply",
    133: "RouterSolicitation",
    134: "RouterAdvertisement",
    135: "NeighborSolicitation",
    136: "NeighborAdvertisement",
    137: "Redirect",
}
_ICMP6_CODES = {
    (1, 0): "NoRoute",
    (1, 1): "AdminProhibited",
    (1, 3): "Address",
    (1, 4): "Port",
    (3, 0): "HopLimitExceeded",
    (3, 1): "FragmentReassembly",
}
"""RFC 4443 and RFC 4861."""


def read_packet(frame: bytes) -> Packet:
    """What the headers of an Ethernet frame say, as far as they are there; ``detail`` says what is wrong.

    Never raises; looks at no more than the frame and at most MAX_EXTENSIONS extension headers.
    """
    if len(frame) < ETHERNET_BYTES:
        return Packet(protocol="", detail="Ethernet header cut short")
    ethertype = int.from_bytes(frame[12:14], "big")
    body = frame[ETHERNET_BYTES:]
    if ethertype == _ETHERTYPE_IPV4:
        return _ipv4(body)
    if ethertype == _ETHERTYPE_IPV6:
        return _ipv6(body)
    if ethertype == _ETHERTYPE_ARP:
        return _arp(body)
    return Packet(protocol=f"0x{ethertype:04x}")


class Ends(NamedTuple):
    """Both ends of an IP packet, as bytes of its header, and its protocol's number; read where time counts."""

    source: bytes
    """4 or 16 bytes in network order, as ``Address.packed``."""
    destination: bytes
    protocol: int


def read_ends(frame: bytes) -> Ends | None:
    """The ends of a frame's IP packet; None when it carries none, or the header is cut short. Never raises."""
    ethertype = frame[12:14]
    if ethertype == b"\x08\x00" and len(frame) >= ETHERNET_BYTES + 20:
        return Ends(frame[26:30], frame[30:34], frame[23])
    if ethertype == b"\x86\xdd" and len(frame) >= ETHERNET_BYTES + 40:
        return Ends(frame[22:38], frame[38:54], _last_header(frame[20], frame, ETHERNET_BYTES + 40))
    return None


def _last_header(following: int, frame: bytes, offset: int) -> int:
    """The protocol behind the extension headers of IPv6, as far as the frame shows them."""
    for _ in range(MAX_EXTENSIONS):
        if following not in _EXTENSIONS or len(frame) < offset + 2:
            break
        length = 8 if following == _FRAGMENT else (frame[offset + 1] + 1) * 8
        following, offset = frame[offset], offset + length
    return following


def _arp(body: bytes) -> Packet:
    if len(body) < _ARP.size:
        return Packet(protocol="arp", detail="header cut short")
    link, network, link_bytes, network_bytes, operation, _, source, _, target = _ARP.unpack_from(body)
    if (link, network, link_bytes, network_bytes) != (1, _ETHERTYPE_IPV4, 6, 4):
        return Packet(protocol="arp", detail="not for IPv4 over Ethernet")
    detail = _ARP_OPERATIONS.get(operation, f"operation {operation}")
    return Packet(protocol="arp", source=IPv4Address(source), destination=IPv4Address(target), detail=detail)


def _ipv4(body: bytes) -> Packet:
    if len(body) < 20:
        return Packet(protocol="ipv4", detail="header cut short")
    header_bytes = (body[0] & 0x0F) * 4
    source, destination = IPv4Address(body[12:16]), IPv4Address(body[16:20])
    if body[0] >> 4 != 4 or header_bytes < 20:
        detail = f"version {body[0] >> 4}, header of {header_bytes} bytes"
        return Packet(protocol="ipv4", source=source, destination=destination, detail=detail)
    fragment_offset = (int.from_bytes(body[6:8], "big") & 0x1FFF) * 8
    return _transport(body[9], body[header_bytes:], (source, destination), fragment_offset)


def _ipv6(body: bytes) -> Packet:
    if len(body) < 40:
        return Packet(protocol="ipv6", detail="header cut short")
    ends = IPv6Address(body[8:24]), IPv6Address(body[24:40])
    if body[0] >> 4 != 6:
        return Packet(protocol="ipv6", source=ends[0], destination=ends[1], detail=f"version {body[0] >> 4}")
    following, rest = body[6], body[40:]
    fragment_offset = 0
    for _ in range(MAX_EXTENSIONS):
        if following not in _EXTENSIONS or fragment_offset:
            return _transport(following, rest, ends, fragment_offset)
        if len(rest) < 8:
            detail = f"{_EXTENSIONS[following]} header cut short"
            return Packet(protocol=str(following), source=ends[0], destination=ends[1], detail=detail)
        if following == _FRAGMENT:
            fragment_offset = int.from_bytes(rest[2:4], "big") & 0xFFF8
            following, rest = rest[0], rest[8:]
        else:
            following, rest = rest[0], rest[(rest[1] + 1) * 8 :]
    return Packet(protocol=str(following), source=ends[0], destination=ends[1], detail="too many extension headers")


def _transport(number: int, segment: bytes, ends: tuple[Address, Address], fragment_offset: int) -> Packet:
    """The part above IP; ``fragment_offset`` in bytes, other than 0 when there is no header to read."""
    name = _protocol_name(number, ends[0])
    source_port = destination_port = None
    detail = ""
    if fragment_offset:
        detail = f"fragment at {fragment_offset}"
    elif number in _WITH_PORTS:
        if len(segment) < 4:
            detail = "header cut short"
        else:
            source_port, destination_port = struct.unpack_from(">HH", segment)
            detail = _tcp_flags(segment) if number == _TCP else ""
    elif name in ("icmp", "icmp6"):
        detail = _icmp(name, segment)
    return Packet(
        protocol=name,
        source=ends[0],
        destination=ends[1],
        source_port=source_port,
        destination_port=destination_port,
        detail=detail,
    )


def _protocol_name(number: int, source: Address) -> str:
    """ICMP counts only with its own version of IP: 58 over IPv4 is just a number."""
    if number == (_ICMP if source.version == 4 else _ICMP6):
        return "icmp" if source.version == 4 else "icmp6"
    return {_TCP: "tcp", _UDP: "udp", _SCTP: "sctp"}.get(number, str(number))


def _tcp_flags(segment: bytes) -> str:
    if len(segment) < 14:
        return "header cut short"
    return ", ".join(name for bit, name in _TCP_FLAGS if segment[13] & bit)


def _icmp(name: str, segment: bytes) -> str:
    if len(segment) < 2:
        return "header cut short"
    kind, code = segment[0], segment[1]
    types, codes = (_ICMP_TYPES, _ICMP_CODES) if name == "icmp" else (_ICMP6_TYPES, _ICMP6_CODES)
    text = types.get(kind)
    if text is None:
        return f"type {kind} code {code}"
    if (kind, code) in codes:
        return f"{text}({codes[kind, code]})"
    return text if code == 0 else f"{text}(code {code})"
