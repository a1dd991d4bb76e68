"""Notices of the kernel: which of them concern this node, and that no bytes are too strange."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.notices import Aspect, Known, Notice, everything, read_firewall_notices, read_route_notices
from netloom.edge.messages import (
    address_header,
    attribute,
    link_header,
    number,
    route_header,
    text,
    traffic_header,
)

HOST, LXC, FOREIGN, UPLINK, ETH = 3, 7, 9, 11, 13
KNOWN = Known(
    host_devices=frozenset({HOST}),
    workload_devices=frozenset({LXC}),
    tables=frozenset({"netloom_a", "netloom_a_guard"}),
    prefiltered_devices=frozenset({UPLINK}),
    uplinks=frozenset({ETH}),
    uplinks_away=frozenset({"eth9"}),
)
OF_HOST = Notice(frozenset({Aspect.HOST, Aspect.ROUTES}))
ROUTES = Notice(frozenset({Aspect.ROUTES}))
OF_PREFILTER = Notice(frozenset({Aspect.PREFILTER}))
OF_LXC = Notice(devices=frozenset({LXC}))
NOTHING = Notice()
NEWLINK, DELLINK, NEWADDR, DELADDR, NEWROUTE, DELROUTE = 16, 17, 20, 21, 24, 25
DELQDISC, DELTFILTER, NEWNETCONF = 37, 45, 80
REPLACE = 0x100


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    raw = struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body
    return raw + b"\0" * (-len(raw) & 3)


def route(protocol: int) -> bytes:
    return route_header(family=2, prefix_len=24, protocol=protocol)


def settings(ifindex: int) -> bytes:
    return b"\2\0\0\0" + attribute(1, struct.pack("=i", ifindex))


def traffic(ifindex: int) -> bytes:
    return traffic_header(index=ifindex, handle=0, parent=0)


CASES = [
    (DELLINK, link_header(index=HOST), 0, OF_HOST),
    (NEWLINK, link_header(index=LXC), 0, OF_LXC),
    (NEWLINK, link_header(index=FOREIGN), 0, NOTHING),
    (NEWLINK, link_header(index=UPLINK), 0, OF_PREFILTER),
    (NEWADDR, address_header(2, 32, UPLINK), 0, NOTHING),
    (DELADDR, address_header(2, 32, HOST), 0, OF_HOST),
    (NEWADDR, address_header(2, 32, FOREIGN), 0, NOTHING),
    (NEWLINK, link_header(index=ETH), 0, OF_HOST | Notice(devices=frozenset({ETH}))),
    (NEWADDR, address_header(2, 32, ETH), 0, Notice(devices=frozenset({ETH}))),
    (DELTFILTER, traffic(ETH), 0, Notice(devices=frozenset({ETH}))),
    (NEWLINK, link_header(index=FOREIGN) + text(3, "eth9"), 0, OF_HOST | OF_PREFILTER),
    (NEWLINK, link_header(index=FOREIGN) + text(3, "eth90"), 0, NOTHING),
    (DELROUTE, route(76), 0, ROUTES),
    (DELROUTE, route(3), 0, NOTHING),
    (NEWROUTE, route(3), 0, NOTHING),
    (NEWROUTE, route(3), REPLACE, ROUTES),
    (DELTFILTER, traffic(LXC), 0, OF_LXC),
    (DELTFILTER, traffic(HOST), 0, Notice(devices=frozenset({HOST}))),
    (DELQDISC, traffic(FOREIGN), 0, NOTHING),
    (NEWNETCONF, settings(-1), 0, OF_HOST),
    (NEWNETCONF, settings(HOST), 0, OF_HOST),
    (NEWNETCONF, settings(FOREIGN), 0, NOTHING),
    (2, b"\0" * 20, 0, NOTHING),
]


@pytest.mark.parametrize(("kind", "body", "flags", "expected"), CASES)
def test_a_notice_says_what_to_look_at(kind: int, body: bytes, flags: int, expected: Notice) -> None:
    """What is nobody's business here is nothing."""
    assert read_route_notices(message(kind, body, flags), KNOWN) == expected


def test_a_route_of_another_table_is_nobodys_business() -> None:
    """Ours stand in the main one."""
    other = bytearray(route(76))
    other[4] = 100
    assert read_route_notices(message(DELROUTE, bytes(other)), KNOWN) == NOTHING


def test_all_messages_of_a_datagram_count() -> None:
    """The kernel puts many into one."""
    datagram = message(NEWLINK, link_header(index=LXC)) + message(DELROUTE, route(76))
    assert read_route_notices(datagram, KNOWN) == OF_LXC | ROUTES


@pytest.mark.parametrize(
    ("kind", "attributes", "expected"),
    [
        (10 << 8 | 2, text(1, "netloom_a"), True),
        (10 << 8 | 8, text(1, "netloom_a_guard") + text(2, "prerouting"), True),
        (10 << 8 | 2, text(1, "somebodys"), False),
        (10 << 8 | 15, number(1, 77), False),
        (1 << 8, text(1, "netloom_a"), False),
    ],
)
def test_only_our_tables_concern_the_firewall(kind: int, attributes: bytes, expected: bool) -> None:
    """Others change theirs all day."""
    found = read_firewall_notices(message(kind, b"\1\0\0\0" + attributes), KNOWN)
    assert found == (Notice(frozenset({Aspect.FIREWALL})) if expected else NOTHING)


def test_when_notices_were_lost_everything_is_looked_at() -> None:
    """Nobody knows what they said."""
    assert everything(KNOWN) == Notice(frozenset(Aspect), frozenset({HOST, LXC, ETH}))


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(raw: bytes) -> None:
    """Never an error."""
    assert isinstance(read_route_notices(raw, KNOWN) | read_firewall_notices(raw, KNOWN), Notice)


@given(st.sampled_from([NEWLINK, NEWADDR, NEWROUTE, DELTFILTER, NEWNETCONF, 10 << 8]), st.binary(max_size=60))
def test_no_message_is_too_strange(kind: int, body: bytes) -> None:
    """Cut off anywhere."""
    raw = message(kind, body)
    assert isinstance(read_route_notices(raw, KNOWN) | read_firewall_notices(raw, KNOWN), Notice)
