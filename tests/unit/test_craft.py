"""Packets that nobody sends are such as stacks send: lengths and checksums are right, and tunnels open again."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath import craft
from netloom.datapath.headers import header_fields
from netloom.datapath.packets import read_packet
from netloom.model.errors import Invalid
from support import packets

ENDS = {4: (ip_address("10.0.0.1"), ip_address("10.0.0.2")), 6: (ip_address("fd00::1"), ip_address("fd00::2"))}
ONE, OTHER = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
PORT = 8472


def probe(version: int, **changes: Any) -> craft.Probe:
    source, destination = ENDS[version]
    return craft.Probe(source=source, destination=destination, **changes)


def framed(packet: bytes) -> bytes:
    return craft.ethernet(packet, source=ONE, destination=OTHER)


def checksums_hold(packet: bytes) -> bool:
    """Judged by the tests' own sums."""
    ipv4 = packet[0] >> 4 == 4
    header_bytes, number = (20, packet[9]) if ipv4 else (40, packet[6])
    ends = ENDS[4 if ipv4 else 6]
    message = packet[header_bytes:]
    pseudo = b"" if number == packets.ICMP else packets.pseudo_header(*ends, number, len(message))
    return packets.checksum(pseudo + message) == 0 and (not ipv4 or packets.checksum(packet[:20]) == 0)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("reply", [False, True])
@pytest.mark.parametrize(
    ("protocol", "said", "answered"),
    [("icmp", "EchoRequest", "EchoReply"), ("tcp", "SYN", "SYN, ACK"), ("udp", "", "")],
)
def test_a_probe_is_what_its_protocol_begins_with(
    version: int, reply: bool, protocol: Any, said: str, answered: str
) -> None:
    packet = craft.ip_packet(probe(version, protocol=protocol, port=80, reply=reply))
    assert checksums_hold(packet)
    assert read_packet(framed(packet)).detail == (answered if reply else said)


@pytest.mark.parametrize("version", [4, 6])
def test_a_reply_goes_between_the_same_ports(version: int) -> None:
    sent = read_packet(framed(craft.ip_packet(probe(version, protocol="tcp", port=80))))
    back = read_packet(framed(craft.ip_packet(probe(version, protocol="tcp", port=80, reply=True))))
    assert (back.source_port, back.destination_port) == (sent.destination_port, sent.source_port)


@pytest.mark.parametrize("version", [4, 6])
@given(size=st.integers(48, craft.MAX_PACKET_BYTES), ttl=st.integers(1, 255))
def test_a_probe_has_the_size_and_ttl_asked_for(version: int, size: int, ttl: int) -> None:
    packet = craft.ip_packet(probe(version, size_bytes=size, ttl=ttl))
    assert (len(packet), packet[8 if version == 4 else 7], checksums_hold(packet)) == (size, ttl, True)


@pytest.mark.parametrize("size", [0, 27, craft.MAX_PACKET_BYTES + 1])
def test_an_impossible_size_is_refused_with_what_is_possible(size: int) -> None:
    with pytest.raises(Invalid, match=r"28 \(its headers\) to 3400"):
        craft.ip_packet(probe(4, size_bytes=size))


def test_ends_of_two_families_are_refused() -> None:
    with pytest.raises(Invalid, match="one is IPv4, the other IPv6"):
        craft.ip_packet(craft.Probe(source=ENDS[4][0], destination=ENDS[6][1]))


@pytest.mark.parametrize("version", [4, 6])
def test_a_hop_takes_one_off_the_ttl_and_nothing_else(version: int) -> None:
    frame = framed(craft.ip_packet(probe(version, protocol="udp", port=7)))
    after = craft.with_hop_taken(frame)
    assert after == framed(craft.ip_packet(probe(version, protocol="udp", port=7, ttl=63)))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_another_source_has_other_checksums(version: int, protocol: Any) -> None:
    """As masquerading makes them."""
    source, destination = ENDS[version]
    other = source + 99
    frame = framed(craft.ip_packet(probe(version, protocol=protocol, port=7)))
    expected = craft.Probe(source=other, destination=destination, protocol=protocol, port=7)
    assert craft.with_source(frame, other) == framed(craft.ip_packet(expected))


@pytest.mark.parametrize("version", [4, 6])
@given(vni=st.integers(0, (1 << 24) - 1), payload=st.binary(min_size=14, max_size=200))
def test_what_goes_into_a_tunnel_comes_out(version: int, vni: int, payload: bytes) -> None:
    source, destination = ENDS[version]
    outer = craft.Outer(
        source=source, destination=destination, source_mac=ONE, destination_mac=OTHER, port=PORT, vni=vni
    )
    found = craft.decapsulate(craft.encapsulate(payload, outer), PORT)
    assert found == craft.Tunnelled(source=source, destination=destination, vni=vni, frame=payload)


