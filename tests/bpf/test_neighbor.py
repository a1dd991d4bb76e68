"""ARP and neighbour discovery: a workload finds everybody behind the host side of its own interface."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from netloom.datapath.maps import Counter
from netloom.datapath.reasons import Direction, DropReason
from netloom.model.address import Address
from support import packets
from support.packets import ARP
from support.pipeline import ALICE, BOB, GATEWAYS, WORLD, Pipeline, sent_by

pytestmark = pytest.mark.bpf

REDIRECT, SHOT = 7, 2
BROADCAST = b"\xff" * 6
LINK_LOCAL = IPv6Address("fe80::a")


def arp_frame(**field: Address | bytes | int) -> bytes:
    """ALICE's request for BOB, save what is given."""
    given = {"sender": ALICE.ipv4, "sender_mac": ALICE.mac, "target": BOB.ipv4} | field
    payload = packets.arp(**given)  # type: ignore[arg-type]
    return packets.ethernet(payload, source=ALICE.mac, destination=BROADCAST, ethertype=ARP)


def nd_frame(
    *, source: IPv6Address = ALICE.ipv6, target: Address = BOB.ipv6, mac: bytes | None = ALICE.mac, **field: int
) -> bytes:
    """ALICE's solicitation for BOB, save what is given."""
    return sent_by(ALICE, packets.solicitation(source=source, target=target, mac=mac, **field))


@pytest.mark.parametrize("target", [GATEWAYS[0], BOB.ipv4, WORLD[0]], ids=str)
def test_an_arp_request_is_answered_with_the_host_side(pipeline: Pipeline, target: IPv4Address) -> None:
    outcome = pipeline.run("from_container", arp_frame(target=target))
    answer = packets.arp(sender=target, sender_mac=ALICE.node_mac, target=ALICE.ipv4, target_mac=ALICE.mac, operation=2)
    assert outcome.verdict == REDIRECT
    assert outcome.packet == packets.ethernet(answer, source=ALICE.node_mac, destination=ALICE.mac, ethertype=ARP)


def test_an_answer_counts_as_forwarded_both_ways(pipeline: Pipeline) -> None:
    sent = arp_frame()
    one = Counter(1, len(sent))
    assert pipeline.run("from_container", sent).counters == {
        (DropReason.FORWARDED, Direction.EGRESS): one,
        (DropReason.FORWARDED, Direction.INGRESS): one,
    }


@pytest.mark.parametrize("target", [GATEWAYS[1], BOB.ipv6, WORLD[1], ip_address("fe80::1")], ids=str)
@pytest.mark.parametrize("source", [ALICE.ipv6, LINK_LOCAL], ids=str)
@pytest.mark.parametrize("mac", [ALICE.mac, None], ids=["with-option", "without"])
def test_a_solicitation_is_answered_with_the_host_side(
    pipeline: Pipeline, target: IPv6Address, source: IPv6Address, mac: bytes | None
) -> None:
    """From a router, solicited and overriding, from the target itself, with a checksum that holds."""
    outcome = pipeline.run("from_container", nd_frame(source=source, target=target, mac=mac))
    flags = b"\xe0\0\0\0"
    option = b"\x02\x01" + ALICE.node_mac
    message = packets.icmp6(136, flags, target.packed + option, ends=(target, source))
    packet = packets.ipv6(message, source=target, destination=source, protocol=packets.ICMP6, hop_limit=255)
    assert outcome.verdict == REDIRECT
    assert outcome.packet == packets.ethernet(packet, source=ALICE.node_mac, destination=ALICE.mac)


CASES = {
    "arp-for-itself": (arp_frame(target=ALICE.ipv4), DropReason.MULTICAST),
    "arp-probe": (arp_frame(sender=ip_address("0.0.0.0")), DropReason.MULTICAST),
    "arp-answer": (arp_frame(operation=2), DropReason.MULTICAST),
    "arp-as-somebody-else": (arp_frame(sender=BOB.ipv4, target=GATEWAYS[0]), DropReason.INVALID_SOURCE_IP),
    "arp-with-another-mac": (arp_frame(sender_mac=BOB.mac), DropReason.INVALID_SOURCE_MAC),
    "arp-cut-short": (arp_frame()[:-1], DropReason.INVALID_PACKET),
    "arp-of-another-hardware": (arp_frame()[:15] + b"\x06" + arp_frame()[16:], DropReason.INVALID_PACKET),
    "nd-for-itself": (nd_frame(target=ALICE.ipv6), DropReason.MULTICAST),
    "nd-from-nobody": (nd_frame(source=IPv6Address("::"), target=ALICE.ipv6, mac=None), DropReason.MULTICAST),
    "nd-as-somebody-else": (nd_frame(source=BOB.ipv6), DropReason.INVALID_SOURCE_IP),
    "nd-through-a-router": (nd_frame(hop_limit=254), DropReason.INVALID_PACKET),
    "nd-of-another-code": (nd_frame(code=1), DropReason.INVALID_PACKET),
    "nd-for-a-group": (nd_frame(target=ip_address("ff02::1")), DropReason.INVALID_PACKET),
    "nd-cut-short": (
        sent_by(
            ALICE,
            packets.ipv6(
                b"\x87" + bytes(22), source=ALICE.ipv6, destination=BOB.ipv6, protocol=packets.ICMP6, hop_limit=255
            ),
        ),
        DropReason.INVALID_PACKET,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_not_answered(pipeline: Pipeline, name: str) -> None:
    frame, reason = CASES[name]
    outcome = pipeline.run("from_container", frame)
    assert (outcome.verdict, outcome.reason) == (SHOT, reason)


def test_a_workload_without_ipv6_address_still_resolves_by_its_link_local_one(pipeline: Pipeline) -> None:
    assert pipeline.run("from_container", nd_frame(source=LINK_LOCAL)).verdict == REDIRECT
