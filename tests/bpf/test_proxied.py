"""Connections whose requests are judged: which they are, that all of them goes to the proxy, and what comes from it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from netloom.datapath.connections import ConnectionFlag
from netloom.datapath.enforcement import Isolation, PolicyEffect
from netloom.datapath.maps import Index
from netloom.datapath.proxy import (
    MARK_FROM_PROXY,
    MARK_TO_PROXY,
    PROXY_IPV4,
    PROXY_IPV6,
    PROXY_LISTENERS,
    Socket,
)
from netloom.datapath.reasons import DropReason, Observation
from netloom.datapath.registry import PolicyVerdict, TraceFlag
from netloom.policy.table import ALLOW, AUDIT_ALLOW, AUDIT_DENY, DENY, Direction
from support import packets
from support.emulated import FAMILIES
from support.netns import Namespace
from support.packets import ACK, FIN, SYN, TCP
from support.pipeline import ALICE, BOB, HOST_MAC, NODE, Outcome, Pipeline
from support.talk import EPOCH, A, B, C, End, H, Talk, W, to_port

pytestmark = pytest.mark.bpf

REDIRECT, INSPECT, WATCH = PolicyEffect.REDIRECT, PolicyEffect.INSPECT, PolicyEffect.WATCH
REDIRECTED, SHOT, LEFT = 7, 2, -1
IN, OUT = Direction.INGRESS, Direction.EGRESS
WEB = to_port(IN, 80)


@pytest.fixture(params=FAMILIES, ids=lambda six: "ipv6" if six else "ipv4")
def talk(pipeline: Pipeline, request: pytest.FixtureRequest) -> Talk:
    """What is asked of BOB at port 80 is to be judged."""
    pipeline.write_policy(BOB.identity, {WEB: REDIRECT}, egress=0)
    return Talk(pipeline, request.param)


def is_for_proxy(outcome: Outcome) -> bool:
    """Whether it was handed to the host's stack with the mark that to_proxy looks for."""
    to_host = outcome.packet[:12] == HOST_MAC + HOST_MAC
    return (outcome.verdict, outcome.mark, to_host, outcome.reason) == (REDIRECTED, MARK_TO_PROXY, True, None)


def _listening(six: bool) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    made.bind(("::" if six else "0.0.0.0", 0))
    made.listen()
    return made


@contextmanager
def listener(talk: Talk, call: Callable[..., socket.socket] = lambda make, six: make(six)) -> Iterator[None]:
    """Where a proxy would take connections; ``call`` makes it, in whatever namespace."""
    place = PROXY_IPV6 if talk.six else PROXY_IPV4
    with call(_listening, talk.six) as made:
        talk.pipeline.maps.of(PROXY_LISTENERS).put(Index(place), Socket(made.fileno()))
        yield


def by_proxy(talk: Talk, source: End, destination: End, flags: int, ports: tuple[int, int]) -> Outcome:
    """What the proxy sends, in somebody's name."""
    segment = packets.tcp(source_port=ports[0], destination_port=ports[1], flags=flags)
    packet = talk.packet(source, destination, segment, TCP)
    frame = packets.ethernet(packet, source=bytes(6), destination=NODE.host_mac)
    return talk.pipeline.run("from_host", frame, mark=MARK_FROM_PROXY)


# --- what is judged -----------------------------------------------------------------------------


@pytest.mark.parametrize("sender", [A, C, W, H], ids=["here", "another node's", "the world", "the node"])
def test_a_connection_goes_to_the_proxy_from_its_first_packet(talk: Talk, sender: End) -> None:
    assert is_for_proxy(talk.tcp(sender, B, SYN))
    assert talk.connection().flags & ConnectionFlag.PROXIED


def test_so_does_one_that_the_senders_policies_ask_about(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {}, ingress=0, egress=0)
    talk.pipeline.write_policy(ALICE.identity, {to_port(OUT, 80): REDIRECT}, ingress=0)
    assert is_for_proxy(talk.tcp(A, B, SYN))
    assert is_for_proxy(talk.tcp(A, W, SYN))


