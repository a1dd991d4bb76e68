"""Connections: what belongs to one that was allowed passes, and nothing else does by it."""

from __future__ import annotations

import pytest

from netloom.bpf.testrun import run
from netloom.datapath import registry
from netloom.datapath.connections import ConnectionFlag, Tracking
from netloom.datapath.reasons import DropReason
from netloom.policy.table import Direction
from support import packets
from support.maps import ROOM
from support.packets import ACK, FIN, RST, SYN, UDP
from support.pipeline import ALICE, BOB, LOOPBACK
from support.talk import A, B, C, End, H, N, Talk, W, allowing, everything

pytestmark = pytest.mark.bpf

PASSES = None
"""The reason a packet is not dropped for."""
IN, OUT = Direction.INGRESS, Direction.EGRESS


REDIRECT = 7
GRE = 47


# --- replies ------------------------------------------------------------------------------------


def test_a_reply_passes_although_its_sender_may_begin_nothing(talk: Talk) -> None:
    talk.tcp(A, B, SYN)
    outcome = talk.tcp(B, A, SYN | ACK, ports=(80, 40000))
    assert (outcome.reason, outcome.verdicts) == (PASSES, [])


def test_without_a_connection_the_same_packet_is_denied(talk: Talk) -> None:
    assert talk.answer() == DropReason.POLICY


def test_an_expired_connection_is_none(talk: Talk) -> None:
    talk.handshake()
    talk.expire()
    assert talk.answer() == DropReason.POLICY


def test_another_port_is_another_connection(talk: Talk) -> None:
    talk.udp(A, B)
    outcomes = [talk.udp(B, A, ports=ports).reason for ports in ((53, 40000), (53, 40001), (54, 40000))]
    assert outcomes == [PASSES, DropReason.POLICY, DropReason.POLICY]


def test_udp_and_tcp_of_the_same_ports_are_two_connections(talk: Talk) -> None:
    talk.udp(A, B)
    assert talk.tcp(B, A, ACK, ports=(53, 40000)).reason == DropReason.POLICY


def test_a_protocol_without_ports_is_answered_too(talk: Talk) -> None:
    """One connection for all of it between two ends."""
    before = talk.send(B, A, bytes(20), GRE).reason
    talk.send(A, B, bytes(20), GRE)
    assert (before, talk.send(B, A, bytes(20), GRE).reason) == (DropReason.POLICY, PASSES)


@pytest.mark.parametrize("peer", [C, W, H, N], ids=["another node's", "the world", "the node", "another node"])
def test_whoever_is_asked_may_answer(talk: Talk, peer: End) -> None:
    talk.handshake(A, peer)
    assert talk.answer(source=peer) is PASSES


@pytest.mark.parametrize("peer", [C, W, H, N], ids=["another node's", "the world", "the node", "another node"])
def test_whoever_asks_is_answered(talk: Talk, peer: End) -> None:
    """The end that answers may begin nothing, to nobody."""
    talk.handshake(peer, B)
    assert talk.answer(destination=peer) is PASSES


# --- entries ------------------------------------------------------------------------------------


def test_a_connection_is_one_entry_with_counters_of_both_ways(talk: Talk) -> None:
    sent = [talk.udp(A, B).packet, talk.udp(A, B).packet]
    received = [talk.udp(B, A, ports=(53, 40000)).packet]
    info = talk.connection()
    assert (info.sent_packets, info.sent_bytes) == (2, sum(map(len, sent)))
    assert (info.received_packets, info.received_bytes) == (1, len(received[0]))


def test_an_entry_says_who_began_what(talk: Talk) -> None:
    talk.udp(A, B)
    ((key, info),) = talk.pipeline.connections().items()
    began_by_high = bool(info.flags & ConnectionFlag.BEGUN_BY_HIGH)
    source = (key.high, key.high_port) if began_by_high else (key.low, key.low_port)
    assert source == (A.address(talk.six), 40000)
    assert (info.source_identity, info.destination_identity, info.service) == (ALICE.identity, BOB.identity, 53)


def test_of_tunnelled_packets_the_inner_bytes_count(talk: Talk) -> None:
    outcome = talk.udp(C, B)
    assert talk.connection().sent_bytes == len(outcome.packet)


def test_what_is_denied_leaves_no_entry(talk: Talk) -> None:
    talk.udp(B, A)
    assert talk.pipeline.connections() == {}


