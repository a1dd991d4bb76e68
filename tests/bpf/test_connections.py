"""Connections: what belongs to one that was allowed passes, and nothing else does by it."""

from __future__ import annotations

import struct
import time
from dataclasses import replace

import pytest

from netloom.bpf.testrun import run
from netloom.datapath import registry
from netloom.datapath.connections import ConnectionFlag, ConnectionInfo, Tracking
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import PolicyFlag
from netloom.model.address import Address
from netloom.model.identity import Reserved
from netloom.policy.table import Direction
from support import packets
from support.maps import ROOM
from support.packets import ACK, FIN, RST, SYN, TCP, UDP
from support.pipeline import ALICE, BOB, CAROL, DAVE, LOOPBACK, Pipeline
from support.talk import EPOCH, A, B, C, D, End, H, N, Talk, W, allowing, everything, to_port

pytestmark = pytest.mark.bpf

REDIRECT = 7
PASSES = None
"""The reason a packet is not dropped for."""
IN, OUT = Direction.INGRESS, Direction.EGRESS
S = 1_000_000_000
LIFETIMES_S = {"beginning": 60, "established": 21600, "closing": 10}
GRE = 47


@pytest.fixture(params=[False, True], ids=["ipv4", "ipv6"])
def talk(pipeline: Pipeline, request: pytest.FixtureRequest) -> Talk:
    """ALICE may ask anybody at TCP port 80 and UDP port 53, BOB be asked there; neither may do anything else."""
    ports = [(80, TCP), (53, UDP), (0, GRE)]
    pipeline.write_policy(ALICE.identity, allowing(*(to_port(OUT, *port) for port in ports)))
    pipeline.write_policy(BOB.identity, allowing(*(to_port(IN, *port) for port in ports)))
    return Talk(pipeline, request.param)


def handshake(talk: Talk, first: End = A, second: End = B) -> None:
    for source, destination, flags, ports in (
        (first, second, SYN, (40000, 80)),
        (second, first, SYN | ACK, (80, 40000)),
        (first, second, ACK, (40000, 80)),
    ):
        assert talk.tcp(source, destination, flags, ports=ports).reason is PASSES


def answer(talk: Talk, flags: int = ACK, source: End = B, destination: End = A) -> DropReason | None:
    return talk.tcp(source, destination, flags, ports=(80, 40000)).reason


def the_connection(talk: Talk) -> ConnectionInfo:
    (info,) = talk.pipeline.connections().values()
    return info


def flags_of(talk: Talk) -> ConnectionFlag:
    """All but who began, which addresses decide."""
    return ConnectionFlag(the_connection(talk).flags) & ~ConnectionFlag.BEGUN_BY_HIGH


def lifetime(talk: Talk) -> str:
    left_s = (the_connection(talk).expires_ns - time.monotonic_ns()) / S
    return min(LIFETIMES_S, key=lambda name: abs(LIFETIMES_S[name] - left_s))


def expire(talk: Talk) -> None:
    talk.pipeline.change_connection(expires_ns=time.monotonic_ns() - S)


# --- replies ------------------------------------------------------------------------------------


def test_a_reply_passes_although_its_sender_may_begin_nothing(talk: Talk) -> None:
    talk.tcp(A, B, SYN)
    outcome = talk.tcp(B, A, SYN | ACK, ports=(80, 40000))
    assert (outcome.reason, outcome.verdicts) == (PASSES, [])


def test_without_a_connection_the_same_packet_is_denied(talk: Talk) -> None:
    assert answer(talk) == DropReason.POLICY


def test_an_expired_connection_is_none(talk: Talk) -> None:
    handshake(talk)
    expire(talk)
    assert answer(talk) == DropReason.POLICY


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
    handshake(talk, A, peer)
    assert answer(talk, source=peer) is PASSES


@pytest.mark.parametrize("peer", [C, W, H, N], ids=["another node's", "the world", "the node", "another node"])
def test_whoever_asks_is_answered(talk: Talk, peer: End) -> None:
    """The end that answers may begin nothing, to nobody."""
    handshake(talk, peer, B)
    assert answer(talk, destination=peer) is PASSES


# --- entries ------------------------------------------------------------------------------------