def test_all_that_follows_goes_the_same_way_from_either_end(talk: Talk) -> None:
    talk.tcp(A, B, SYN)
    assert is_for_proxy(talk.tcp(B, A, SYN | ACK, ports=(80, 40000)))
    assert is_for_proxy(talk.tcp(A, B, ACK))
    assert is_for_proxy(talk.tcp(B, A, FIN | ACK, ports=(80, 40000)))


def test_it_is_told_as_a_verdict_and_seen_on_its_way(talk: Talk) -> None:
    talk.set_node(trace=TraceFlag.PACKETS | TraceFlag.VERDICTS)
    done = talk.tcp(A, B, SYN)
    assert [verdict.code for verdict in done.verdicts] == [PolicyVerdict.ALLOWED, PolicyVerdict.REDIRECTED]
    assert done.observations == [Observation.FROM_ENDPOINT, Observation.TO_PROXY]


@pytest.mark.parametrize(
    ("effects", "verdict", "judged"),
    [
        (REDIRECT | ALLOW, PolicyVerdict.ALLOWED, False),
        (REDIRECT | AUDIT_ALLOW, PolicyVerdict.REDIRECTED, True),
        (REDIRECT | AUDIT_DENY, PolicyVerdict.AUDITED, True),
        (INSPECT | ALLOW, PolicyVerdict.REDIRECTED, True),
        (INSPECT | REDIRECT, PolicyVerdict.REDIRECTED, True),
    ],
)
def test_what_else_is_said_of_it_counts_too(talk: Talk, effects: int, verdict: PolicyVerdict, judged: bool) -> None:
    """Allowed without more ado, nothing is judged; what an audit policy says lets nothing pass unjudged."""
    talk.pipeline.write_policy(BOB.identity, {WEB: effects}, egress=0)
    done = talk.tcp(A, B, SYN)
    assert (done.verdicts[-1].code, is_for_proxy(done)) == (verdict, judged)


def test_who_is_only_watched_does_not_need_a_proxy(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {WEB: WATCH | ALLOW}, egress=0)
    assert talk.tcp(A, B, SYN).packet[:12] == BOB.mac + BOB.node_mac
    with listener(talk):
        assert not is_for_proxy(talk.tcp(A, B, ACK))
        assert is_for_proxy(talk.tcp(A, B, SYN, ports=(40001, 80)))


def test_what_is_denied_is_not_even_asked(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {WEB: REDIRECT | DENY}, egress=0)
    assert talk.tcp(A, B, SYN).reason is DropReason.POLICY_DENY


def test_nothing_needs_to_be_isolated_for_it(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {WEB: REDIRECT}, ingress=0, egress=0)
    assert is_for_proxy(talk.tcp(A, B, SYN))


def test_an_audited_direction_takes_it_for_allowed(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {WEB: REDIRECT}, ingress=Isolation.AUDITED, egress=0)
    assert talk.tcp(A, B, SYN).verdicts[-1].code == PolicyVerdict.REDIRECTED


def test_other_ports_stay_as_they_are(talk: Talk) -> None:
    assert talk.tcp(A, B, SYN, ports=(40000, 81)).reason is DropReason.POLICY


# --- policies that change -----------------------------------------------------------------------


def test_a_connection_that_nobody_has_judged_from_its_beginning_is_refused(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {WEB: ALLOW}, egress=0)
    talk.handshake()
    talk.pipeline.write_policy(BOB.identity, {WEB: REDIRECT}, egress=0)
    talk.set_node(epoch=EPOCH + 1)
    assert [talk.tcp(A, B, ACK).reason for _ in range(2)] == [DropReason.PROXY_TOO_LATE] * 2


def test_one_that_is_judged_stays_with_the_proxy_when_it_need_not_be(talk: Talk) -> None:
    """The proxy alone knows both its halves."""
    talk.tcp(A, B, SYN)
    talk.pipeline.write_policy(BOB.identity, {WEB: ALLOW}, egress=0)
    talk.set_node(epoch=EPOCH + 1)
    assert is_for_proxy(talk.tcp(A, B, ACK))