def test_a_tunnel_over_ipv6_has_its_udp_checksum_and_one_over_ipv4_has_none() -> None:
    """RFC 8200, 8.1: over IPv6 it is not left out."""
    sums = {}
    for version, (source, destination) in ENDS.items():
        outer = craft.Outer(
            source=source, destination=destination, source_mac=ONE, destination_mac=OTHER, port=PORT, vni=7
        )
        message = craft.encapsulate(bytes(60), outer)[14 + (20 if version == 4 else 40) :]
        pseudo = packets.pseudo_header(source, destination, packets.UDP, len(message))
        sums[version] = (message[6:8] == b"\0\0", packets.checksum(pseudo + message) == 0)
    assert sums == {4: (True, False), 6: (False, True)}


@given(st.binary(max_size=120), st.integers(0, 65535))
def test_no_bytes_are_too_strange_to_look_for_a_tunnel_in(raw: bytes, port: int) -> None:
    found = craft.decapsulate(raw, port)
    assert found is None or raw.endswith(found.frame)


@given(st.binary(min_size=0, max_size=90))
def test_headers_of_a_tunnel_cut_short_are_none(rest: bytes) -> None:
    start = framed(craft.ip_packet(probe(4, protocol="udp", port=PORT)))[:36]
    craft.decapsulate(start + rest, PORT)


def test_another_port_is_no_tunnel() -> None:
    source, destination = ENDS[4]
    outer = craft.Outer(source=source, destination=destination, source_mac=ONE, destination_mac=OTHER, port=PORT, vni=7)
    assert craft.decapsulate(craft.encapsulate(bytes(60), outer), 4789) is None


def test_questions_for_neighbours_are_as_workloads_ask_them() -> None:
    """Byte for byte what the tests' own builders make."""
    target, own = IPv4Address("10.0.0.9"), IPv4Address("10.0.0.1")
    arp = packets.arp(sender=own, sender_mac=ONE, target=target)
    asked = craft.arp_request(sender=own, sender_mac=ONE, target=target)
    assert asked == packets.ethernet(arp, source=ONE, destination=b"\xff" * 6, ethertype=packets.ARP)
    wanted, mine = IPv6Address("fd00::abcd"), IPv6Address("fd00::1")
    solicited = craft.neighbor_solicitation(sender=mine, sender_mac=ONE, target=wanted)
    assert solicited[14:] == packets.solicitation(source=mine, target=wanted, mac=ONE)
    assert solicited[:6] == bytes.fromhex("3333ff00abcd")


@pytest.mark.parametrize(("version", "bytes_", "count"), [(4, 1444, 2), (6, 1448, 2)])
def test_a_first_fragment_is_what_linux_cuts(version: int, bytes_: int, count: int) -> None:
    """Sizes as captured from a pod with an MTU of 1450 that sends 2000 bytes."""
    whole = craft.ip_packet(probe(version, size_bytes=2000))
    first, more = craft.first_fragment(whole, 1450)
    assert (len(first), 1 + more) == (bytes_, count)
    fields = header_fields(framed(first))
    assert (fields["fragment"], fields["bytes"], fields["icmp"]) == (
        "0+",
        str(bytes_),
        "8/0" if version == 4 else "128/0",
    )
    if version == 4:
        assert packets.checksum(first[:20]) == 0


@given(st.sampled_from([4, 6]), st.integers(1280, 1500), st.integers(1501, craft.MAX_PACKET_BYTES))
def test_fragments_fit_and_hold_the_whole(version: int, mtu_bytes: int, size: int) -> None:
    whole = craft.ip_packet(probe(version, size_bytes=size, protocol="udp", port=9))
    first, more = craft.first_fragment(whole, mtu_bytes)
    headers = (20, 20) if version == 4 else (40, 48)
    assert len(first) <= mtu_bytes
    assert more >= 1
    assert (len(first) - headers[1]) % 8 == 0
    assert whole[headers[0] :].startswith(first[headers[1] :])
    assert (len(whole) - headers[0]) <= (1 + more) * (mtu_bytes - headers[1])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_another_source_keeps_the_checksum_of_the_whole_in_a_fragment(version: int, protocol: Any) -> None:
    """It covers what later fragments hold: putting them together gives a packet that is right."""
    whole = craft.ip_packet(probe(version, size_bytes=2000, protocol=protocol, port=9))
    first, _ = craft.first_fragment(whole, 1450)
    other = ip_address("192.0.2.77" if version == 4 else "2001:db8::77")
    changed = craft.with_source(framed(first), other)[14:]
    expected = craft.with_source(framed(whole), other)[14:]
    start = 20 if version == 4 else 48
    message = 20 if version == 4 else 40
    assert changed[start:] == expected[message : message + len(changed) - start]


@pytest.mark.parametrize(
    ("group", "mac"),
    [
        ("224.0.0.1", "01005e000001"),
        ("239.129.2.3", "01005e010203"),
        ("ff02::1", "333300000001"),
        ("ff02::1:ff12:3456", "3333ff123456"),
    ],
)
def test_a_group_has_a_mac_address_of_its_own(group: str, mac: str) -> None:
    assert craft.group_mac(ip_address(group)).hex() == mac
