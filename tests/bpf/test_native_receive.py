"""What underlay devices receive and send natively: who is believed, what is left alone, and the guard against leaks."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netloom.bpf.programs import fill_slots
from netloom.bpf.testrun import run
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.datapath.registry import CallSlot, NodeFlag
from netloom.model.address import Address
from netloom.model.identity import Reserved
from netloom.policy.table import Direction as PolicyDirection
from support import packets
from support.emulated import fewer
from support.native import KNOWING, OTHER_NODE, coming, make_native, of_world
from support.packets import ETHERNET_BYTES, ICMP, TCP, UDP, VLAN
from support.pipeline import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    GATEWAYS,
    LOOPBACK,
    NODE,
    SLOTS,
    UNDERLAY,
    Pipeline,
    sent_by,
    to,
)
from support.talk import allowing, to_port

pytestmark = pytest.mark.bpf

LEFT, SHOT, REDIRECT = -1, 2, 7
MARK_SENT = 0x6C6F6F6D
BOBS = pytest.mark.parametrize("bob", [BOB.ipv4, BOB.ipv6], ids=["ipv4", "ipv6"])


@pytest.fixture
def native(pipeline: Pipeline) -> Pipeline:
    make_native(pipeline)
    return pipeline


@BOBS
def test_a_pod_of_another_node_is_known_by_its_address_and_delivered(native: Pipeline, bob: Address) -> None:
    """With its TTL untouched: the hop was taken where it was sent."""
    native.write_node(replace(NODE, trace=1))
    sent = coming(bob, ttl=1)
    done = native.run("from_netdev", sent)
    assert (done.verdict, done.packet) == (REDIRECT, BOB.mac + BOB.node_mac + sent[12:])
    assert done.observations == [Observation.FROM_NETWORK, Observation.TO_ENDPOINT]
    assert {event.header.source_identity for event in done.events} == {CAROL.identity}
    assert done.counters.keys() == {(DropReason.FORWARDED, Direction.INGRESS)}


@BOBS
def test_policies_are_asked_about_it(native: Pipeline, bob: Address) -> None:
    native.write_policy(BOB.identity, allowing(to_port(PolicyDirection.INGRESS, 53, UDP)))
    reasons = [
        native.run("from_netdev", coming(bob, payload=packets.udp(destination_port=port))).reason for port in (53, 54)
    ]
    assert reasons == [None, DropReason.POLICY]


@pytest.mark.parametrize(("bob", "dave"), [(BOB.ipv4, DAVE.ipv4), (BOB.ipv6, DAVE.ipv6)], ids=["ipv4", "ipv6"])
def test_of_a_pod_not_heard_of_yet_the_prefix_is_believed_and_policies_are_closed(
    native: Pipeline, bob: Address, dave: Address
) -> None:
    native.write_policy(BOB.identity, {})
    closed = native.run("from_netdev", coming(bob, dave)).reason
    native.write_subject(BOB.identity)
    assert (closed, native.run("from_netdev", coming(bob, dave)).verdict) == (DropReason.POLICY_UNKNOWN_PEER, REDIRECT)


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("senders", [OTHER_NODE, KNOWING], ids=["node", "native-cidr"])
def test_nodes_and_native_prefixes_are_delivered_with_their_identity(
    native: Pipeline, senders: tuple[Address, Address], family: int
) -> None:
    bob: Address = (BOB.ipv4, BOB.ipv6)[family]
    done = native.run("from_netdev", coming(bob, senders[family]))
    expected = Reserved.REMOTE_NODE if senders is OTHER_NODE else Reserved.WORLD
    assert done.verdict == REDIRECT
    assert [event.header.source_identity for event in done.events] == [expected]


def test_a_pod_that_is_answered_by_a_tunnel_is_believed_too(native: Pipeline) -> None:
    """While a cluster changes its mode the two ways of a connection may differ."""
    native.write_ipcache(ip_network(CAROL.ipv4), identity=CAROL.identity, tunnel_endpoint=UNDERLAY)
    assert native.run("from_netdev", coming(BOB.ipv4)).verdict == REDIRECT


@pytest.mark.parametrize("source", [ALICE.ipv4, ALICE.ipv6, GATEWAYS[0], GATEWAYS[1]], ids=str)
def test_an_address_of_this_node_that_comes_from_outside_is_forged(native: Pipeline, source: Address) -> None:
    bob: Address = BOB.ipv4 if source.version == 4 else BOB.ipv6
    done = native.run("from_netdev", coming(bob, source))
    assert (done.verdict, done.reason) == (SHOT, DropReason.INVALID_SOURCE_IP)


def test_an_address_of_this_nodes_pods_that_nobody_has_is_forged(native: Pipeline) -> None:
    """It may be the one that has just gone, or the next."""
    done = native.run("from_netdev", coming(BOB.ipv4, BOB.ipv4 + 100))
    assert done.reason == DropReason.INVALID_SOURCE_IP


def tagged(frame: bytes) -> bytes:
    return frame[:12] + struct.pack(">HH", VLAN, 5) + frame[12:]


LEFT_ALONE = {
    "world": coming(BOB.ipv4, of_world(4)),
    "world6": coming(BOB.ipv6, of_world(6)),
    "to-the-node": coming(GATEWAYS[0]),
    "to-the-node6": coming(GATEWAYS[1]),
    "to-nobody": coming(BOB.ipv4 + 100),
    "to-the-world": coming(of_world(4)),
    "not-our-frame": BOB.mac + coming(BOB.ipv4)[6:],
    "a-group": b"\xff" * 6 + coming(BOB.ipv4)[6:],
    "tagged": tagged(coming(BOB.ipv4)),
    "arp": packets.ethernet(bytes(28), source=CAROL.mac, destination=bytes(6), ethertype=packets.ARP),
}


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_what_is_none_of_ours_is_left_as_it_came(native: Pipeline, case: str) -> None:
    sent = LEFT_ALONE[case]
    done = native.run("from_netdev", sent)
    assert (done.verdict, done.packet, done.counters, done.events) == (LEFT, sent, {}, ())


def test_a_node_that_is_reached_by_tunnel_is_answered_by_the_stack_and_so_left_to_it(native: Pipeline) -> None:
    native.write_ipcache(ip_network(OTHER_NODE[0]), identity=Reserved.REMOTE_NODE)
    assert native.run("from_netdev", coming(BOB.ipv4, OTHER_NODE[0])).verdict == LEFT


def test_everything_is_left_before_the_node_is_ready(native: Pipeline) -> None:
    native.write_node(replace(NODE, host_ifindex=0))
    assert native.run("from_netdev", coming(BOB.ipv4)).verdict == LEFT


def test_a_believed_senders_contradictory_headers_are_refused(native: Pipeline) -> None:
    frame = bytearray(coming(BOB.ipv4))
    frame[ETHERNET_BYTES] = 0x44
    assert native.run("from_netdev", bytes(frame)).reason == DropReason.INVALID_PACKET


def test_later_fragments_follow_their_first(native: Pipeline) -> None:
    native.write_policy(BOB.identity, allowing(to_port(PolicyDirection.INGRESS, 53, UDP)))

    def piece(fragment: int) -> bytes:
        body = packets.udp(bytes(24), destination_port=53)
        whole = packets.ipv4(body, source=CAROL.ipv4, destination=BOB.ipv4, protocol=UDP, fragment=fragment)
        return packets.ethernet(whole, source=CAROL.node_mac, destination=bytes(6))

    found = [native.run("from_netdev", piece(at)).reason for at in (185, packets.MORE_FRAGMENTS, 185)]
    assert found == [DropReason.FRAGMENT_NOT_FOUND, None, None]


def test_an_error_about_a_pods_packet_passes_with_its_connection(native: Pipeline) -> None:
    """From a node on its way; isolated as the pod is, nothing else of that node's does."""
    asking = to_port(PolicyDirection.EGRESS, 80, TCP)
    native.write_policy(ALICE.identity, allowing(asking))
    asked = to(CAROL.ipv4, packets.tcp(destination_port=80, flags=packets.SYN), protocol=TCP)
    native.run("from_container", asked)
    told = packets.icmp(3, 4, payload=asked[ETHERNET_BYTES:])
    assert native.run("from_netdev", coming(ALICE.ipv4, OTHER_NODE[0], told, protocol=ICMP)).verdict == REDIRECT
    assert native.run("from_netdev", coming(ALICE.ipv4, OTHER_NODE[0])).reason == DropReason.POLICY