def test_one_that_is_forbidden_by_now_is_cut(talk: Talk) -> None:
    talk.tcp(A, B, SYN)
    talk.pipeline.write_policy(BOB.identity, {}, egress=0)
    talk.set_node(epoch=EPOCH + 1)
    assert talk.tcp(A, B, ACK).reason is DropReason.POLICY


# --- what comes from the proxy ------------------------------------------------------------------


def test_what_the_proxy_sends_goes_to_the_end_it_is_for(talk: Talk) -> None:
    """In the name of the other end, and not to the proxy again; it counts as one connection, and once."""
    talk.set_node(trace=TraceFlag.PACKETS)
    talk.tcp(A, B, SYN)
    before = talk.connection()
    done = by_proxy(talk, A, B, SYN, (40000, 80))
    assert (done.verdict, done.packet[:12], done.mark) == (REDIRECTED, BOB.mac + BOB.node_mac, MARK_FROM_PROXY)
    assert done.observations == [Observation.FROM_PROXY, Observation.TO_ENDPOINT]
    assert (talk.connection().sent_packets, len(talk.pipeline.connections())) == (before.sent_packets, 1)


def test_its_answers_carry_the_identity_of_whoever_was_asked(talk: Talk) -> None:
    """To another node they go by the overlay, as the pod's."""
    talk.tcp(C, B, SYN)
    talk.set_node(trace=TraceFlag.PACKETS)
    done = by_proxy(talk, B, C, SYN | ACK, (80, 40000))
    header = done.events[-1].header
    assert (header.code, header.source_identity) == (Observation.TO_OVERLAY, BOB.identity)


def test_what_it_asks_in_the_name_of_the_node_is_a_connection_of_its_own(talk: Talk) -> None:
    """The node's port is taken by whoever asked the proxy. Answers go to the node, whatever policies say by then."""
    talk.tcp(H, B, SYN)
    assert by_proxy(talk, H, B, SYN, (50000, 80)).packet[:12] == BOB.mac + BOB.node_mac
    answer = talk.tcp(B, H, SYN | ACK, ports=(80, 50000))
    assert (answer.verdict, answer.mark) == (REDIRECTED, 0)
    talk.set_node(epoch=EPOCH + 1)
    assert talk.tcp(B, H, ACK, ports=(80, 50000)).reason is None


def test_a_workload_has_no_such_mark(talk: Talk) -> None:
    """Whatever it wrote on its side: what matters is that its program does not look."""
    talk.pipeline.write_policy(ALICE.identity, {}, ingress=0)
    packet = talk.packet(A, B, packets.tcp(flags=SYN), TCP)
    talk.tcp(A, B, SYN)
    frame = packets.ethernet(packet, source=ALICE.mac, destination=ALICE.node_mac)
    assert talk.pipeline.run("from_container", frame, mark=MARK_FROM_PROXY).reason is DropReason.POLICY


# --- to_proxy -----------------------------------------------------------------------------------


def at_loom_host(talk: Talk, payload: bytes, protocol: int = TCP, mark: int = MARK_TO_PROXY) -> Outcome:
    frame = packets.ethernet(talk.packet(A, B, payload, protocol), source=HOST_MAC, destination=HOST_MAC)
    return talk.pipeline.run("to_proxy", frame, mark=mark)


def test_what_has_no_mark_is_left_as_it_comes(talk: Talk) -> None:
    done = at_loom_host(talk, packets.tcp(flags=SYN), mark=0)
    assert (done.verdict, done.events, done.counters) == (LEFT, (), {})


def test_without_a_proxy_nothing_passes(talk: Talk) -> None:
    assert at_loom_host(talk, packets.tcp(flags=SYN)).reason is DropReason.PROXY_AWAY


def test_a_socket_that_cannot_be_reached_gets_nothing(talk: Talk, netns: Namespace) -> None:
    """One of another namespace."""
    with listener(talk, netns.call):
        assert at_loom_host(talk, packets.tcp(flags=SYN)).reason is DropReason.PROXY_UNREACHED


def test_what_is_no_tcp_cannot_be_the_proxys(talk: Talk) -> None:
    assert at_loom_host(talk, packets.udp(), packets.UDP).reason is DropReason.INVALID_PACKET
