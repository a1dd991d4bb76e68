"""What a workload sends: where it goes, and in what shape."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_network

import pytest

from netloom.datapath.maps import Counter
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.model.address import Address
from netloom.model.identity import Reserved
from support import packets
from support.packets import ETHERNET_BYTES, IPV4
from support.pipeline import ALICE, BOB, CAROL, DAVE, GATEWAYS, HOST_MAC, NODE, WORLD, Pipeline, Pod, to

pytestmark = pytest.mark.bpf

REDIRECT = 7
"""TC_ACT_REDIRECT: the packet leaves through another device."""
FORWARDED = DropReason.FORWARDED


def both(item: Pod) -> tuple[Address, Address]:
    return item.ipv4, item.ipv6


def ttl_of(frame: bytes) -> int:
    return frame[22] if struct.unpack_from(">H", frame, 12)[0] == IPV4 else frame[21]


def macs_of(frame: bytes) -> tuple[bytes, bytes]:
    """Destination and source."""
    return frame[:6], frame[6:12]


def header_checksum(frame: bytes) -> int:
    """0 when an IPv4 header is whole; IPv6 has none."""
    return packets.checksum(frame[14:34]) if frame[12:14] == struct.pack(">H", IPV4) else 0


@pytest.mark.parametrize("destination", both(BOB), ids=str)
@pytest.mark.parametrize("payload", [(packets.UDP, packets.udp()), (packets.TCP, packets.tcp())], ids=["udp", "tcp"])
def test_a_workload_reaches_its_neighbour_in_one_hop(
    pipeline: Pipeline, destination: Address, payload: tuple[int, bytes]
) -> None:
    sent = to(destination, payload[1], protocol=payload[0])
    outcome = pipeline.run("from_container", sent)
    assert (outcome.verdict, outcome.reason) == (REDIRECT, None)
    assert macs_of(outcome.packet) == (BOB.mac, BOB.node_mac)
    assert (ttl_of(outcome.packet), header_checksum(outcome.packet)) == (63, 0)
    behind_the_change = 26 if destination.version == 4 else 22
    assert outcome.packet[behind_the_change:] == sent[behind_the_change:]


def test_a_packet_between_two_workloads_counts_as_leaving_one_and_entering_the_other(pipeline: Pipeline) -> None:
    sent = to(BOB.ipv4)
    outcome = pipeline.run("from_container", sent)
    one = Counter(1, len(sent))
    assert outcome.counters == {(FORWARDED, Direction.EGRESS): one, (FORWARDED, Direction.INGRESS): one}


def test_every_ttl_loses_one_and_keeps_the_header_whole(pipeline: Pipeline) -> None:
    sent = {ttl: pipeline.run("from_container", to(BOB.ipv4, ttl=ttl)).packet for ttl in range(2, 256)}
    assert {ttl: (ttl_of(frame), header_checksum(frame)) for ttl, frame in sent.items()} == {
        ttl: (ttl - 1, 0) for ttl in sent
    }


@pytest.mark.parametrize("destination", [*GATEWAYS, *WORLD], ids=str)
def test_the_host_and_the_world_are_reached_through_the_hosts_stack(pipeline: Pipeline, destination: Address) -> None:
    """The stack takes the hop, so the TTL stays; loom_host receives the frame as its own."""
    sent = to(destination)
    outcome = pipeline.run("from_container", sent)
    assert (outcome.verdict, outcome.reason) == (REDIRECT, None)
    assert outcome.packet == HOST_MAC + HOST_MAC + sent[12:]
    assert outcome.counters == {(FORWARDED, Direction.EGRESS): Counter(1, len(sent))}


@pytest.mark.parametrize("destination", [*both(CAROL), *both(DAVE)], ids=str)
def test_a_workload_of_another_node_is_reached_by_the_overlay_in_one_hop(
    pipeline: Pipeline, destination: Address
) -> None:
    """Known by its identity, or only by the prefix of its node."""
    outcome = pipeline.run("from_container", to(destination))
    assert (outcome.verdict, outcome.reason) == (REDIRECT, None)
    assert (ttl_of(outcome.packet), header_checksum(outcome.packet)) == (63, 0)


ENDS = {
    BOB.ipv4: (Observation.TO_ENDPOINT, BOB.identity),
    BOB.ipv6: (Observation.TO_ENDPOINT, BOB.identity),
    GATEWAYS[0]: (Observation.TO_HOST, Reserved.HOST),
    WORLD[0]: (Observation.TO_STACK, Reserved.WORLD),
    WORLD[1]: (Observation.TO_STACK, Reserved.WORLD),
    CAROL.ipv4: (Observation.TO_OVERLAY, CAROL.identity),
    CAROL.ipv6: (Observation.TO_OVERLAY, CAROL.identity),
    DAVE.ipv4: (Observation.TO_OVERLAY, Reserved.UNKNOWN),
}


@pytest.mark.parametrize("destination", ENDS, ids=str)
def test_a_trace_names_both_ends_and_the_way(pipeline: Pipeline, destination: Address) -> None:
    """And the endpoint concerned: who gets the packet where that is one of this node's, who sent it elsewhere."""
    pipeline.write_node(replace(NODE, trace=1))
    sent = to(destination)
    outcome = pipeline.run("from_container", sent)
    observation, identity = ENDS[destination]
    assert outcome.observations == [Observation.FROM_ENDPOINT, observation]
    last = outcome.events[-1].header
    assert (last.source_identity, last.destination_identity) == (ALICE.identity, identity)
    arrives = observation is Observation.TO_ENDPOINT
    concerned, direction = (BOB, Direction.INGRESS) if arrives else (ALICE, Direction.EGRESS)
    assert (last.endpoint_id, last.direction) == (concerned.id, direction)
    assert (last.ifindex, last.packet_bytes) == (ALICE.ifindex, len(sent))
    assert outcome.events[0].frame == sent[:128]


