"""Which device leads to a peer, and when a peer is cut off: decisions alone, and the bytes they are made from."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom_bgp.rtnl_wire import (
    RTM_DELLINK,
    RTM_NEWLINK,
    Device,
    Way,
    link_request,
    messages,
    read_link,
    read_way,
    way_request,
)
from netloom_bgp.ways import Change, Ways

PEER, OTHER = ip_address("192.0.2.2"), ip_address("203.0.113.1")
ETH0, ETH1 = Device(ifindex=3, name="eth0"), Device(ifindex=4, name="eth1")
NEAR = Way(ifindex=3, on_link=True)
ROUTED = Way(ifindex=4, on_link=False)
UP, RUNNING = 0x1, 0x10000


def failed(device: Device, trouble: str = "has no carrier") -> Device:
    return Device(ifindex=device.ifindex, name=device.name, trouble=trouble)


def ways(way: Way | None = NEAR, device: Device | None = ETH0) -> Ways:
    """One peer whose way is known, and another that is always reached by eth1."""
    made = Ways((PEER, OTHER))
    list(made.found(PEER, way, device))
    list(made.found(OTHER, ROUTED, ETH1))
    return made


def test_a_failed_device_cuts_off_those_it_leads_to() -> None:
    trouble = "device eth0 has no carrier"
    assert list(ways().fails(failed(ETH0))) == [Change(address=PEER, device="eth0", trouble=trouble, turned=True)]


def test_bad_news_that_is_known_is_no_news() -> None:
    known = ways()
    list(known.fails(failed(ETH0)))
    assert list(known.fails(failed(ETH0))) == []


def test_another_trouble_is_told_and_turns_nothing() -> None:
    known = ways()
    list(known.fails(failed(ETH0)))
    assert [change.turned for change in known.fails(failed(ETH0, "is gone"))] == [False]


def test_good_news_of_a_device_waits_for_the_way() -> None:
    known = ways()
    list(known.fails(failed(ETH0)))
    assert list(known.fails(ETH0)) == []
    found = list(known.found(PEER, NEAR, ETH0))
    assert found == [Change(address=PEER, device="eth0", trouble="", turned=True)]


@pytest.mark.parametrize("way", [ROUTED, None])
def test_a_neighbour_stays_with_its_device(way: Way | None) -> None:
    known = ways()
    assert known.keeps(PEER, way)
    (change,) = known.found(PEER, way, ETH0)
    assert (change.device, change.trouble) == ("eth0", "device eth0 is not on its network any more")


def test_a_neighbour_moves_to_another_device_of_its_network() -> None:
    (change,) = ways().found(PEER, Way(ifindex=4, on_link=True), ETH1)
    assert (change.device, change.trouble, change.turned) == ("eth1", "", False)


def test_one_behind_routers_moves_with_its_route() -> None:
    (change,) = ways().found(OTHER, Way(ifindex=3, on_link=False), ETH0)
    assert (change.device, change.trouble) == ("eth0", "")


def test_one_behind_routers_that_no_route_leads_to_keeps_the_state_of_its_device() -> None:
    known = ways()
    assert known.keeps(OTHER, None)
    assert list(known.found(OTHER, None, ETH1)) == []


def test_a_peer_that_nothing_ever_led_to_is_not_cut_off() -> None:
    assert list(Ways((PEER,)).found(PEER, None, None)) == []


def link(kind: int = RTM_NEWLINK, *, family: int = socket.AF_UNSPEC, flags: int = UP | RUNNING) -> Device | None:
    body = struct.pack("=BxHiII", family, 1, 3, flags, 0) + struct.pack("=HH", 9, 3) + b"eth0\0\0\0\0"
    return read_link(kind, body)


@pytest.mark.parametrize(
    ("flags", "trouble"), [(UP | RUNNING, ""), (UP, "has no carrier"), (RUNNING, "is switched off")]
)
def test_flags_say_what_troubles_a_device(flags: int, trouble: str) -> None:
    assert link(flags=flags) == Device(ifindex=3, name="eth0", trouble=trouble)


def test_a_device_that_left_is_gone() -> None:
    assert link(RTM_DELLINK) == failed(ETH0, "is gone")


def test_a_port_that_left_its_bridge_is_not_gone() -> None:
    """The bridge's own family says so."""
    assert link(RTM_DELLINK, family=socket.AF_BRIDGE) is None


def route(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    packed = b"".join(struct.pack("=HH", 4 + len(value), number) + value for number, value in attributes)
    return struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 2, 0, kind, 0) + packed


OIF = (4, struct.pack("=I", 3))
GATEWAY = (5, ip_address("192.0.2.254").packed)
IPV6_GATEWAY = (18, struct.pack("=H", 10) + ip_address("fe80::1").packed)
SOURCE = (7, ip_address("192.0.2.1").packed)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (route(1, OIF, SOURCE), Way(ifindex=3, on_link=True, source=ip_address("192.0.2.1"))),
        (route(2, OIF), Way(ifindex=3, on_link=True)),
        (route(1, OIF, GATEWAY), Way(ifindex=3, on_link=False)),
        (route(1, OIF, IPV6_GATEWAY), Way(ifindex=3, on_link=False)),
        (route(7, OIF), None),
        (route(1), None),
    ],
)
def test_an_answer_about_a_route_says_how_it_goes(body: bytes, expected: Way | None) -> None:
    assert read_way(body) == expected


@pytest.mark.parametrize("request_bytes", [way_request(PEER, 7), link_request(3, 7)])
def test_a_request_is_one_whole_message(request_bytes: bytes) -> None:
    ((_, sequence, body),) = messages(request_bytes)
    assert (sequence, len(body) + 16) == (7, len(request_bytes))


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(raw: bytes) -> None:
    for kind, _, body in messages(raw):
        read_link(kind, body)
    read_link(RTM_NEWLINK, raw)
    read_way(raw)
