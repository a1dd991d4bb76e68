"""Packets that were cut: later fragments show no ports, and fare as their first one."""

from __future__ import annotations

import struct

import pytest

from netloom.datapath.reasons import DropReason
from netloom.model.address import Address
from netloom.policy.table import Direction
from support import packets
from support.packets import TCP, UDP
from support.pipeline import Pipeline
from support.talk import A, B, Talk

pytestmark = pytest.mark.bpf

PASSES = None
"""The reason a packet is not dropped for."""
IN, OUT = Direction.INGRESS, Direction.EGRESS


def fragment(talk: Talk, body: bytes, *, at: int, more: bool = True, number: int = 1, kind: int = UDP) -> bytes:
    """A fragment from ALICE to BOB, ``at`` in units of 8 bytes."""
    ends: tuple[Address, Address] = (A.address(talk.six), B.address(talk.six))
    if talk.six:
        head = struct.pack(">BBHI", kind, 0, at << 3 | more, number)
        return packets.ipv6(head + body, source=ends[0], destination=ends[1], protocol=packets.FRAGMENT)
    flags = packets.MORE_FRAGMENTS if more else 0
    packet = packets.ipv4(body, source=ends[0], destination=ends[1], protocol=kind, fragment=flags | at)
    head = packet[:4] + struct.pack(">H", number) + packet[6:10] + b"\0\0" + packet[12:20]
    return head[:10] + struct.pack(">H", packets.checksum(head)) + head[12:] + body


def fragments(talk: Talk, *sent: bytes) -> list[DropReason | None]:
    return [talk.send_packet(A, one).reason for one in sent]


DNS, SSH = packets.udp(bytes(24), destination_port=53), packets.udp(bytes(24), destination_port=22)


def test_later_fragments_pass_with_the_first(talk: Talk) -> None:
    sent = [fragment(talk, DNS, at=0), fragment(talk, bytes(16), at=4), fragment(talk, bytes(5), at=6, more=False)]
    assert fragments(talk, *sent) == [PASSES, PASSES, PASSES]
    assert talk.connection().sent_packets == 3


def test_later_fragments_are_denied_with_the_first(talk: Talk) -> None:
    sent = [fragment(talk, SSH, at=0), fragment(talk, bytes(16), at=4)]
    assert fragments(talk, *sent) == [DropReason.POLICY, DropReason.POLICY]


def test_a_fragment_without_its_first_is_dropped(talk: Talk) -> None:
    fragments(talk, fragment(talk, DNS, at=0, number=1))
    assert fragments(talk, fragment(talk, bytes(16), at=4, number=2)) == [DropReason.FRAGMENT_NOT_FOUND]


def test_a_first_fragment_sent_again_with_other_ports_is_asked_about(talk: Talk) -> None:
    """Whatever its receiver puts together begins with one that was allowed."""
    sent = [fragment(talk, DNS, at=0), fragment(talk, SSH, at=0), fragment(talk, bytes(16), at=4)]
    assert fragments(talk, *sent) == [PASSES, DropReason.POLICY, DropReason.POLICY]


def test_a_cut_reply_passes(talk: Talk) -> None:
    talk.udp(A, B)
    ends = (B.address(talk.six), A.address(talk.six))
    for at, body in ((0, packets.udp(bytes(24), source_port=53, destination_port=40000)), (4, bytes(16))):
        sent = fragment(talk, body, at=at)
        swapped = sent.replace(ends[1].packed + ends[0].packed, ends[0].packed + ends[1].packed)
        if not talk.six:
            zeroed = swapped[:10] + b"\0\0" + swapped[12:20]
            swapped = swapped[:10] + struct.pack(">H", packets.checksum(zeroed)) + swapped[12:]
        assert talk.send_packet(B, swapped).reason is PASSES


def test_a_cut_ping_passes_with_its_first_fragment(pinging: Talk) -> None:
    ask, _ = pinging.echo()
    ends = (A.address(pinging.six), B.address(pinging.six))
    body = bytes(24)
    message = packets.icmp6(ask, payload=body, ends=ends) if pinging.six else packets.icmp(ask, payload=body)
    kind = pinging.icmp_protocol
    sent = [fragment(pinging, message, at=0, kind=kind), fragment(pinging, bytes(16), at=4, more=False, kind=kind)]
    assert fragments(pinging, *sent) == [PASSES, PASSES]


def test_a_later_fragment_that_names_another_protocol_is_still_the_firsts(pipeline: Pipeline) -> None:
    """In IPv6 what the fragment header names may be an extension header, which stands in the first one alone."""
    talk = Talk(pipeline, six=True)
    options = packets.extension(packets.DESTINATION, UDP)
    sent = [
        fragment(talk, options + DNS, at=0, kind=packets.DESTINATION),
        fragment(talk, bytes(16), at=5, kind=packets.DESTINATION),
        fragment(talk, bytes(16), at=7, kind=TCP),
    ]
    assert fragments(talk, *sent) == [PASSES] * 3
    assert [key.protocol for key in pipeline.connections()] == [UDP]


@pytest.mark.parametrize("inner", [0, 5], ids=["a first one", "a later one"])
def test_a_fragment_within_a_fragment_is_invalid(pipeline: Pipeline, inner: int) -> None:
    """Its receiver would put the outer one together first, and find another packet than was looked at."""
    talk = Talk(pipeline, six=True)
    fragments(talk, fragment(talk, DNS, at=0, number=2))
    nested = struct.pack(">BBHI", UDP, 0, inner << 3 | 1, 2) + DNS
    assert fragments(talk, fragment(talk, nested, at=0, kind=packets.FRAGMENT)) == [DropReason.INVALID_PACKET]


def test_a_whole_packet_in_a_fragment_header_is_a_whole_packet(pipeline: Pipeline) -> None:
    """RFC 6946."""
    talk = Talk(pipeline, six=True)
    assert fragments(talk, fragment(talk, DNS, at=0, more=False)) == [PASSES]
    assert fragments(talk, fragment(talk, bytes(16), at=4)) == [DropReason.FRAGMENT_NOT_FOUND]


def test_what_an_error_quotes_is_not_looked_for_in_its_later_fragments(talk: Talk) -> None:
    talk.udp(A, B)
    kind = 1 if talk.six else 3
    ends = (A.address(talk.six), B.address(talk.six))
    quote = talk.packet(B, A, packets.udp(source_port=53, destination_port=40000))
    rest = b"\0\0\0\0"
    message = packets.icmp6(kind, rest, quote, ends=ends) if talk.six else packets.icmp(kind, 0, rest, quote)
    protocol = talk.icmp_protocol
    first = fragment(talk, message, at=0, kind=protocol)
    later = fragment(talk, message, at=len(message) // 8, more=False, kind=protocol)
    assert fragments(talk, first, later) == [PASSES, DropReason.POLICY]
