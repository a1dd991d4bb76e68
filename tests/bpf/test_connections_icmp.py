"""Queries and their answers, and errors about the packets of connections."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from netloom.datapath import registry
from netloom.datapath.connections import Tracking
from netloom.datapath.reasons import DropReason
from netloom.policy.table import Direction
from support import packets
from support.packets import UDP
from support.pipeline import ALICE, BOB, Pipeline
from support.talk import EPOCH, A, B, C, End, H, N, Talk, W, allowing, everything, to_port

pytestmark = pytest.mark.bpf

PASSES = None
"""The reason a packet is not dropped for."""
IN, OUT = Direction.INGRESS, Direction.EGRESS


@pytest.mark.parametrize("number", [0, 1, 8, 128, 65535])
def test_a_ping_is_answered_and_not_asked_back(pinging: Talk, number: int) -> None:
    """By no number, not even one that is also a type."""
    ask, reply = pinging.echo()
    assert pinging.icmp(A, B, ask, number).reason is PASSES
    outcomes = [pinging.icmp(B, A, kind, number).reason for kind in (reply, ask)]
    assert outcomes == [PASSES, DropReason.POLICY]
    assert [pinging.icmp(B, A, ask, other).reason for other in (0, ask)] == [DropReason.POLICY] * 2


def test_an_answer_to_another_number_is_none(pinging: Talk) -> None:
    ask, reply = pinging.echo()
    pinging.icmp(A, B, ask, 1)
    assert pinging.icmp(B, A, reply, 2).reason == DropReason.POLICY


def test_an_answer_begins_nothing(pinging: Talk) -> None:
    """Where policies let one pass that nobody asked for, its receiver may not ask by its number."""
    ask, reply = pinging.echo()
    pinging.pipeline.write_policy(ALICE.identity, allowing(everything(OUT)))
    pinging.pipeline.write_policy(BOB.identity, allowing(everything(IN)))
    assert pinging.icmp(A, B, reply, 1).reason is PASSES
    assert (pinging.icmp(B, A, ask, 1).reason, pinging.pipeline.connections()) == (DropReason.POLICY, {})


def test_a_query_of_another_type_is_another_connection(pipeline: Pipeline) -> None:
    """By the number of a ping that is allowed, no timestamp is asked for."""
    talk = Talk(pipeline, six=False)
    pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 8, packets.ICMP)))
    pipeline.write_policy(BOB.identity, allowing(everything(IN)))
    outcomes = [talk.icmp(A, B, kind).reason for kind in (8, 13)]
    answers = [talk.icmp(B, A, kind).reason for kind in (0, 14)]
    assert (outcomes, answers) == ([PASSES, DropReason.POLICY], [PASSES, DropReason.POLICY])


def error(talk: Talk, source: End, destination: End, quote: bytes, kind: int | None = None) -> DropReason | None:
    return talk.icmp(source, destination, (1 if talk.six else 3) if kind is None else kind, 0, quote).reason


ASKED = packets.udp(source_port=40000, destination_port=53)
ANSWERED = packets.udp(source_port=53, destination_port=40000)


@pytest.mark.parametrize("kind", ["unreachable", "time exceeded", "parameter problem"])
def test_an_error_about_a_connection_passes_to_who_sent_the_packet(talk: Talk, kind: str) -> None:
    types = {"unreachable": (3, 1), "time exceeded": (11, 3), "parameter problem": (12, 4)}
    talk.udp(A, B)
    talk.udp(B, A, ports=(53, 40000))
    kind_number = types[kind][talk.six]
    assert error(talk, B, A, talk.packet(A, B, ASKED), kind_number) is PASSES
    assert error(talk, A, B, talk.packet(B, A, ANSWERED), kind_number) is PASSES


def test_an_error_that_passes_is_related(talk: Talk) -> None:
    talk.udp(A, B)
    talk.set_node(trace=registry.TraceFlag.PACKETS)
    outcome = talk.icmp(B, A, 1 if talk.six else 3, 0, talk.packet(A, B, ASKED))
    assert (outcome.tracking, talk.connection().received_packets) == (Tracking.RELATED, 0)


@pytest.mark.parametrize("router", [W, H, N], ids=["the world", "the node", "another node"])
def test_an_error_of_a_router_passes(talk: Talk, router: End) -> None:
    """Too big, or nobody there: told by who is asked on the way."""
    talk.udp(A, W)
    assert error(talk, router, A, talk.packet(A, W, ASKED), 2 if talk.six else 3) is PASSES


def test_an_error_of_another_workload_is_its_own_matter(talk: Talk) -> None:
    """No workload is a router: what it quotes of other people's packets it has made up."""
    talk.udp(A, W)
    talk.udp(A, C)
    for stranger in (B, C):
        assert error(talk, stranger, A, talk.packet(A, W, ASKED)) == DropReason.POLICY
    assert error(talk, C, A, talk.packet(A, C, ASKED)) is PASSES