def test_a_connection_is_one_entry_with_counters_of_both_ways(talk: Talk) -> None:
    sent = [talk.udp(A, B).packet, talk.udp(A, B).packet]
    received = [talk.udp(B, A, ports=(53, 40000)).packet]
    info = the_connection(talk)
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
    assert the_connection(talk).sent_bytes == len(outcome.packet)


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
    answer(talk, SYN | ACK)
    assert (flags_of(talk), lifetime(talk)) == (ConnectionFlag.ANSWERED, "beginning")


@pytest.mark.parametrize("speaker", ["the one that began", "the other one"])
def test_what_follows_establishes_it(talk: Talk, speaker: str) -> None:
    talk.tcp(A, B, SYN)
    answer(talk, SYN | ACK)
    if speaker == "the other one":
        answer(talk)
    else:
        talk.tcp(A, B, ACK)
    assert (ConnectionFlag.ESTABLISHED in flags_of(talk), lifetime(talk)) == (True, "established")


def test_one_fin_closes_one_way(talk: Talk) -> None:
    handshake(talk)
    talk.tcp(A, B, FIN | ACK)
    assert lifetime(talk) == "established"
    answer(talk, FIN | ACK)
    assert lifetime(talk) == "closing"
    assert answer(talk) is PASSES


@pytest.mark.parametrize("speaker", [A, B], ids=["the one that began", "the other one"])
def test_rst_closes_it(talk: Talk, speaker: End) -> None:
    handshake(talk)
    talk.tcp(A, B, RST) if speaker is A else answer(talk, RST)
    assert (ConnectionFlag.RESET in flags_of(talk), lifetime(talk)) == (True, "closing")


def test_syn_of_the_other_end_begins_another_connection(talk: Talk) -> None:
    """That somebody may answer does not mean that he may begin."""
    handshake(talk)
    assert (answer(talk, SYN), answer(talk)) == (DropReason.POLICY, PASSES)


def test_syn_of_the_other_end_may_be_allowed(talk: Talk) -> None:
    handshake(talk)
    talk.pipeline.write_policy(BOB.identity, allowing(everything(OUT)))
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(IN)))
    assert answer(talk, SYN) is PASSES
    assert (the_connection(talk).source_identity, flags_of(talk)) == (BOB.identity, ConnectionFlag(0))


def test_a_syn_sent_again_is_no_news(talk: Talk) -> None:
    news = [len(talk.tcp(A, B, SYN).verdicts) for _ in range(2)]
    assert (news, the_connection(talk).sent_packets) == ([2, 0], 2)


@pytest.mark.parametrize("ending", [FIN | ACK, RST], ids=["FIN", "RST"])
def test_syn_begins_anew_where_a_connection_ended(talk: Talk, ending: int) -> None:
    """Ports are used again."""
    handshake(talk)
    talk.tcp(A, B, ending)
    answer(talk, ending)
    outcome = talk.tcp(A, B, SYN)
    assert (len(outcome.verdicts), flags_of(talk), the_connection(talk).sent_packets) == (2, ConnectionFlag(0), 1)


def test_a_connection_met_in_its_middle_goes_on_by_whoever_may_begin(talk: Talk) -> None:
    """As after its entry was evicted."""
    assert answer(talk) == DropReason.POLICY
    assert talk.tcp(A, B, ACK).reason is PASSES
    assert answer(talk) is PASSES
    assert lifetime(talk) == "established"


# --- ICMP ---------------------------------------------------------------------------------------


def kinds(talk: Talk) -> tuple[int, int]:
    """Types of echo request and reply."""
    return (128, 129) if talk.six else (8, 0)


@pytest.fixture
def pinging(talk: Talk) -> Talk:
    """ALICE may ping as well, and BOB be pinged."""
    ask, _ = kinds(talk)
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, ask, talk.icmp_protocol)))
    talk.pipeline.write_policy(BOB.identity, allowing(to_port(IN, ask, talk.icmp_protocol)))
    return talk


