"""Walks and policies: which were asked, what they say, and that an answer is part of what it answers."""

from __future__ import annotations

from typing import Literal

import pytest

from netloom.agent.walk.answers import answered
from netloom.agent.walk.calls import stages
from netloom.bpf.twin import Arrival, Twins
from netloom.datapath import craft, registry
from netloom.datapath.reasons import DropReason
from netloom.policy.table import DENY, Direction
from support import packets
from support.pipeline import ALICE, BOB, LOOPBACK, TUNNEL_PORT, Pipeline, sent_by, to
from support.talk import allowing, everything, to_port
from support.walking import WALKS, arriving, reason_of

pytestmark = [pytest.mark.bpf, pytest.mark.skipif(not WALKS, reason="the kernel takes no programs of walks")]

SHOT, REDIRECT = 2, 7


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The twins are those of all tests."""


def test_a_walk_tells_which_policies_were_asked_and_what_they_say(pipeline: Pipeline, twins: Twins) -> None:
    """Tables in a map are told by their shape, and by the subject that was looked up before."""
    pipeline.write_policy(ALICE.identity, allowing(to_port(Direction.EGRESS, 80)))
    pipeline.write_policy(BOB.identity, {everything(Direction.INGRESS): DENY})
    found = twins.run("from_container", arriving(to(BOB.ipv4, packets.tcp(), protocol=packets.TCP)))
    specs = {spec.name: spec for spec in registry.MAPS}
    texts = [call.text for stage in stages(found.calls, specs, str) for call in stage.calls]
    asked = [text for text in texts if text.startswith(("subjects", "policies", "policy", "connections"))]
    assert asked == [
        f"connections_tcp[{ALICE.ipv4} port 40000, {BOB.ipv4} port 80, protocol 6] has nothing",
        f"subjects[{ALICE.identity}] = ingress enforced, egress enforced, has table",
        f"policies[{ALICE.identity}] found",
        "policy[egress peer 0 protocol 6 port 80/16] = allow",
        f"policy[egress peer {BOB.identity} protocol 6 port 80/16] has nothing",
        f"subjects[{BOB.identity}] = ingress enforced, egress enforced, has table",
        f"policies[{BOB.identity}] found",
        "policy[ingress peer 0 protocol 6 port 80/16] = deny",
        f"policy[ingress peer {ALICE.identity} protocol 6 port 80/16] has nothing",
    ]
    assert reason_of(found) == DropReason.POLICY_DENY


def test_a_walk_is_of_a_packet_that_nobody_has_met(pipeline: Pipeline, twins: Twins) -> None:
    """Whatever connections there are: and none is made by it."""
    frame = to(BOB.ipv4)
    pipeline.run("from_container", frame)
    pipeline.write_policy(ALICE.identity, {})
    real, walked = pipeline.run("from_container", frame), twins.run("from_container", arriving(frame))
    assert (real.reason, reason_of(walked)) == (None, DropReason.POLICY)
    assert len(pipeline.connections()) == 1


PROBES = [
    pytest.param(protocol, six, id=f"{protocol} over IPv{6 if six else 4}")
    for protocol in ("tcp", "udp", "icmp")
    for six in (False, True)
]


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "denied"])
@pytest.mark.parametrize(("protocol", "six"), PROBES)
def test_an_answer_is_walked_as_part_of_the_connection_it_answers_in(
    pipeline: Pipeline, twins: Twins, protocol: Literal["tcp", "udp", "icmp"], six: bool, allowed: bool
) -> None:
    """BOB asks and ALICE answers: who may begin nothing. It passes as what it answers would."""
    bob, alice = (BOB.ipv6, ALICE.ipv6) if six else (BOB.ipv4, ALICE.ipv4)
    pipeline.write_policy(ALICE.identity, allowing(everything(Direction.INGRESS)) if allowed else {})
    answer = craft.Probe(source=alice, destination=bob, protocol=protocol, port=80, reply=True)
    frame = sent_by(ALICE, craft.ip_packet(answer))
    assert reason_of(twins.run("from_container", arriving(frame))) == DropReason.POLICY
    arrival = Arrival(frame=frame, ifindex=LOOPBACK, entries=answered(frame, TUNNEL_PORT))
    found = twins.run("from_container", arrival)
    assert (reason_of(found), found.verdict) == ((None, REDIRECT) if allowed else (DropReason.POLICY, SHOT))


@pytest.mark.parametrize("frame", [to(BOB.ipv4)[:30], sent_by(ALICE, bytes(46), packets.ARP)], ids=["cut", "ARP"])
def test_what_answers_nothing_brings_no_connection(frame: bytes) -> None:
    assert answered(frame, TUNNEL_PORT) == ()
