"""What the node's stack does with a packet, as far as it needs no asking."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.walk.stack import addresses, not_forwarded, refused_at_the_door
from netloom.agent.walk.state import InStack
from netloom.datapath import craft
from netloom.edge.answers import LinkInfo
from netloom.edge.ownership import LINK_GROUP

OWN, OTHER = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
ENDS = {4: (ip_address("10.0.0.1"), ip_address("10.0.0.2")), 6: (ip_address("fd00::1"), ip_address("fd00::2"))}
DEVICE = LinkInfo(
    name="lxc1",
    ifindex=6,
    mac=OWN,
    mtu_bytes=1500,
    kind="veth",
    up=True,
    noarp=False,
    ethernet=True,
    alias="",
    group=LINK_GROUP,
    peer_ifindex=2,
)


def frame(version: int = 4, *, to: bytes = OWN, ttl: int = 64, size: int = 1000) -> bytes:
    source, destination = ENDS[version]
    probe = craft.Probe(source=source, destination=destination, ttl=ttl, size_bytes=size)
    return craft.ethernet(craft.ip_packet(probe), source=OTHER, destination=to)


def refused(link: LinkInfo, packet: bytes) -> str:
    return refused_at_the_door(InStack(link=link, frame=packet), addresses(packet), ("loom_host",))


def test_what_no_program_has_sent_up_is_stopped_by_the_guard() -> None:
    """A workload's device whose program somebody took off."""
    assert refused(DEVICE, frame()).startswith("the guard")


def test_the_door_and_other_peoples_devices_are_open() -> None:
    assert refused(replace(DEVICE, name="loom_host"), frame()) == ""
    assert refused(replace(DEVICE, name="eth0", group=0), frame()) == ""


@pytest.mark.parametrize(("to", "taken"), [(OWN, True), (OTHER, False), (b"\xff" * 6, True)])
def test_a_frame_for_another_device_is_not_taken(to: bytes, taken: bool) -> None:
    assert (refused(replace(DEVICE, group=0), frame(to=to)) == "") == taken


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("ttl", "size", "word"),
    [(64, 1000, ""), (1, 1000, "TTL exceeded"), (2, 1000, ""), (64, 1500, ""), (64, 1501, "larger than 1500")],
)
def test_a_router_sends_back_what_is_too_old_or_too_big(version: int, ttl: int, size: int, word: str) -> None:
    assert not_forwarded(frame(version, ttl=ttl, size=size), 1500).startswith(word)
    assert bool(not_forwarded(frame(version, ttl=ttl, size=size), 1500)) == bool(word)


def test_what_may_be_cut_is_not_too_big() -> None:
    """Without the "don't fragment" bit, as tunnels send."""
    packet = frame(size=2000)
    assert not_forwarded(packet[:20] + b"\0" + packet[21:], 1500) == ""


@given(st.binary(max_size=80))
def test_any_bytes_have_ends_or_none(raw: bytes) -> None:
    assert addresses(raw) is None or len(raw) >= 34