@pytest.mark.parametrize("number", [0, 1, 8, 128, 65535])
def test_a_ping_is_answered_and_not_asked_back(pinging: Talk, number: int) -> None:
    """By no number, not even one that is also a type."""
    ask, reply = kinds(pinging)
    assert pinging.icmp(A, B, ask, number).reason is PASSES
    outcomes = [pinging.icmp(B, A, kind, number).reason for kind in (reply, ask)]
    assert outcomes == [PASSES, DropReason.POLICY]
    assert [pinging.icmp(B, A, ask, other).reason for other in (0, ask)] == [DropReason.POLICY] * 2


def test_an_answer_to_another_number_is_none(pinging: Talk) -> None:
    ask, reply = kinds(pinging)
    pinging.icmp(A, B, ask, 1)
    assert pinging.icmp(B, A, reply, 2).reason == DropReason.POLICY


def test_an_answer_begins_nothing(pinging: Talk) -> None:
    """Where policies let one pass that nobody asked for, its receiver may not ask by its number."""
    ask, reply = kinds(pinging)
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


def quoted(talk: Talk, source: End, destination: End, body: bytes, protocol: int = UDP) -> bytes:
    """What an error says of a packet: its IP header and what follows, here all of it."""
    ends = (source.address(talk.six), destination.address(talk.six))
    return packets.ip(body, source=ends[0], destination=ends[1], protocol=protocol)


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
    assert error(talk, B, A, quoted(talk, A, B, ASKED), kind_number) is PASSES
    assert error(talk, A, B, quoted(talk, B, A, ANSWERED), kind_number) is PASSES


def test_an_error_that_passes_is_related(talk: Talk) -> None:
    talk.udp(A, B)
    talk.set_node(trace=registry.TraceFlag.PACKETS)
    outcome = talk.icmp(B, A, 1 if talk.six else 3, 0, quoted(talk, A, B, ASKED))
    assert (outcome.tracking, the_connection(talk).received_packets) == (Tracking.RELATED, 0)


@pytest.mark.parametrize("router", [W, H, N], ids=["the world", "the node", "another node"])
def test_an_error_of_a_router_passes(talk: Talk, router: End) -> None:
    """Too big, or nobody there: told by who is asked on the way."""
    talk.udp(A, W)
    assert error(talk, router, A, quoted(talk, A, W, ASKED), 2 if talk.six else 3) is PASSES


def test_an_error_of_another_workload_is_its_own_matter(talk: Talk) -> None:
    """No workload is a router: what it quotes of other people's packets it has made up."""
    talk.udp(A, W)
    talk.udp(A, C)
    for stranger in (B, C):
        assert error(talk, stranger, A, quoted(talk, A, W, ASKED)) == DropReason.POLICY
    assert error(talk, C, A, quoted(talk, A, C, ASKED)) is PASSES


def test_an_error_about_nothing_is_asked_about(talk: Talk) -> None:
    assert error(talk, B, A, quoted(talk, A, B, ASKED)) == DropReason.POLICY


def test_an_error_about_what_has_expired_is_asked_about(talk: Talk) -> None:
    talk.udp(A, B)
    expire(talk)
    assert error(talk, B, A, quoted(talk, A, B, ASKED)) == DropReason.POLICY


def test_an_error_to_whom_did_not_send_what_it_quotes_is_asked_about(talk: Talk) -> None:
    talk.udp(A, B)
    assert error(talk, B, A, quoted(talk, B, A, ANSWERED)) == DropReason.POLICY
    assert error(talk, B, A, quoted(talk, A, B, ANSWERED)) == DropReason.POLICY


def test_an_error_to_who_has_the_address_now_is_asked_about(talk: Talk) -> None:
    """The connection was its former owner's."""
    talk.udp(A, C)
    talk.identities[ALICE.id] = 399
    talk.pipeline.write_policy(399, {})
    talk.pipeline.write_pod(replace(ALICE, identity=399))
    assert error(talk, C, A, quoted(talk, A, C, ASKED)) == DropReason.POLICY


def test_an_error_about_what_policies_have_changed_for_is_asked_about(talk: Talk) -> None:
    talk.udp(A, B)
    talk.set_node(epoch=EPOCH + 1)
    assert error(talk, B, A, quoted(talk, A, B, ASKED)) == DropReason.POLICY


