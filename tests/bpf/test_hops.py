"""The one hop between workloads: size, TTL, and the ICMP errors that tell of them."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from netloom.datapath.reasons import DropReason
from netloom.model.address import Address
from support import packets
from support.packets import ETHERNET_BYTES, ICMP, ICMP6, TCP, UDP
from support.pipeline import ALICE, BOB, CAROL, GATEWAYS, MTU_BYTES, NODE, Outcome, Pipeline, sent_by, to

pytestmark = pytest.mark.bpf

REDIRECT, SHOT = 7, 2
TARGETS = [BOB.ipv4, BOB.ipv6, CAROL.ipv4, CAROL.ipv6]
QUOTE_BYTES = 96
TCP_OPTIONS = b"\1" * 12


def of_size(destination: Address, l3_bytes: int, ttl: int = 64) -> bytes:
    """A UDP packet of so many bytes, IP header included."""
    headers = 28 if destination.version == 4 else 48
    return to(destination, packets.udp(bytes(l3_bytes - headers)), ttl=ttl)


@pytest.mark.parametrize("destination", TARGETS, ids=str)
def test_a_packet_as_big_as_the_overlay_carries_goes_and_one_byte_more_does_not(
    pipeline: Pipeline, destination: Address
) -> None:
    sizes = (MTU_BYTES, MTU_BYTES + 1)
    reasons = [pipeline.run("from_container", of_size(destination, size)).reason for size in sizes]
    assert reasons == [None, DropReason.TOO_BIG]


@pytest.mark.parametrize("destination", TARGETS, ids=str)
@pytest.mark.parametrize("excess", [0, 1])
def test_of_a_segmented_packet_the_segments_must_fit(pipeline: Pipeline, destination: Address, excess: int) -> None:
    """Their size is the headers', TCP options included, and gso_size."""
    headers = (20 if destination.version == 4 else 40) + 20 + len(TCP_OPTIONS)
    frame = to(destination, packets.tcp(bytes(3000), options=TCP_OPTIONS), protocol=TCP)
    outcome = pipeline.run("from_container", frame, gso_size=MTU_BYTES - headers + excess)
    assert outcome.reason == (DropReason.TOO_BIG if excess else None)


def test_of_segmented_udp_the_datagrams_must_fit(pipeline: Pipeline) -> None:
    frame = to(BOB.ipv4, packets.udp(bytes(3000)))
    fitting = MTU_BYTES - 20 - 8
    reasons = [pipeline.run("from_container", frame, gso_size=size).reason for size in (fitting, fitting + 1)]
    assert reasons == [None, DropReason.TOO_BIG]


def test_segments_that_are_listed_pass(pipeline: Pipeline) -> None:
    """SCTP's: the workload's own MTU has bounded each, and no field tells their size."""
    gso_by_frags, sctp = 0xFFFF, 132
    frame = to(BOB.ipv4, bytes(3000), protocol=sctp)
    assert pipeline.run("from_container", frame, gso_size=gso_by_frags).reason is None


def test_a_packet_too_long_for_its_length_field_says_zero_and_passes(pipeline: Pipeline) -> None:
    """Segment offload beyond 64 KiB ("BIG TCP"); the device will cut it."""
    packet = packets.ipv4(
        packets.tcp(bytes(3000)), source=ALICE.ipv4, destination=BOB.ipv4, protocol=TCP, total_bytes=0
    )
    frame = sent_by(ALICE, packet)
    reasons = [pipeline.run("from_container", frame, gso_size=size).reason for size in (1400, 0)]
    assert reasons == [None, DropReason.INVALID_PACKET]


def quoted(outcome: Outcome, headers: int) -> bytes:
    return outcome.packet[ETHERNET_BYTES + headers :]


@pytest.mark.parametrize(
    ("reason", "kind", "code", "rest"),
    [(DropReason.TTL_EXCEEDED, 11, 0, 0), (DropReason.TOO_BIG, 3, 4, MTU_BYTES)],
    ids=["time-exceeded", "fragmentation-needed"],
)
def test_an_ipv4_workload_is_told(pipeline: Pipeline, reason: DropReason, kind: int, code: int, rest: int) -> None:
    """By the gateway, with the start of the packet, and checksums that hold."""
    sent = of_size(BOB.ipv4, MTU_BYTES + 1) if reason is DropReason.TOO_BIG else to(BOB.ipv4, ttl=1)
    outcome = pipeline.run("from_container", sent)
    assert (outcome.verdict, outcome.reason) == (REDIRECT, reason)
    answer, quote = outcome.packet, sent[ETHERNET_BYTES:][:QUOTE_BYTES]
    assert answer[:ETHERNET_BYTES] == ALICE.mac + ALICE.node_mac + sent[12:14]
    header = struct.unpack_from(">BBHHHBBH4s4s", answer, ETHERNET_BYTES)
    assert (header[0], header[2], header[6]) == (0x45, 28 + len(quote), ICMP)
    assert header[8:] == (GATEWAYS[0].packed, ALICE.ipv4.packed)
    assert struct.unpack_from(">BBHI", answer, 34)[:2] + struct.unpack_from(">I", answer, 38) == (kind, code, rest)
    assert (packets.checksum(answer[14:34]), packets.checksum(answer[34:])) == (0, 0)
    assert quoted(outcome, 28) == quote