def test_nothing_is_traced_while_nobody_listens(pipeline: Pipeline) -> None:
    assert pipeline.run("from_container", to(BOB.ipv4)).observations == []


def test_an_identity_of_a_longer_prefix_wins(pipeline: Pipeline) -> None:
    """The ipcache knows the address itself, and prefixes around it."""
    pipeline.write_node(replace(NODE, trace=1))
    pipeline.write_ipcache(ip_network("203.0.113.0/24"), identity=77)
    pipeline.write_ipcache(ip_network("203.0.113.10/32"), identity=78)
    pipeline.write_ipcache(ip_network("0.0.0.0/0"), identity=79)
    assert pipeline.run("from_container", to(WORLD[0])).events[-1].header.destination_identity == 78


@pytest.mark.parametrize("offset", [2, 185, 8191])
def test_later_fragments_go_where_the_first_one_goes(pipeline: Pipeline, offset: int) -> None:
    """What would be ports in a first fragment is payload here, be it a tunnel's."""
    for payload, fragment in (
        (packets.udp(), packets.MORE_FRAGMENTS),
        (packets.udp(destination_port=NODE.tunnel_port), offset),
    ):
        packet = packets.ipv4(payload, source=ALICE.ipv4, destination=BOB.ipv4, protocol=packets.UDP, fragment=fragment)
        frame = packets.ethernet(packet, source=ALICE.mac, destination=ALICE.node_mac)
        assert pipeline.run("from_container", frame).reason is None


def test_bytes_behind_the_packet_are_no_part_of_it(pipeline: Pipeline) -> None:
    """Ethernet pads short frames."""
    padded = to(BOB.ipv4, packets.icmp(8, payload=b""), protocol=packets.ICMP).ljust(60, b"\0")
    assert pipeline.run("from_container", padded).reason is None


def test_ip_options_move_the_ports(pipeline: Pipeline) -> None:
    """A tunnel's port is found behind them, too."""
    payload = packets.udp(destination_port=NODE.tunnel_port)
    packet = packets.ipv4(
        payload, source=ALICE.ipv4, destination=BOB.ipv4, protocol=packets.UDP, options=b"\x01" * 36 + b"\0" * 4
    )
    frame = packets.ethernet(packet, source=ALICE.mac, destination=ALICE.node_mac)
    assert pipeline.run("from_container", frame).reason == DropReason.ENCAP_PROHIBITED


@pytest.mark.parametrize("kind", [packets.HOP_BY_HOP, packets.ROUTING, packets.DESTINATION, packets.AUTHENTICATION])
@pytest.mark.parametrize("length", range(1, 7))
def test_ports_are_found_behind_six_ipv6_extension_headers(pipeline: Pipeline, kind: int, length: int) -> None:
    payload = packets.udp(destination_port=NODE.tunnel_port)
    for index in range(length):
        payload = packets.extension(kind, packets.UDP if index == 0 else kind, payload)
    assert pipeline.run("from_container", to(BOB.ipv6, payload, protocol=kind)).reason == DropReason.ENCAP_PROHIBITED


def test_a_first_ipv6_fragment_shows_its_ports_and_takes_the_later_ones_with_it(pipeline: Pipeline) -> None:
    body = packets.udp(destination_port=NODE.tunnel_port)
    first = packets.fragment_header(packets.UDP, more=True) + body
    later = packets.fragment_header(packets.UDP, offset=3) + body
    outcomes = [
        pipeline.run("from_container", to(BOB.ipv6, item, protocol=packets.FRAGMENT)) for item in (first, later)
    ]
    assert [outcome.reason for outcome in outcomes] == [DropReason.ENCAP_PROHIBITED, DropReason.FRAGMENT_NOT_FOUND]


def test_an_event_carries_the_first_128_bytes(pipeline: Pipeline) -> None:
    sent = to(ALICE.ipv4, packets.udp(bytes(range(200))))
    event = pipeline.run("from_container", sent).events[0]
    assert (event.frame, event.header.packet_bytes) == (sent[:128], len(sent))


def test_the_frame_type_and_not_the_ip_version_says_what_it_is(pipeline: Pipeline) -> None:
    sent = to(BOB.ipv6)
    disguised = sent[:12] + struct.pack(">H", IPV4) + sent[ETHERNET_BYTES:]
    assert pipeline.run("from_container", disguised).reason == DropReason.INVALID_PACKET
