"""When an attachment is not in the kernel what it was made to be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from netloom.agent.condition import Expectation, faults
from netloom.edge.answers import LinkInfo
from netloom.edge.inspection import WorkloadState
from netloom.edge.ownership import QUEUE_HANDLE
from netloom.edge.queues import QueueInfo
from netloom.model.endpoint import Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.identity import IdentityId
from netloom.plan.shaping import Queue

V4, V6 = IPv4Address("10.244.1.2"), IPv6Address("fd00::2")
GATEWAYS = (IPv4Address("10.244.1.1"), IPv6Address("fd00::1"))
MAC = bytes.fromhex("0200000000aa")
HOST = LinkInfo(
    name="lxc1",
    ifindex=7,
    mac=bytes(6),
    mtu_bytes=65535,
    kind="veth",
    up=True,
    noarp=False,
    ethernet=True,
    alias="netloom:n1",
    group=0,
    peer_ifindex=2,
)
INSIDE = replace(HOST, name="eth0", ifindex=2, mac=MAC, mtu_bytes=1450, alias="", peer_ifindex=7)
QUEUE = Queue(rate_bytes_ps=125_000, burst_bytes=131_072, waiting_bytes=131_072)
TBF = QueueInfo(ifindex=7, kind="tbf", handle=QUEUE_HANDLE, rate_bytes_ps=125_000, waiting_bytes=131_072)
GOOD = WorkloadState(
    host=HOST, program_id=40, queue=TBF, inside=INSIDE, addresses=frozenset((V4, V6)), gateways=frozenset(GATEWAYS)
)
EXPECTED = Expectation(program_id=40, addresses=frozenset((V4, V6)), gateways=GATEWAYS, mtu_bytes=1450, ingress=QUEUE)
ENDPOINT = Endpoint(
    id=EndpointId(1),
    attachment=Attachment(container_id="c1", ifname="eth0", netns="/n"),
    ipv4=V4,
    ipv6=V6,
    ifindex=IfIndex(7),
    mac=MAC,
    node_mac=bytes(6),
    identity=IdentityId(256),
    labels=frozenset(),
    state=EndpointState.READY,
)


def test_an_interface_as_it_was_made_has_no_fault() -> None:
    assert faults(ENDPOINT, EXPECTED, GOOD) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": None}, "is gone"),
        ({"host": replace(HOST, up=False)}, "is down"),
        ({"program_id": None}, "no program of Netloom"),
        ({"program_id": 41}, "has program 41, expected 40"),
        ({"queue": None}, "has queue none, expected tbf of 125000 bytes/s"),
        ({"queue": replace(TBF, kind="noqueue", handle=0)}, "has queue noqueue, expected"),
        ({"queue": replace(TBF, rate_bytes_ps=125_001)}, "has queue tbf, expected"),
        ({"inside": None}, 'the container has no interface "eth0"'),
        ({"inside": replace(INSIDE, peer_ifindex=9)}, "is not the other end"),
        ({"inside": replace(INSIDE, up=False)}, "is down"),
        ({"inside": replace(INSIDE, mac=bytes(6))}, "MAC address 00:00:00:00:00:00, expected 02:00:00:00:00:aa"),
        ({"inside": replace(INSIDE, mtu_bytes=9000)}, "MTU of 9000 bytes, expected 1450"),
        ({"addresses": frozenset((V4,))}, "has 10.244.1.2, expected 10.244.1.2 and fd00::2"),
        ({"addresses": frozenset()}, "has none"),
        ({"gateways": frozenset(GATEWAYS[:1])}, "default routes by 10.244.1.1, expected"),
    ],
)
def test_each_fault_is_a_sentence(change: dict[str, Any], words: str) -> None:
    (found,) = faults(ENDPOINT, EXPECTED, replace(GOOD, **change))
    assert words in found


def test_a_queue_that_nobody_asked_for_is_no_fault() -> None:
    assert faults(ENDPOINT, replace(EXPECTED, ingress=None), GOOD) == ()


def test_what_a_chained_plugin_added_is_no_fault() -> None:
    found = replace(GOOD, addresses=GOOD.addresses | {IPv4Address("192.0.2.7")})
    assert faults(ENDPOINT, EXPECTED, found) == ()


def test_a_family_the_endpoint_does_not_have_needs_no_route() -> None:
    only = replace(EXPECTED, addresses=frozenset((V4,)))
    found = replace(GOOD, addresses=frozenset((V4,)), gateways=frozenset(GATEWAYS[:1]))
    assert faults(replace(ENDPOINT, ipv6=None), only, found) == ()