def test_an_error_about_a_ping_passes_and_about_an_answer_that_was_none_does_not(pinging: Talk) -> None:
    ask, reply = kinds(pinging)
    pinging.icmp(A, B, ask, 7)

    def message(kind: int, source: End, destination: End) -> bytes:
        ends = (source.address(pinging.six), destination.address(pinging.six))
        rest = struct.pack(">HH", 7, 1)
        return packets.icmp6(kind, rest, ends=ends) if pinging.six else packets.icmp(kind, 0, rest)

    protocol = pinging.icmp_protocol
    assert error(pinging, B, A, quoted(pinging, A, B, message(ask, A, B), protocol)) is PASSES
    assert error(pinging, B, A, quoted(pinging, A, B, message(reply, A, B), protocol)) == DropReason.POLICY


def test_an_icmp6_type_that_nobody_has_defined_is_no_error(pipeline: Pipeline) -> None:
    talk = Talk(pipeline, six=True)
    pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 53, UDP)))
    pipeline.write_policy(BOB.identity, allowing(everything(IN), everything(OUT)))
    talk.udp(A, B)
    quote = quoted(talk, A, B, ASKED)
    assert [error(talk, B, A, quote, kind) for kind in (0, 5, 100, 127)] == [DropReason.POLICY] * 4


@pytest.mark.parametrize("bytes_left", range(0, 28, 3))
def test_an_error_that_quotes_too_little_is_asked_about(talk: Talk, bytes_left: int) -> None:
    talk.udp(A, B)
    whole = quoted(talk, A, B, ASKED)
    header = 40 if talk.six else 20
    assert error(talk, B, A, whole[: min(bytes_left, header + 3)]) == DropReason.POLICY


# --- changes ------------------------------------------------------------------------------------


def test_after_a_change_of_policy_a_connection_is_asked_about_once(talk: Talk) -> None:
    """And if it is still allowed, that is no news."""
    handshake(talk)
    talk.set_node(epoch=EPOCH + 1)
    outcome = talk.tcp(A, B, ACK)
    assert (outcome.reason, outcome.verdicts, the_connection(talk).epoch) == (PASSES, [], EPOCH + 1)
    talk.pipeline.write_policy(ALICE.identity, {})
    assert talk.tcp(A, B, ACK).reason is PASSES


def test_a_reply_asks_about_its_connection_and_not_about_itself(talk: Talk) -> None:
    handshake(talk)
    talk.set_node(epoch=EPOCH + 1)
    assert (answer(talk), the_connection(talk).epoch) == (PASSES, EPOCH + 1)


@pytest.mark.parametrize("closed", [ALICE, BOB], ids=["at its source", "at its destination"])
def test_a_change_of_policy_cuts_what_is_no_longer_allowed(talk: Talk, closed: object) -> None:
    handshake(talk)
    talk.pipeline.write_policy(closed.identity, {})  # type: ignore[attr-defined]
    talk.set_node(epoch=EPOCH + 1)
    outcome = talk.tcp(A, B, ACK)
    assert (outcome.reason, outcome.drops[0].header.tracking) == (DropReason.POLICY, Tracking.ESTABLISHED)
    assert answer(talk) == DropReason.POLICY
    assert ConnectionFlag.REFUSED in flags_of(talk)


def test_connections_may_be_kept_when_policies_change(talk: Talk) -> None:
    handshake(talk)
    talk.pipeline.write_policy(ALICE.identity, {})
    talk.set_node(epoch=EPOCH + 1, flags=PolicyFlag.KEEP_CONNECTIONS)
    assert (talk.tcp(A, B, ACK).reason, answer(talk)) == (PASSES, PASSES)
    assert talk.tcp(A, B, SYN, ports=(40001, 80)).reason == DropReason.POLICY


def test_a_connection_that_was_cut_goes_on_when_it_is_allowed_again(talk: Talk) -> None:
    handshake(talk)
    talk.pipeline.write_policy(ALICE.identity, {})
    talk.set_node(epoch=EPOCH + 1)
    cut = talk.tcp(A, B, ACK).reason
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 80)))
    talk.set_node(epoch=EPOCH + 2)
    assert (cut, talk.tcp(A, B, ACK).reason) == (DropReason.POLICY, PASSES)
    assert ConnectionFlag.REFUSED not in flags_of(talk)


