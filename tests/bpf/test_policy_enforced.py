"""What policies decide: each reason to refuse, what is told of it, and what is let through and told all the same."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import core_programs
from netloom.bpf.maps import MapSet, create_map
from netloom.bpf.programs import load_program
from netloom.bpf.testrun import run
from netloom.datapath.connections import CONNECTIONS_ANY, ConnectionInfo, ConnectionKey, Tracking
from netloom.datapath.enforcement import POLICIES, SUBJECTS, Isolation, SubjectFlag, SubjectKey
from netloom.datapath.maps import Index, MapKind, MapSpec
from netloom.datapath.reasons import Direction as Seen
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import (
    VERDICT_BUDGET,
    VERDICTS_PER_S,
    EventType,
    PolicyVerdict,
    TraceFlag,
    VerdictBudget,
)
from netloom.model.address import Network
from netloom.model.identity import Reserved
from netloom.policy.cidrs import FIRST_PREFIX
from netloom.policy.ports import Service
from netloom.policy.table import (
    ALLOW,
    ANY_PEER,
    AUDIT_ALLOW,
    AUDIT_DENY,
    DENY,
    ENDPOINTS,
    Direction,
    key_of,
)
from netloom_vxlan.plugin import Vxlan
from support import packets
from support.emulated import FAMILIES
from support.packets import TCP, UDP
from support.pipeline import ALICE, BOB, CAROL, LOOPBACK, REASONS, Outcome, Pipeline
from support.talk import EPOCH, A, B, C, D, End, H, N, Talk, W, allowing, everything, to_port

pytestmark = pytest.mark.bpf

PASSES = None
"""The reason a packet is not dropped for."""
IN, OUT = Direction.INGRESS, Direction.EGRESS
AUDITED = Isolation.AUDITED
HOUR_NS = 3600 * 10**9


@pytest.fixture(params=FAMILIES, ids=lambda six: "ipv6" if six else "ipv4")
def talk(pipeline: Pipeline, request: pytest.FixtureRequest) -> Talk:
    """ALICE and BOB, whom no policy selects."""
    return Talk(pipeline, request.param)


def refusal(outcome: Outcome) -> tuple[DropReason, Seen, int]:
    """Why, at which end, and of which endpoint."""
    (event,) = outcome.drops
    header = event.header
    return REASONS[header.code], Seen(header.direction), header.endpoint_id


# --- reasons to refuse --------------------------------------------------------------------------


def test_whom_no_policy_selects_may_do_everything(talk: Talk) -> None:
    assert [talk.udp(A, B).reason, talk.udp(B, A).reason, talk.udp(A, W).reason] == [PASSES] * 3


def test_what_nothing_allows_is_denied_at_the_sender(talk: Talk) -> None:
    talk.pipeline.write_policy(ALICE.identity, {}, ingress=0)
    assert refusal(talk.udp(A, B)) == (DropReason.POLICY, Seen.EGRESS, ALICE.id)


@pytest.mark.parametrize("sender", [A, C, W, H, N], ids=["here", "another node's", "the world", "the node", "a node"])
def test_what_nothing_allows_is_denied_at_the_receiver(talk: Talk, sender: End) -> None:
    talk.pipeline.write_policy(BOB.identity, {}, egress=0)
    assert refusal(talk.udp(sender, B)) == (DropReason.POLICY, Seen.INGRESS, BOB.id)


def test_isolation_of_one_direction_leaves_the_other_open(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {}, egress=0)
    assert talk.udp(B, A).reason is PASSES


def test_what_is_denied_by_name_is_so_whatever_allows_it(talk: Talk) -> None:
    table = {everything(IN): ALLOW, everything(IN, ALICE.identity): ALLOW, to_port(IN, 53, UDP): DENY}
    talk.pipeline.write_policy(BOB.identity, table)
    assert refusal(talk.udp(A, B)) == (DropReason.POLICY_DENY, Seen.INGRESS, BOB.id)
    assert talk.udp(A, B, ports=(40000, 54)).reason is PASSES


def test_what_is_denied_by_name_is_so_without_isolation(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {to_port(IN, 53, UDP): DENY}, ingress=0, egress=0)
    assert [talk.udp(A, B).reason, talk.udp(A, B, ports=(1, 54)).reason] == [DropReason.POLICY_DENY, PASSES]


@pytest.mark.parametrize("missing", ["subject", "table"])
def test_of_whom_the_agent_has_said_nothing_nothing_passes(talk: Talk, missing: str) -> None:
    talk.pipeline.write_policy(BOB.identity, allowing(everything(IN)))
    spec: MapSpec[SubjectKey, Any] = SUBJECTS if missing == "subject" else POLICIES
    talk.pipeline.maps.of(spec).delete(SubjectKey(BOB.identity))
    assert refusal(talk.udp(A, B)) == (DropReason.NO_POLICY, Seen.INGRESS, BOB.id)
    assert refusal(talk.udp(B, A)) == (DropReason.NO_POLICY, Seen.EGRESS, BOB.id)


def test_a_closed_subject_is_closed_to_what_is_new(talk: Talk) -> None:
    """And to nobody else; what was allowed goes on."""
    talk.pipeline.write_policy(BOB.identity, allowing(everything(IN), everything(OUT)))
    talk.udp(A, B)
    talk.pipeline.write_subject(BOB.identity, flags=SubjectFlag.HAS_TABLE | SubjectFlag.CLOSED)
    new = talk.udp(A, B, ports=(40001, 53))
    assert refusal(new) == (DropReason.POLICY_INCOMPLETE, Seen.INGRESS, BOB.id)
    assert [talk.udp(A, B).reason, talk.udp(A, W).reason] == [PASSES, PASSES]


def test_a_closed_subject_is_closed_to_what_is_asked_about_again(talk: Talk) -> None:
    talk.udp(A, B)
    talk.pipeline.write_subject(BOB.identity, flags=SubjectFlag.CLOSED)
    talk.set_node(epoch=EPOCH + 1)
    assert talk.udp(A, B).reason == DropReason.POLICY_INCOMPLETE


def test_a_peer_that_nobody_has_told_of_yet_is_denied_for_that(talk: Talk) -> None:
    """DAVE's address is within another node's prefix, and that is all that is known."""
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(OUT, CAROL.identity)))
    assert refusal(talk.udp(A, D)) == (DropReason.POLICY_UNKNOWN_PEER, Seen.EGRESS, ALICE.id)


def test_a_peer_that_nobody_has_told_of_yet_may_be_anybody(talk: Talk) -> None:
    """Where it makes no difference who it is, it is not waited for."""
    talk.pipeline.write_policy(ALICE.identity, {to_port(OUT, 53, UDP): ALLOW, to_port(OUT, 22): DENY})
    assert [talk.udp(A, D).reason, talk.tcp(A, D, packets.SYN, ports=(1, 22)).reason] == [
        PASSES,
        DropReason.POLICY_DENY,
    ]


def test_a_fragment_that_comes_before_its_first_is_told_of_its_endpoint(pipeline: Pipeline) -> None:
    talk = Talk(pipeline, six=False)
    packet = packets.ipv4(bytes(16), source=W.ipv4, destination=B.ipv4, protocol=UDP, fragment=4)
    assert refusal(talk.send_packet(W, packet))[::2] == (DropReason.FRAGMENT_NOT_FOUND, BOB.id)


def test_a_connection_that_cannot_be_remembered_does_not_begin(talk: Talk, cache_dir: Path) -> None:
    """Its answers would be refused. A table that forgets has room always, so another kind stands in its place."""
    objects = Compiler(cache_dir).compile_all((*core_programs(), *Vxlan().netloom_bpf_programs()))
    (program,) = (item for item in objects if item.name == "from_container")
    others = [item for item in talk.pipeline.maps.values() if item.spec.name != CONNECTIONS_ANY.name]
    key = ConnectionKey(A.ipv4, B.ipv4, 1, 2, UDP)
    source, destination = A.address(talk.six), B.address(talk.six)
    packet = packets.ip(packets.udp(), source=source, destination=destination, protocol=UDP)
    frame = packets.ethernet(packet, source=ALICE.mac, destination=ALICE.node_mac)
    with create_map(replace(CONNECTIONS_ANY, kind=MapKind.HASH, max_entries=1)) as full:
        full.put(key, ConnectionInfo(0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        with load_program(program, MapSet((*others, full), owner=False)) as loaded:
            verdict = run(loaded, frame, ifindex=LOOPBACK).verdict
    drops = [event.header.code for event in talk.pipeline.events() if event.header.type == EventType.DROP]
    assert (verdict, drops) == (2, [DropReason.CONNECTION_NOT_MADE])


# --- who the peer is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "identity"),
    [(C, CAROL.identity), (W, Reserved.WORLD), (H, Reserved.HOST)],
    ids=["another node's", "the world", "the node"],
)
def test_a_peer_is_known_by_its_identity(talk: Talk, peer: End, identity: int) -> None:
    talk.pipeline.write_policy(BOB.identity, allowing(everything(IN, identity), everything(OUT, identity)))
    talk.pipeline.write_policy(ALICE.identity, {})
    assert [talk.udp(peer, B).reason, talk.udp(B, peer, ports=(1, 2)).reason] == [PASSES, PASSES]
    assert talk.udp(B, A).reason == DropReason.POLICY


def around(end: End, talk: Talk) -> Network:
    return ip_network(f"{end.address(talk.six)}/{48 if talk.six else 24}", strict=False)


def test_the_world_is_known_by_its_narrowest_prefix(talk: Talk) -> None:
    """What the policies say of the wider one as well stands in the narrower one's entries: see the prefixes."""
    wide, narrow = FIRST_PREFIX, FIRST_PREFIX + 1
    talk.pipeline.write_cidr(ip_network("::/0" if talk.six else "0.0.0.0/0"), wide)
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(OUT, wide)))
    outside = talk.udp(A, W).reason
    talk.pipeline.write_cidr(around(W, talk), narrow)
    assert (outside, talk.udp(A, W, ports=(1, 53)).reason) == (PASSES, DropReason.POLICY)
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(OUT, narrow)))
    assert talk.udp(A, W, ports=(2, 53)).reason is PASSES