# --- two modes at one device --------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("from_netdev", "from_underlay"), ("from_underlay", "from_netdev")])
def test_each_of_two_modes_takes_what_the_other_leaves_whichever_is_first(
    native: Pipeline, first: str, second: str
) -> None:
    slots = {slot: native.programs[name] for slot, name in SLOTS.items()}
    fill_slots(native.maps, slots | {CallSlot.NEXT_AT_UNDERLAY: native.programs[second]})
    assert native.run(first, coming(BOB.ipv4)).verdict == REDIRECT
    nobodys = coming(of_world(4))
    done = native.run(first, nobodys)
    assert (done.verdict, done.packet, done.events) == (LEFT, nobodys, ())


# --- the guard ----------------------------------------------------------------------------------


@pytest.fixture
def masquerading(native: Pipeline) -> Pipeline:
    native.write_node(replace(NODE, flags=NodeFlag.MASQUERADE))
    return native


@pytest.mark.parametrize("world", [of_world(4), of_world(6)], ids=["ipv4", "ipv6"])
def test_a_pods_address_does_not_leave_the_cluster(masquerading: Pipeline, world: Address) -> None:
    done = masquerading.run("to_netdev", to(world))
    assert (done.verdict, done.reason) == (SHOT, DropReason.UNMASQUERADED)
    (event,) = done.events
    assert (event.header.endpoint_id, event.header.destination_identity) == (ALICE.id, Reserved.WORLD)


