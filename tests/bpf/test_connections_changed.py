"""What becomes of connections when policies change, or who is at their ends."""

from __future__ import annotations

import pytest

from netloom.datapath.connections import ConnectionFlag, Tracking
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import PolicyFlag
from netloom.model.identity import Reserved
from netloom.policy.table import Direction
from support import packets
from support.packets import ACK, SYN, TCP, UDP
from support.pipeline import ALICE, BOB, CAROL, DAVE
from support.talk import EPOCH, A, B, C, D, End, N, Talk, W, allowing, everything, to_port

pytestmark = pytest.mark.bpf

PASSES = None
"""The reason a packet is not dropped for."""
IN, OUT = Direction.INGRESS, Direction.EGRESS


def test_after_a_change_of_policy_a_connection_is_asked_about_once(talk: Talk) -> None:
    """And if it is still allowed, that is no news."""
    talk.handshake()
    talk.set_node(epoch=EPOCH + 1)
    outcome = talk.tcp(A, B, ACK)
    assert (outcome.reason, outcome.verdicts, talk.connection().epoch) == (PASSES, [], EPOCH + 1)
    talk.pipeline.write_policy(ALICE.identity, {})
    assert talk.tcp(A, B, ACK).reason is PASSES


def test_a_reply_asks_about_its_connection_and_not_about_itself(talk: Talk) -> None:
    talk.handshake()
    talk.set_node(epoch=EPOCH + 1)
    assert (talk.answer(), talk.connection().epoch) == (PASSES, EPOCH + 1)


@pytest.mark.parametrize("closed", [ALICE, BOB], ids=["at its source", "at its destination"])
def test_a_change_of_policy_cuts_what_is_no_longer_allowed(talk: Talk, closed: object) -> None:
    talk.handshake()
    talk.pipeline.write_policy(closed.identity, {})  # type: ignore[attr-defined]
    talk.set_node(epoch=EPOCH + 1)
    outcome = talk.tcp(A, B, ACK)
    assert (outcome.reason, outcome.drops[0].header.tracking) == (DropReason.POLICY, Tracking.ESTABLISHED)
    assert talk.answer() == DropReason.POLICY
    assert ConnectionFlag.REFUSED in talk.flags()


def test_connections_may_be_kept_when_policies_change(talk: Talk) -> None:
    talk.handshake()
    talk.pipeline.write_policy(ALICE.identity, {})
    talk.set_node(epoch=EPOCH + 1, flags=PolicyFlag.KEEP_CONNECTIONS)
    assert (talk.tcp(A, B, ACK).reason, talk.answer()) == (PASSES, PASSES)
    assert talk.tcp(A, B, SYN, ports=(40001, 80)).reason == DropReason.POLICY


def test_a_connection_that_was_cut_goes_on_when_it_is_allowed_again(talk: Talk) -> None:
    talk.handshake()
    talk.pipeline.write_policy(ALICE.identity, {})
    talk.set_node(epoch=EPOCH + 1)
    cut = talk.tcp(A, B, ACK).reason
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 80)))
    talk.set_node(epoch=EPOCH + 2)
    assert (cut, talk.tcp(A, B, ACK).reason) == (DropReason.POLICY, PASSES)
    assert ConnectionFlag.REFUSED not in talk.flags()


def test_the_other_end_cannot_revive_a_connection_that_was_cut(talk: Talk) -> None:
    """It may begin connections of its own, but this one is not its own."""
    talk.handshake()
    talk.pipeline.write_policy(ALICE.identity, allowing(everything(IN)))
    talk.pipeline.write_policy(BOB.identity, allowing(everything(IN), everything(OUT)))
    talk.set_node(epoch=EPOCH + 1)
    assert [talk.tcp(A, B, ACK).reason, talk.answer(), talk.tcp(A, B, ACK).reason] == [DropReason.POLICY] * 3
    assert talk.answer(SYN) is PASSES


@pytest.mark.parametrize("changed", [ALICE, BOB], ids=["its source", "its destination"])
def test_a_change_of_identity_is_asked_about(talk: Talk, changed: object) -> None:
    """Whichever way the next packet goes."""
    talk.handshake()
    talk.identities[changed.id] = 399  # type: ignore[attr-defined]
    talk.pipeline.write_policy(399, {})
    assert (talk.answer(), talk.tcp(A, B, ACK).reason) == (DropReason.POLICY, DropReason.POLICY)


def test_a_change_of_a_remote_identity_is_asked_about(talk: Talk) -> None:
    talk.pipeline.write_policy(BOB.identity, allowing(everything(IN, CAROL.identity)))
    ends = (C.address(talk.six), B.address(talk.six))
    sent = packets.ip(packets.udp(), source=ends[0], destination=ends[1], protocol=UDP)
    outcomes = [talk.send_packet(C, sent, identity=identity).reason for identity in (CAROL.identity, 777)]
    assert outcomes == [PASSES, DropReason.POLICY]


def test_a_connection_kept_open_by_nobody_is_not_refreshed_by_what_is_refused(talk: Talk) -> None:
    talk.udp(A, B)
    before = talk.connection().expires_ns
    talk.pipeline.write_policy(ALICE.identity, {})
    talk.set_node(epoch=EPOCH + 1)
    talk.udp(A, B)
    assert (talk.connection().expires_ns, talk.connection().sent_packets) == (before, 1)


def test_what_the_stack_hands_over_in_a_workloads_name_is_not_its_connections(talk: Talk) -> None:
    """From outside anybody can claim an address; that neither passes nor harms the connection."""
    talk.handshake(A, C)
    forged = End(CAROL.ipv4, CAROL.ipv6)
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 80, TCP, CAROL.identity)))
    assert talk.answer(source=forged) == DropReason.POLICY
    assert (talk.answer(source=C), talk.tcp(A, C, ACK).reason) == (PASSES, PASSES)


def test_a_nodes_answer_passes_though_the_stack_hands_it_over_as_the_worlds(talk: Talk) -> None:
    """And what was said of the node is not said of the world."""
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, 80, TCP, Reserved.REMOTE_NODE)))
    talk.handshake(A, N)
    assert talk.connection().destination_identity == Reserved.REMOTE_NODE
    assert talk.tcp(A, W, SYN).reason == DropReason.POLICY


def test_who_proved_an_identity_is_answered_before_the_tables_know_it(talk: Talk) -> None:
    """DAVE's address is not in the ipcache yet; his packets carry his identity."""
    talk.pipeline.write_policy(BOB.identity, allowing(to_port(IN, 53, UDP, DAVE.identity)))
    assert talk.udp(D, B).reason is PASSES
    assert talk.udp(B, D, ports=(53, 40000)).reason is PASSES
    assert talk.connection().source_identity == DAVE.identity