def test_an_error_about_nothing_is_asked_about(talk: Talk) -> None:
    assert error(talk, B, A, talk.packet(A, B, ASKED)) == DropReason.POLICY


def test_an_error_about_what_has_expired_is_asked_about(talk: Talk) -> None:
    talk.udp(A, B)
    talk.expire()
    assert error(talk, B, A, talk.packet(A, B, ASKED)) == DropReason.POLICY


def test_an_error_to_whom_did_not_send_what_it_quotes_is_asked_about(talk: Talk) -> None:
    talk.udp(A, B)
    assert error(talk, B, A, talk.packet(B, A, ANSWERED)) == DropReason.POLICY
    assert error(talk, B, A, talk.packet(A, B, ANSWERED)) == DropReason.POLICY


def test_a_routers_error_is_for_whom_it_quotes_alone(talk: Talk) -> None:
    """Not even for another one of the same identity."""
    talk.identities[BOB.id] = ALICE.identity
    talk.udp(A, W)
    assert error(talk, N, B, talk.packet(A, W, ASKED)) == DropReason.POLICY
    assert error(talk, N, A, talk.packet(A, W, ASKED)) is PASSES


def test_an_error_to_who_has_the_address_now_is_asked_about(talk: Talk) -> None:
    """The connection was its former owner's."""
    talk.udp(A, C)
    talk.identities[ALICE.id] = 399
    talk.pipeline.write_policy(399, {})
    talk.pipeline.write_pod(replace(ALICE, identity=399))
    assert error(talk, C, A, talk.packet(A, C, ASKED)) == DropReason.POLICY


def test_an_error_about_what_policies_have_changed_for_is_asked_about(talk: Talk) -> None:
    talk.udp(A, B)
    talk.set_node(epoch=EPOCH + 1)
    assert error(talk, B, A, talk.packet(A, B, ASKED)) == DropReason.POLICY


def test_an_error_about_a_ping_passes_and_about_what_was_none_does_not(pinging: Talk) -> None:
    """The number is the type of a ping, too: so an answer's key, and that of a ping back, are those of the ping."""
    ask, reply = pinging.echo()
    pinging.icmp(A, B, ask, ask)

    def message(kind: int, source: End, destination: End) -> bytes:
        ends = (source.address(pinging.six), destination.address(pinging.six))
        rest = struct.pack(">HH", ask, 1)
        return packets.icmp6(kind, rest, ends=ends) if pinging.six else packets.icmp(kind, 0, rest)

    protocol = pinging.icmp_protocol
    assert error(pinging, B, A, pinging.packet(A, B, message(ask, A, B), protocol)) is PASSES
    assert error(pinging, A, B, pinging.packet(B, A, message(ask, B, A), protocol)) == DropReason.POLICY
    assert error(pinging, B, A, pinging.packet(A, B, message(reply, A, B), protocol)) == DropReason.POLICY


def test_an_icmp6_type_that_nobody_has_defined_is_no_error(pipeline: Pipeline) -> None:
    talk = Talk(pipeline, six=True)
    pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 53, UDP)))
    pipeline.write_policy(BOB.identity, allowing(everything(IN), everything(OUT)))
    talk.udp(A, B)
    quote = talk.packet(A, B, ASKED)
    assert [error(talk, B, A, quote, kind) for kind in (0, 5, 100, 127)] == [DropReason.POLICY] * 4


@pytest.mark.parametrize("bytes_left", range(0, 28, 3))
def test_an_error_that_quotes_too_little_is_asked_about(talk: Talk, bytes_left: int) -> None:
    talk.udp(A, B)
    whole = talk.packet(A, B, ASKED)
    header = 40 if talk.six else 20
    assert error(talk, B, A, whole[: min(bytes_left, header + 3)]) == DropReason.POLICY