@pytest.mark.parametrize("peer", [B, C, D, H, N], ids=["here", "another node's", "unknown", "the node", "a node"])
def test_endpoints_and_nodes_are_in_a_prefix_only_where_that_is_meant(talk: Talk, peer: End) -> None:
    number = FIRST_PREFIX
    talk.pipeline.write_cidr(ip_network("::/0" if talk.six else "0.0.0.0/0"), number)
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(OUT, number)))
    kept_out = talk.udp(A, peer).reason
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(OUT, number | ENDPOINTS)))
    assert (kept_out is PASSES, talk.udp(A, peer).reason) == (False, PASSES)
    assert talk.udp(A, W).reason == DropReason.POLICY


@pytest.mark.parametrize("identity", [Reserved.WORLD, Reserved.WORLD_IPV4, Reserved.WORLD_IPV6])
def test_whoever_is_the_worlds_is_in_its_prefixes(talk: Talk, identity: int) -> None:
    talk.pipeline.write_ipcache(around(W, talk), identity=identity)
    talk.pipeline.write_cidr(around(W, talk), FIRST_PREFIX)
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(OUT, FIRST_PREFIX)))
    assert talk.udp(A, W).reason is PASSES


def test_icmp_is_known_by_its_type(talk: Talk) -> None:
    """And a type is no port."""
    ask = 128 if talk.six else 8
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, ask, talk.icmp_protocol)))
    other = 140 if talk.six else 13
    assert [talk.icmp(A, B, kind).reason for kind in (ask, other)] == [PASSES, DropReason.POLICY]
    assert talk.udp(A, B, ports=(1, ask)).reason == DropReason.POLICY


