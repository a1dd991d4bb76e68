"""A walk's packet from the wire meets the prefilter before anything else of the node."""

from __future__ import annotations

from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, cast

from netloom.agent.walk.ends import from_wire
from netloom.agent.walk.state import AtHook, Walk
from netloom.datapath.reasons import DropReason
from netloom.edge.answers import LinkInfo
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
REFUSED = IPv4Address("203.0.113.7")


def walk_of_a_node() -> Walk:
    """It refuses one address."""

    def prefiltered(address: Address) -> str:
        return "203.0.113.0/28" if address == REFUSED else ""

    node = SimpleNamespace(name="n1")
    facts = SimpleNamespace(node=node, tunnel=None, underlay_device="eth0", prefiltered=prefiltered)
    return Walk(cast("Any", SimpleNamespace(facts=facts, named_link=lambda name: ETH0 if name == "eth0" else None)))


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


def test_what_is_not_ip_has_no_source_to_be_refused_by() -> None:
    asking = packets.arp(sender=REFUSED, sender_mac=bytes(6), target=IPv4Address("192.0.2.1"))
    frame = packets.ethernet(asking, source=bytes(6), destination=bytes(6), ethertype=packets.ARP)
    assert isinstance(from_wire(walk_of_a_node(), frame), AtHook)
