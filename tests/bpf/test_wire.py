"""What made-up runs cannot show: packets through real devices, as a workload with root can make them."""

from __future__ import annotations

import socket
import struct

import pytest

from netloom.datapath.reasons import DropReason
from support import packets
from support.packets import ETHERNET_BYTES, ICMP6, VLAN
from support.pipeline import ALICE, BOB, GATEWAYS, MTU_BYTES, sent_by, to
from support.wire import WireNode, Workload

pytestmark = pytest.mark.kernel


@pytest.fixture
def alice(wire: WireNode) -> Workload:
    return wire.add(10)


def own(workload: Workload, frame: bytes) -> bytes:
    """A frame made in ALICE's name, with the MACs the real workload has."""
    return workload.pod.node_mac + workload.pod.mac + frame[12:]


@pytest.mark.parametrize("frame", [to(BOB.ipv4), to(BOB.ipv6)], ids=["ipv4", "ipv6"])
def test_a_header_cut_short_on_the_wire_is_invalid(wire: WireNode, alice: Workload, frame: bytes) -> None:
    """Down to an Ethernet header with nothing behind it."""
    whole = own(alice, frame)
    for length in range(ETHERNET_BYTES + 1, len(whole)):
        alice.inject(whole[:length])
        assert wire.reason_of(whole[:length]) == DropReason.INVALID_PACKET


def test_headers_outside_of_the_linear_part_are_read(wire: WireNode, alice: Workload) -> None:
    """A frame of which the kernel has only the Ethernet header at hand is judged like any other."""
    page_bytes = 4096
    alice.netns.run("ip", "link", "set", "eth0", "mtu", str(3 * page_bytes))
    frame = own(alice, to(BOB.ipv4, packets.udp(bytes(2 * page_bytes))))
    alice.inject_offloaded(frame, linear_bytes=ETHERNET_BYTES)
    assert wire.reason_of(frame) == DropReason.TOO_BIG


def test_a_vlan_tag_that_the_kernel_has_put_aside_is_seen(wire: WireNode, alice: Workload) -> None:
    """On real devices the tag is no longer in the frame when the program runs."""
    frame = own(alice, to(BOB.ipv4))
    alice.inject(frame[:12] + struct.pack(">HH", VLAN, 5) + frame[12:])
    assert wire.reason_of(frame) == DropReason.VLAN


def test_an_answer_that_finds_no_room_is_a_drop(wire: WireNode, alice: Workload) -> None:
    """A solicitation whose checksum is to go far behind the end of the answer: the kernel refuses to cut it."""
    question = packets.icmp6(
        135, b"\0\0\0\0", BOB.ipv6.packed + b"\x01\x01" + alice.pod.mac + bytes(300), ends=(ALICE.ipv6, BOB.ipv6)
    )
    packet = packets.ipv6(question, source=ALICE.ipv6, destination=BOB.ipv6, protocol=ICMP6, hop_limit=255)
    frame = own(alice, sent_by(ALICE, packet))
    alice.inject_offloaded(frame, checksum=(300, 2))
    assert wire.reason_of(frame) == DropReason.WRITE_ERROR


@pytest.mark.parametrize("version", [4, 6])
def test_a_real_stack_resolves_everybody_by_the_host_side(alice: Workload, version: int) -> None:
    target = GATEWAYS[0] if version == 4 else GATEWAYS[1]
    alice.netns.run("ping", "-c", "1", "-W", "2", str(target))
    mac = alice.pod.node_mac.hex(":")
    assert f"lladdr {mac}" in alice.netns.run("ip", f"-{version}", "neigh", "show", str(target))


@pytest.mark.parametrize("version", [4, 6])
def test_a_real_stack_learns_the_overlays_mtu(wire: WireNode, alice: Workload, version: int) -> None:
    """A workload that has raised its own MTU is told by ICMP, and keeps to it."""
    bob = wire.add(11).pod
    target = bob.ipv4 if version == 4 else bob.ipv6
    alice.netns.run("ip", "link", "set", "eth0", "mtu", "9000")
    alice.netns.attempt("ping", "-M", "do", "-c", "1", "-W", "1", "-s", "2000", str(target))
    assert f"mtu {MTU_BYTES}" in alice.netns.run("ip", "route", "get", str(target))


@pytest.mark.parametrize("version", [4, 6])
def test_a_real_stack_hears_of_the_end_of_a_hop_limit(wire: WireNode, alice: Workload, version: int) -> None:
    bob = wire.add(11).pod
    target, gateway = (bob.ipv4, GATEWAYS[0]) if version == 4 else (bob.ipv6, GATEWAYS[1])
    answer = alice.netns.attempt("ping", "-n", "-t", "1", "-c", "1", "-W", "2", str(target)).stdout
    assert f"From {gateway}" in answer
    assert ("Time to live exceeded" if version == 4 else "Hop limit") in answer


def test_a_frame_to_a_strange_mac_still_goes_by_its_address(wire: WireNode, alice: Workload) -> None:
    """The kernel has marked it as somebody else's; the data path readdresses it, and marks it anew."""
    bob = wire.add(11)
    with bob.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((str(bob.pod.ipv4), 7))
        alice.inject(bytes.fromhex("020000009999") + own(alice, to(BOB.ipv4))[6:])
        assert receiver.recv(100) == b"payload"