# --- audit --------------------------------------------------------------------------------------


def verdicts(outcome: Outcome) -> list[tuple[PolicyVerdict, Seen]]:
    return [(PolicyVerdict(header.code), Seen(header.direction)) for header in outcome.verdicts]


def test_what_an_audit_policy_would_deny_passes_and_is_told(talk: Talk) -> None:
    table = {everything(IN): AUDIT_DENY}
    talk.pipeline.write_policy(BOB.identity, table, ingress=AUDITED, egress=0)
    outcome = talk.udp(A, B)
    assert (outcome.reason, verdicts(outcome)[-1]) == (PASSES, (PolicyVerdict.AUDITED, Seen.INGRESS))


def test_what_an_audit_policy_does_not_allow_passes_and_is_told(talk: Talk) -> None:
    talk.pipeline.write_policy(ALICE.identity, {to_port(OUT, 53, UDP): AUDIT_ALLOW}, ingress=0, egress=AUDITED)
    outcomes = [talk.udp(A, B, ports=(40000, port)) for port in (54, 53)]
    assert [verdicts(outcome)[0][0] for outcome in outcomes] == [
        PolicyVerdict.AUDITED_BY_DEFAULT,
        PolicyVerdict.ALLOWED,
    ]


def test_an_audit_policy_allows_nothing_that_is_enforced(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {everything(IN): AUDIT_ALLOW})
    assert talk.udp(A, B).reason == DropReason.POLICY


