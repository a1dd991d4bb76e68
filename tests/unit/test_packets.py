"""Reading headers: what is there is told, and no bytes whatever raise."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath.packets import MAX_EXTENSIONS, Ends, read_ends, read_packet
from netloom.model.flow import Packet

A4, B4 = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
A6, B6 = IPv6Address("fd00::1"), IPv6Address("fd00::2")
SYN, ACK, PSH = 0x02, 0x10, 0x08


def ethernet(ethertype: int, body: bytes) -> bytes:
    return bytes(12) + struct.pack(">H", ethertype) + body


def ipv4(protocol: int, body: bytes, *, options: bytes = b"", fragment: int = 0) -> bytes:
    first = 0x40 | (20 + len(options)) // 4
    head = struct.pack(">BBHHHBBH", first, 0, 20 + len(options) + len(body), 0, fragment, 64, protocol, 0)
    return ethernet(0x0800, head + A4.packed + B4.packed + options + body)


def ipv6(following: int, body: bytes) -> bytes:
    return ethernet(0x86DD, struct.pack(">IHBB", 6 << 28, len(body), following, 64) + A6.packed + B6.packed + body)


def tcp(flags: int) -> bytes:
    return struct.pack(">HHIIBBHHH", 40000, 80, 0, 0, 0x50, flags, 0, 0, 0)


def udp() -> bytes:
    return struct.pack(">HHHH", 40000, 53, 8, 0)


def arp(operation: int) -> bytes:
    return ethernet(
        0x0806, struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, b"a" * 6, A4.packed, bytes(6), B4.packed)
    )


def between(version: int, protocol: str, detail: str = "", ports: tuple[int, int] | None = None) -> Packet:
    """A packet from the first to the second address of a family."""
    return Packet(
        protocol=protocol,
        source=A4 if version == 4 else A6,
        destination=B4 if version == 4 else B6,
        source_port=ports[0] if ports else None,
        destination_port=ports[1] if ports else None,
        detail=detail,
    )


HOP_BY_HOP = bytes([17, 0]) + bytes(6)
LONG_ROUTING = bytes([17, 1]) + bytes(14)
FIRST_FRAGMENT = bytes([17, 0, 0, 1]) + bytes(4)
LATER_FRAGMENT = bytes([17, 0]) + struct.pack(">H", 1480) + bytes(4)

CASES = {
    "tcp": (ipv4(6, tcp(SYN)), between(4, "tcp", "SYN", (40000, 80))),
    "tcp with several flags": (ipv4(6, tcp(SYN | ACK)), between(4, "tcp", "SYN, ACK", (40000, 80))),
    "tcp over ipv6": (ipv6(6, tcp(ACK | PSH)), between(6, "tcp", "ACK, PSH", (40000, 80))),
    "udp": (ipv4(17, udp()), between(4, "udp", "", (40000, 53))),
    "ipv4 options are skipped": (ipv4(17, udp(), options=bytes(8)), between(4, "udp", "", (40000, 53))),
    "ping": (ipv4(1, b"\x08\x00"), between(4, "icmp", "EchoRequest")),
    "port unreachable": (ipv4(1, b"\x03\x03"), between(4, "icmp", "DestinationUnreachable(Port)")),
    "a code without a name": (ipv4(1, b"\x03\x0d"), between(4, "icmp", "DestinationUnreachable(code 13)")),
    "an icmp type without a name": (ipv4(1, b"\x2a\x01"), between(4, "icmp", "type 42 code 1")),
    "ping6": (ipv6(58, b"\x81\x00"), between(6, "icmp6", "EchoReply")),
    "too big": (ipv6(58, b"\x02\x00"), between(6, "icmp6", "PacketTooBig")),
    "icmpv6 over ipv4 is a number": (ipv4(58, b"\x81\x00"), between(4, "58")),
    "sctp": (ipv4(132, udp()), between(4, "sctp", ports=(40000, 53))),
    "arp request": (arp(1), between(4, "arp", "request")),
    "arp reply": (arp(2), between(4, "arp", "reply")),
    "another arp operation": (arp(8), between(4, "arp", "operation 8")),
    "later ipv4 fragment": (ipv4(17, udp(), fragment=185), between(4, "udp", "fragment at 1480")),
    "first ipv4 fragment": (ipv4(17, udp(), fragment=0x2000), between(4, "udp", "", (40000, 53))),
    "hop-by-hop": (ipv6(0, HOP_BY_HOP + udp()), between(6, "udp", "", (40000, 53))),
    "long routing header": (ipv6(43, LONG_ROUTING + udp()), between(6, "udp", "", (40000, 53))),
    "first ipv6 fragment": (ipv6(44, FIRST_FRAGMENT + udp()), between(6, "udp", "", (40000, 53))),
    "later ipv6 fragment": (ipv6(44, LATER_FRAGMENT + udp()), between(6, "udp", "fragment at 1480")),
    "endless extension headers": (
        ipv6(0, bytes(8) * (MAX_EXTENSIONS + 4)),
        between(6, "0", "too many extension headers"),
    ),
    "extension cut short": (ipv6(60, b"\x11\x00"), between(6, "60", "destination options header cut short")),
    "ports cut short": (ipv4(6, b"\x9c\x40\x00"), between(4, "tcp", "header cut short")),
    "tcp flags cut short": (ipv4(6, tcp(SYN)[:13]), between(4, "tcp", "header cut short", (40000, 80))),
    "icmp cut short": (ipv4(1, b"\x08"), between(4, "icmp", "header cut short")),
    "ipv4 cut short": (ipv4(6, tcp(SYN))[:33], Packet(protocol="ipv4", detail="header cut short")),
    "ipv6 cut short": (ipv6(6, tcp(SYN))[:53], Packet(protocol="ipv6", detail="header cut short")),
    "arp cut short": (arp(1)[:41], Packet(protocol="arp", detail="header cut short")),
    "ethernet cut short": (bytes(13), Packet(protocol="", detail="Ethernet header cut short")),
    "nothing at all": (b"", Packet(protocol="", detail="Ethernet header cut short")),
    "lldp": (ethernet(0x88CC, b""), Packet(protocol="0x88cc")),
    "vlan": (ethernet(0x8100, bytes(20)), Packet(protocol="0x8100")),
}


@pytest.mark.parametrize("case", CASES)
def test_headers_are_told_as_they_are(case: str) -> None:
    """One line of the table each."""
    frame, expected = CASES[case]
    assert read_packet(frame) == expected


@pytest.mark.parametrize("first", [0x35, 0x44, 0x60])
def test_an_impossible_first_byte_is_told(first: int) -> None:
    """Wrong version, or a header of fewer than 20 bytes: nothing above IP is believed."""
    frame = bytearray(ipv4(6, tcp(SYN)))
    frame[14] = first
    packet = read_packet(bytes(frame))
    assert (packet.protocol, packet.source_port) == ("ipv4", None)
    assert packet.detail.startswith(f"version {first >> 4}")


@given(st.binary(max_size=200))
def test_no_bytes_raise(frame: bytes) -> None:
    """Whatever a workload sends, the monitor goes on."""
    read_packet(frame)


@given(st.sampled_from(sorted(CASES)), st.data())
def test_no_damaged_packet_raises(case: str, data: st.DataObject) -> None:
    """Cut anywhere, one byte changed: damage gets further into the parser than noise does."""
    frame = bytearray(CASES[case][0])
    if frame:
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    read_packet(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


@given(st.ip_addresses(v=6), st.ip_addresses(v=6), st.binary(max_size=64), st.integers(0, 255))
def test_addresses_are_read_whatever_follows(
    source: IPv6Address, target: IPv6Address, rest: bytes, number: int
) -> None:
    """The ends of a flow never depend on what is above IP."""
    frame = ethernet(0x86DD, struct.pack(">IHBB", 6 << 28, len(rest), number, 1) + source.packed + target.packed + rest)
    packet = read_packet(frame)
    assert (packet.source, packet.destination) == (ip_address(source.packed), ip_address(target.packed))


@pytest.mark.parametrize(
    ("frame", "ends"),
    [
        (ipv4(6, tcp(SYN)), Ends(A4.packed, B4.packed, 6)),
        (ipv4(17, udp(), options=bytes(8)), Ends(A4.packed, B4.packed, 17)),
        (ipv6(6, tcp(SYN)), Ends(A6.packed, B6.packed, 6)),
        (ipv6(0, HOP_BY_HOP + udp()), Ends(A6.packed, B6.packed, 17)),
        (arp(1), None),
        (ipv4(6, b"")[:33], None),
        (ipv6(6, b"")[:53], None),
        (b"", None),
    ],
    ids=["ipv4", "options", "ipv6", "extension", "arp", "ipv4 cut short", "ipv6 cut short", "nothing"],
)
def test_ends_are_read_without_the_rest(frame: bytes, ends: Ends | None) -> None:
    assert read_ends(frame) == ends


@given(st.binary(max_size=200), st.sampled_from([b"\x08\x00", b"\x86\xdd"]))
def test_ends_are_those_that_the_packet_says(body: bytes, ethertype: bytes) -> None:
    """Whatever the bytes: where both readers find addresses, they find the same."""
    frame = bytes(12) + ethertype + body
    ends, packet = read_ends(frame), read_packet(frame)
    if ends is not None and packet.source is not None and packet.destination is not None:
        assert (ends.source, ends.destination) == (packet.source.packed, packet.destination.packed)