@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_a_pod_answers_the_world_with_the_address_it_was_asked_by(masquerading: Pipeline, family: int) -> None:
    """And begins nothing with it."""
    world, own = of_world(family), ALICE.ipv4 if family == 4 else ALICE.ipv6
    masquerading.run("from_host", coming(own, world, packets.udp(source_port=4000, destination_port=53)))
    answer = to(world, packets.udp(source_port=53, destination_port=4000))
    assert masquerading.run("to_netdev", answer).verdict == LEFT
    done = masquerading.run("to_netdev", to(world, packets.udp(source_port=53, destination_port=4001)))
    assert done.reason == DropReason.UNMASQUERADED


UNGUARDED = {
    "native": to(CAROL.ipv4),
    "native6": to(CAROL.ipv6),
    "native-prefix": to(DAVE.ipv4),
    "native-cidr": to(KNOWING[0]),
    "node's": coming(of_world(4), GATEWAYS[0]),
    "somebody's": coming(of_world(4)),
    "arp": sent_by(ALICE, packets.arp(sender=ALICE.ipv4, sender_mac=ALICE.mac, target=BOB.ipv4), packets.ARP),
}


@pytest.mark.parametrize("case", UNGUARDED)
def test_everything_else_leaves(masquerading: Pipeline, case: str) -> None:
    done = masquerading.run("to_netdev", UNGUARDED[case])
    assert (done.verdict, done.counters) == (LEFT, {})


def test_without_masquerading_nothing_is_guarded(native: Pipeline) -> None:
    assert native.run("to_netdev", to(of_world(4))).verdict == LEFT


def test_what_we_send_ourselves_is_not_looked_at_again(masquerading: Pipeline) -> None:
    """It is told by its mark."""
    program = masquerading.programs["to_netdev"]
    assert run(program, to(of_world(4)), ifindex=LOOPBACK, mark=MARK_SENT).verdict == LEFT


# --- hostile bytes ------------------------------------------------------------------------------

fuzzing = settings(
    max_examples=fewer(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
changes = st.lists(st.tuples(st.integers(12, 70), st.integers(0, 255)), max_size=4)


@BOBS
@fuzzing
@given(bytes_at=changes, cut=st.integers(0, 30))
def test_whatever_comes_is_left_as_it_is_delivered_or_accounted_for(
    native: Pipeline, bob: Address, bytes_at: list[tuple[int, int]], cut: int
) -> None:
    frame = bytearray(coming(bob, payload=packets.udp(bytes(30))))
    for at, value in bytes_at:
        frame[at : at + 1] = bytes([value])
    sent = bytes(frame[: len(frame) - cut])
    done = native.run("from_netdev", sent)
    assert (done.verdict, len(done.drops)) in ((LEFT, 0), (REDIRECT, 0), (SHOT, 1))
    assert done.verdict != LEFT or done.packet == sent