@pytest.mark.parametrize(
    ("reason", "kind", "rest"),
    [(DropReason.TTL_EXCEEDED, 3, 0), (DropReason.TOO_BIG, 2, MTU_BYTES)],
    ids=["time-exceeded", "too-big"],
)
def test_an_ipv6_workload_is_told(pipeline: Pipeline, reason: DropReason, kind: int, rest: int) -> None:
    sent = of_size(CAROL.ipv6, MTU_BYTES + 1) if reason is DropReason.TOO_BIG else to(CAROL.ipv6, ttl=1)
    outcome = pipeline.run("from_container", sent)
    assert (outcome.verdict, outcome.reason) == (REDIRECT, reason)
    answer, quote = outcome.packet, sent[ETHERNET_BYTES:][:QUOTE_BYTES]
    assert answer[:ETHERNET_BYTES] == ALICE.mac + ALICE.node_mac + sent[12:14]
    assert answer[14:54] == packets.ipv6(
        b"", source=GATEWAYS[1], destination=ALICE.ipv6, protocol=ICMP6, payload_bytes=8 + len(quote)
    )
    assert struct.unpack_from(">BB", answer, 54) + struct.unpack_from(">I", answer, 58) == (kind, 0, rest)
    covered = packets.pseudo_header(GATEWAYS[1], ALICE.ipv6, ICMP6, 8 + len(quote)) + answer[54:]
    assert packets.checksum(covered) == 0
    assert quoted(outcome, 48) == quote


@pytest.mark.parametrize("extra", range(8))
def test_checksums_hold_for_quotes_of_every_length(pipeline: Pipeline, extra: int) -> None:
    answer = pipeline.run("from_container", to(BOB.ipv4, packets.udp(bytes(range(50, 60 + extra))), ttl=1)).packet
    assert (packets.checksum(answer[14:34]), packets.checksum(answer[34:])) == (0, 0)


def test_the_event_of_an_answered_packet_shows_the_packet_and_not_the_answer(pipeline: Pipeline) -> None:
    sent = to(BOB.ipv4, ttl=1)
    outcome = pipeline.run("from_container", sent)
    assert [event.frame for event in outcome.drops] == [sent]
    assert (DropReason.FORWARDED, 1) not in outcome.counters


ERRORS4 = [to(BOB.ipv4, packets.icmp(kind), protocol=ICMP, ttl=1) for kind in (3, 4, 5, 11, 12)]
ERRORS6 = [
    to(BOB.ipv6, packets.icmp6(kind, ends=(ALICE.ipv6, BOB.ipv6)), protocol=ICMP6, ttl=1) for kind in (1, 2, 3, 4)
]
FIRST_FRAGMENT, LATER_FRAGMENT = (
    sent_by(ALICE, packets.ipv4(bytes(32), source=ALICE.ipv4, destination=BOB.ipv4, protocol=UDP, fragment=at, ttl=1))
    for at in (packets.MORE_FRAGMENTS, 100)
)


@pytest.mark.parametrize("frame", [*ERRORS4, *ERRORS6, LATER_FRAGMENT], ids=lambda frame: f"{frame[23]}-{frame[34]}")
def test_nothing_is_told_about_errors_and_later_fragments(pipeline: Pipeline, frame: bytes) -> None:
    pipeline.run("from_container", FIRST_FRAGMENT)
    outcome = pipeline.run("from_container", frame)
    assert (outcome.verdict, outcome.reason) == (SHOT, DropReason.TTL_EXCEEDED)


@pytest.mark.parametrize(
    "frame",
    [
        to(BOB.ipv4, packets.icmp(8), protocol=ICMP, ttl=1),
        to(BOB.ipv6, packets.icmp6(128, ends=(ALICE.ipv6, BOB.ipv6)), protocol=ICMP6, ttl=1),
    ],
    ids=["icmp", "icmp6"],
)
def test_a_ping_is_told_about(pipeline: Pipeline, frame: bytes) -> None:
    assert pipeline.run("from_container", frame).verdict == REDIRECT


@pytest.mark.parametrize("destination", TARGETS[:2], ids=str)
def test_a_node_without_gateway_in_the_family_tells_nothing(pipeline: Pipeline, destination: Address) -> None:
    nowhere = IPv6Address("::")
    pipeline.write_node(replace(NODE, gateway_ipv4=nowhere, gateway_ipv6=nowhere))
    outcome = pipeline.run("from_container", to(destination, ttl=1))
    assert (outcome.verdict, outcome.reason) == (SHOT, DropReason.TTL_EXCEEDED)


def test_a_packet_for_the_hosts_stack_may_end_its_way_there(pipeline: Pipeline) -> None:
    """The stack is no hop: TTL 1 reaches it, and it tells whatever is to be told beyond."""
    assert pipeline.run("from_container", to(GATEWAYS[0], ttl=1)).reason is None