def test_what_passes_under_audit_is_answered(talk: Talk) -> None:
    """Without a word: that of the first packet stands for the connection."""
    talk.pipeline.write_policy(BOB.identity, {everything(IN): AUDIT_DENY}, ingress=AUDITED, egress=Isolation.ENFORCED)
    talk.udp(A, B)
    reply = talk.udp(B, A, ports=(53, 40000))
    assert (reply.reason, reply.verdicts) == (PASSES, [])


# --- what is told -------------------------------------------------------------------------------


def test_each_end_that_was_asked_is_told_of_once(talk: Talk) -> None:
    outcome = talk.udp(A, B)
    told = [(header.direction, header.endpoint_id, header.code, header.service) for header in outcome.verdicts]
    assert told == [(Seen.EGRESS, ALICE.id, 0, 53), (Seen.INGRESS, BOB.id, 0, 53)]
    assert {(header.source_identity, header.destination_identity) for header in outcome.verdicts} == {
        (ALICE.identity, BOB.identity)
    }
    assert talk.udp(A, B).verdicts == []


def test_an_end_on_another_node_is_asked_there(talk: Talk) -> None:
    assert [len(talk.udp(*ends).verdicts) for ends in ((A, C), (C, B), (A, W), (W, B))] == [1, 1, 1, 1]


def test_a_denial_says_what_was_asked_for(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, {})
    (event,) = talk.tcp(A, B, packets.SYN, ports=(40000, 443)).drops
    assert (event.header.service, event.header.tracking) == (443, Tracking.NEW)


def test_the_service_of_a_refused_reply_is_that_of_its_connection(talk: Talk) -> None:
    talk.udp(A, B)
    talk.pipeline.write_policy(ALICE.identity, {})
    talk.set_node(epoch=EPOCH + 1)
    (event,) = talk.udp(B, A, ports=(53, 40000)).drops
    assert (event.header.service, event.header.direction) == (53, Seen.EGRESS)


def exhausted(talk: Talk) -> None:
    """All that may be told within this hour has been."""
    budget = VerdictBudget(time.monotonic_ns() + HOUR_NS, VERDICTS_PER_S)
    talk.pipeline.maps.of(VERDICT_BUDGET).put(Index(0), budget)


def test_what_is_not_told_while_nobody_listens_is_counted(talk: Talk) -> None:
    talk.set_node(trace=0)
    exhausted(talk)
    outcome = talk.udp(A, W)
    assert (outcome.reason, outcome.verdicts) == (PASSES, [])
    assert outcome.counters[DropReason.VERDICT_UNTOLD, Seen.EGRESS].packets == 1


def test_who_listens_is_told_everything(talk: Talk) -> None:
    talk.set_node(trace=TraceFlag.VERDICTS)
    exhausted(talk)
    assert len(talk.udp(A, W).verdicts) == 1


def test_a_new_second_has_new_room(talk: Talk) -> None:
    talk.set_node(trace=0)
    talk.pipeline.maps.of(VERDICT_BUDGET).put(Index(0), VerdictBudget(0, VERDICTS_PER_S))
    assert len(talk.udp(A, W).verdicts) == 1


def test_audits_and_denials_are_told_however_many(talk: Talk) -> None:
    talk.set_node(trace=0)
    exhausted(talk)
    talk.pipeline.write_policy(ALICE.identity, {to_port(OUT, 53, UDP): AUDIT_DENY}, ingress=0, egress=AUDITED)
    talk.pipeline.write_policy(BOB.identity, {}, egress=0)
    assert verdicts(talk.udp(A, W)) == [(PolicyVerdict.AUDITED, Seen.EGRESS)]
    assert talk.udp(W, B).reason == DropReason.POLICY


def test_ports_stand_in_network_order_in_tables(talk: Talk) -> None:
    """A longest prefix counts from the first byte on the wire: these are ports 0x5000 to 0x5fff."""
    range_of_ports = key_of(ANY_PEER, OUT, Service(TCP, 0x5000, 12))
    talk.pipeline.write_policy(ALICE.identity, {range_of_ports: ALLOW})
    reasons = [talk.tcp(A, B, packets.SYN, ports=(1, port)).reason for port in (0x5000, 0x5FFF, 0x6000, 0x0050)]
    assert reasons == [PASSES, PASSES, DropReason.POLICY, DropReason.POLICY]
