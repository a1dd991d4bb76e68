"""What the host's stack sends to workloads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netloom.datapath.maps import Counter
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.model.address import Address
from netloom.model.identity import Reserved
from support import packets
from support.pipeline import BOB, CAROL, DAVE, GATEWAYS, HOST_MAC, NODE, WORLD, Pipeline

pytestmark = pytest.mark.bpf

REDIRECT = 7


def from_host(destination: Address, source: Address | None = None, ttl: int = 64) -> bytes:
    """A frame as the stack sends it on loom_host, from the gateway unless told otherwise."""
    own = GATEWAYS[0] if destination.version == 4 else GATEWAYS[1]
    packet = packets.ip(packets.udp(), source=source or own, destination=destination, protocol=packets.UDP, ttl=ttl)
    return packets.ethernet(packet, source=HOST_MAC, destination=HOST_MAC)


@pytest.mark.parametrize("destination", [BOB.ipv4, BOB.ipv6], ids=str)
@pytest.mark.parametrize("ttl", [64, 1])
def test_a_workload_of_this_node_gets_it_with_its_ttl_untouched(
    pipeline: Pipeline, destination: Address, ttl: int
) -> None:
    """The stack has taken the hop."""
    sent = from_host(destination, ttl=ttl)
    outcome = pipeline.run("from_host", sent)
    assert outcome.verdict == REDIRECT
    assert outcome.packet == BOB.mac + BOB.node_mac + sent[12:]
    assert outcome.counters[DropReason.FORWARDED, Direction.INGRESS] == Counter(1, len(sent))


@pytest.mark.parametrize("destination", [CAROL.ipv4, CAROL.ipv6, DAVE.ipv4], ids=str)
def test_a_workload_of_another_node_gets_it_by_the_overlay(pipeline: Pipeline, destination: Address) -> None:
    sent = from_host(destination)
    pipeline.write_node(replace(NODE, trace=1))
    outcome = pipeline.run("from_host", sent)
    assert (outcome.verdict, outcome.packet) == (REDIRECT, sent)
    assert outcome.observations == [Observation.FROM_HOST, Observation.TO_OVERLAY]


@pytest.mark.parametrize(
    ("source", "identity"),
    [
        (GATEWAYS[0], Reserved.HOST),
        (WORLD[0], Reserved.WORLD),
        (CAROL.ipv4, Reserved.WORLD),
        (BOB.ipv4, Reserved.WORLD),
    ],
    ids=["host", "world", "remote-workload", "local-workload"],
)
def test_only_the_nodes_own_addresses_are_the_host(pipeline: Pipeline, source: Address, identity: Reserved) -> None:
    """A workload's address that comes through the stack came from outside: it proves nothing."""
    pipeline.write_node(replace(NODE, trace=1))
    outcome = pipeline.run("from_host", from_host(BOB.ipv4, source))
    assert {event.header.source_identity for event in outcome.events} == {identity}
    assert outcome.events[-1].header.endpoint_id == BOB.id


@pytest.mark.parametrize(("destination", "excess"), [(BOB.ipv4, 0), (CAROL.ipv4, 1)], ids=["pod", "tunnel"])
def test_a_tunnel_may_take_less_than_a_workload_of_this_node(
    pipeline: Pipeline, destination: Address, excess: int
) -> None:
    """Where nodes are reached both natively and by tunnel."""
    pipeline.write_node(replace(NODE, mtu_bytes=1500, tunnel_mtu_bytes=1450))
    packet = packets.ip(bytes(1431), source=GATEWAYS[0], destination=destination, protocol=packets.UDP)
    done = pipeline.run("from_host", packets.ethernet(packet, source=HOST_MAC, destination=HOST_MAC))
    assert done.reason == (DropReason.TOO_BIG if excess else None)
