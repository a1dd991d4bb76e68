"""A walk's packet from the wire: by which uplink it comes, and that the prefilter sees it before anything else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, cast

import pytest

from netloom.agent.walk.ends import from_wire
from netloom.agent.walk.state import AtHook, Walk
from netloom.datapath.reasons import DropReason
from netloom.edge.answers import LinkInfo
from netloom.edge.paths import NoPath, Path, Question, RouteKind
from netloom.model.address import Address
from netloom.model.walk import Ending, Fate
from support import packets

ETH0 = LinkInfo(
    name="eth0",
    ifindex=3,
    mac=bytes.fromhex("020000000001"),
    mtu_bytes=1500,
    kind="",
    up=True,
    noarp=False,
    ethernet=True,
    alias="",
    group=0,
    peer_ifindex=0,
)
ETH1 = replace(ETH0, name="eth1", ifindex=4, mac=bytes.fromhex("020000000002"))
REFUSED = IPv4Address("203.0.113.7")
PATH = Path(kind=RouteKind.UNICAST, ifindex=0, via=None, source=None, mtu_bytes=None)
BY_ETH1, BY_TUNNEL = IPv4Address("198.51.100.7"), IPv4Address("10.244.2.7")
"""Whom the node answers by that device."""


def walk_of_a_node() -> Walk:
    """It refuses one address."""

    def prefiltered(address: Address) -> str:
        return "203.0.113.0/28" if address == REFUSED else ""

    def path(question: Question) -> Path | NoPath:
        ways: dict[Address, int] = {BY_ETH1: ETH1.ifindex, BY_TUNNEL: 9}
        by = ways.get(question.destination)
        return NoPath(errno=101, text="unreachable") if by is None else replace(PATH, ifindex=by)

    facts = SimpleNamespace(
        node=SimpleNamespace(name="n1"), tunnel=None, uplinks=("eth0", "eth1"), prefiltered=prefiltered
    )
    links = {link.ifindex: link for link in (ETH0, ETH1, replace(ETH0, name="loom_vxlan", ifindex=9))}
    around = SimpleNamespace(facts=facts, path=path, link=links.get, named_link={"eth0": ETH0}.get)
    return Walk(cast("Any", around))


def frame_from(source: Address) -> bytes:
    packet = packets.ip(packets.udp(), source=source, destination=IPv4Address("192.0.2.1"), protocol=packets.UDP)
    return packets.ethernet(packet, source=bytes(6), destination=bytes(6))


def test_a_packet_from_a_refused_address_ends_at_the_device() -> None:
    walk = walk_of_a_node()
    ending = from_wire(walk, frame_from(REFUSED))
    assert isinstance(ending, Ending)
    assert (ending.fate, ending.drop and ending.drop.reason) == (Fate.DROPPED, DropReason.PREFILTERED)
    (hop,) = walk.hops
    assert (hop.device, hop.direction, hop.captured) == ("eth0", "ingress", False)
    assert hop.text == "dropped: Prefiltered, since 203.0.113.0/28 is refused"


def test_any_other_goes_on_to_the_devices_programs() -> None:
    walk = walk_of_a_node()
    step = from_wire(walk, frame_from(IPv4Address("203.0.113.77")))
    assert isinstance(step, AtHook)
    assert (step.link, step.hook, step.frame[:6], walk.hops) == (ETH0, "ingress", ETH0.mac, [])


@pytest.mark.parametrize(("source", "link"), [(BY_ETH1, ETH1), (BY_TUNNEL, ETH0)], ids=["by-eth1", "by-a-tunnel"])
def test_it_comes_by_the_uplink_that_leads_back(source: IPv4Address, link: LinkInfo) -> None:
    step = from_wire(walk_of_a_node(), frame_from(source))
    assert isinstance(step, AtHook)
    assert (step.link, step.frame[:6]) == (link, link.mac)


def test_what_is_not_ip_has_no_source_to_be_refused_by() -> None:
    asking = packets.arp(sender=REFUSED, sender_mac=bytes(6), target=IPv4Address("192.0.2.1"))
    frame = packets.ethernet(asking, source=bytes(6), destination=bytes(6), ethertype=packets.ARP)
    assert isinstance(from_wire(walk_of_a_node(), frame), AtHook)