def test_replies_are_told_as_such(talk: Talk) -> None:
    talk.set_node(trace=registry.TraceFlag.PACKETS)
    tracked = [talk.udp(A, B).tracking, talk.udp(A, B).tracking]
    reply = talk.udp(B, A, ports=(53, 40000))
    assert [*tracked, reply.tracking] == [Tracking.NEW, Tracking.ESTABLISHED, Tracking.REPLY]
    assert reply.events[-1].header.service == 53


def test_a_full_table_forgets_the_oldest_and_refuses_nobody(talk: Talk) -> None:
    talk.udp(A, B)
    ends = (A.address(talk.six), B.address(talk.six))
    for port in range(1000, 1000 + 2 * ROOM):
        packet = packets.ip(
            packets.udp(source_port=port, destination_port=53), source=ends[0], destination=ends[1], protocol=UDP
        )
        frame = packets.ethernet(packet, source=ALICE.mac, destination=ALICE.node_mac)
        assert run(talk.pipeline.programs["from_container"], frame, ifindex=LOOPBACK).verdict == REDIRECT
    assert len(talk.pipeline.connections()) <= ROOM


# --- TCP ----------------------------------------------------------------------------------------


def test_syn_and_its_answer_are_a_beginning_and_no_more(talk: Talk) -> None:
    """Anybody can provoke an answer; six hours for each would fill the table."""
    talk.tcp(A, B, SYN)
    talk.answer(SYN | ACK)
    assert (talk.flags(), talk.lifetime()) == (ConnectionFlag.ANSWERED, "beginning")


@pytest.mark.parametrize("speaker", ["the one that began", "the other one"])
def test_what_follows_establishes_it(talk: Talk, speaker: str) -> None:
    talk.tcp(A, B, SYN)
    talk.answer(SYN | ACK)
    if speaker == "the other one":
        talk.answer()
    else:
        talk.tcp(A, B, ACK)
    assert (ConnectionFlag.ESTABLISHED in talk.flags(), talk.lifetime()) == (True, "established")


def test_one_fin_closes_one_way(talk: Talk) -> None:
    talk.handshake()
    talk.tcp(A, B, FIN | ACK)
    assert talk.lifetime() == "established"
    talk.answer(FIN | ACK)
    assert talk.lifetime() == "closing"
    assert talk.answer() is PASSES


@pytest.mark.parametrize("speaker", [A, B], ids=["the one that began", "the other one"])
def test_rst_closes_it(talk: Talk, speaker: End) -> None:
    talk.handshake()
    talk.tcp(A, B, RST) if speaker is A else talk.answer(RST)
    assert (ConnectionFlag.RESET in talk.flags(), talk.lifetime()) == (True, "closing")


def test_syn_of_the_other_end_begins_another_connection(talk: Talk) -> None:
    """That somebody may answer does not mean that he may begin."""
    talk.handshake()
    assert (talk.answer(SYN), talk.answer()) == (DropReason.POLICY, PASSES)


def test_syn_of_the_other_end_may_be_allowed(talk: Talk) -> None:
    talk.handshake()
    talk.pipeline.write_policy(BOB.identity, allowing(everything(OUT)))
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(IN)))
    assert talk.answer(SYN) is PASSES
    assert (talk.connection().source_identity, talk.flags()) == (BOB.identity, ConnectionFlag(0))


def test_a_syn_sent_again_is_no_news(talk: Talk) -> None:
    news = [len(talk.tcp(A, B, SYN).verdicts) for _ in range(2)]
    assert (news, talk.connection().sent_packets) == ([2, 0], 2)


@pytest.mark.parametrize("ending", [FIN | ACK, RST], ids=["FIN", "RST"])
def test_syn_begins_anew_where_a_connection_ended(talk: Talk, ending: int) -> None:
    """Ports are used again."""
    talk.handshake()
    talk.tcp(A, B, ending)
    talk.answer(ending)
    outcome = talk.tcp(A, B, SYN)
    assert (len(outcome.verdicts), talk.flags(), talk.connection().sent_packets) == (2, ConnectionFlag(0), 1)


def test_a_connection_met_in_its_middle_was_answered_before(talk: Talk) -> None:
    """So one more packet of either end establishes it, though its other end is silent."""
    talk.tcp(A, B, ACK)
    beginning = talk.lifetime()
    talk.tcp(A, B, ACK)
    assert (beginning, talk.lifetime()) == ("beginning", "established")


def test_a_connection_met_in_its_middle_goes_on_by_whoever_may_begin(talk: Talk) -> None:
    """As after its entry was evicted."""
    assert talk.answer() == DropReason.POLICY
    assert talk.tcp(A, B, ACK).reason is PASSES
    assert talk.answer() is PASSES
    assert talk.lifetime() == "established"