def test_the_other_end_cannot_revive_a_connection_that_was_cut(talk: Talk) -> None:
    """It may begin connections of its own, but this one is not its own."""
    handshake(talk)
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(IN)))
    talk.pipeline.write_policy(BOB.identity, allowing(everything(IN), everything(OUT)))
    talk.set_node(epoch=EPOCH + 1)
    assert [talk.tcp(A, B, ACK).reason, answer(talk), talk.tcp(A, B, ACK).reason] == [DropReason.POLICY] * 3
    assert answer(talk, SYN) is PASSES


@pytest.mark.parametrize("changed", [ALICE, BOB], ids=["its source", "its destination"])
def test_a_change_of_identity_is_asked_about(talk: Talk, changed: object) -> None:
    """Whichever way the next packet goes."""
    handshake(talk)
    talk.identities[changed.id] = 399  # type: ignore[attr-defined]
    talk.pipeline.write_policy(399, {})
    assert (answer(talk), talk.tcp(A, B, ACK).reason) == (DropReason.POLICY, DropReason.POLICY)


def test_a_change_of_a_remote_identity_is_asked_about(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, allowing(everything(IN, CAROL.identity)))
    ends = (C.address(talk.six), B.address(talk.six))
    sent = packets.ip(packets.udp(), source=ends[0], destination=ends[1], protocol=UDP)
    outcomes = [talk.send_packet(C, sent, identity=identity).reason for identity in (CAROL.identity, 777)]
    assert outcomes == [PASSES, DropReason.POLICY]


def test_a_connection_kept_open_by_nobody_is_not_refreshed_by_what_is_refused(talk: Talk) -> None:
    talk.udp(A, B)
    before = the_connection(talk).expires_ns
    talk.pipeline.write_policy(ALICE.identity, {})
    talk.set_node(epoch=EPOCH + 1)
    talk.udp(A, B)
    assert (the_connection(talk).expires_ns, the_connection(talk).sent_packets) == (before, 1)


def test_what_the_stack_hands_over_in_a_workloads_name_is_not_its_connections(talk: Talk) -> None:
    """From outside anybody can claim an address; that neither passes nor harms the connection."""
    handshake(talk, A, C)
    forged = End(CAROL.ipv4, CAROL.ipv6)
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 80, TCP, CAROL.identity)))
    assert answer(talk, source=forged) == DropReason.POLICY
    assert (answer(talk, source=C), talk.tcp(A, C, ACK).reason) == (PASSES, PASSES)


def test_a_nodes_answer_passes_though_the_stack_hands_it_over_as_the_worlds(talk: Talk) -> None:
    """And what was said of the node is not said of the world."""
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 80, TCP, Reserved.REMOTE_NODE)))
    handshake(talk, A, N)
    assert the_connection(talk).destination_identity == Reserved.REMOTE_NODE
    assert talk.tcp(A, W, SYN).reason == DropReason.POLICY


def test_who_proved_an_identity_is_answered_before_the_tables_know_it(talk: Talk) -> None:
    """DAVE's address is not in the ipcache yet; his packets carry his identity."""
    talk.pipeline.write_policy(BOB.identity, allowing(to_port(IN, 53, UDP, DAVE.identity)))
    assert talk.udp(D, B).reason is PASSES
    assert talk.udp(B, D, ports=(53, 40000)).reason is PASSES
    assert the_connection(talk).source_identity == DAVE.identity


# --- fragments ----------------------------------------------------------------------------------


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
    assert the_connection(talk).sent_packets == 3


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
    ask, _ = kinds(pinging)
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
    quote = quoted(talk, B, A, ANSWERED)
    rest = b"\0\0\0\0"
    message = packets.icmp6(kind, rest, quote, ends=ends) if talk.six else packets.icmp(kind, 0, rest, quote)
    protocol = talk.icmp_protocol
    first = fragment(talk, message, at=0, kind=protocol)
    later = fragment(talk, message, at=len(message) // 8, more=False, kind=protocol)
    assert fragments(talk, first, later) == [PASSES, DropReason.POLICY]
