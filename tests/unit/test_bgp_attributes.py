"""Path attributes as BGP writes them, as people read them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.attributes import read_attribute
from netloom_bgp.paths import view

ORIGIN, AS_PATH, NEXT_HOP, MED, LOCAL_PREFERENCE, COMMUNITIES, MP_REACH = 1, 2, 3, 4, 5, 8, 14


def attribute(kind: int, value: bytes) -> bytes:
    return bytes((0x40, kind, len(value))) + value


def address(text: str) -> bytes:
    return ip_address(text).packed


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4) for value in values)


def reach(*hops: str) -> bytes:
    found = b"".join(map(address, hops))
    return b"\x00\x02\x01" + bytes((len(found),)) + found + b"\x00" + bytes((32,)) + address("2001:db8::")[:4]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (ORIGIN, b"\x01", ("origin", "egp")),
        (ORIGIN, b"\x09", ("origin", "incomplete")),
        (AS_PATH, b"", ("as_path", "")),
        (AS_PATH, b"\x02\x02" + numbers(65002, 4200000000), ("as_path", "65002 4200000000")),
        (AS_PATH, b"\x02\x01" + numbers(1) + b"\x01\x02" + numbers(2, 3), ("as_path", "1 {2 3}")),
        (NEXT_HOP, address("192.0.2.1"), ("next_hops", ("192.0.2.1",))),
        (NEXT_HOP, bytes(4), ("next_hops", ())),
        (MED, numbers(7), ("med", 7)),
        (LOCAL_PREFERENCE, numbers(100), ("local_preference", 100)),
        (COMMUNITIES, numbers(65000 << 16 | 1, 65000 << 16 | 2), ("communities", ("65000:1", "65000:2"))),
        (MP_REACH, reach("2001:db8::1"), ("next_hops", ("2001:db8::1",))),
        (MP_REACH, reach("2001:db8::1", "fe80::1"), ("next_hops", ("2001:db8::1",))),
        (MP_REACH, reach("::"), ("next_hops", ())),
    ],
)
def test_an_attribute_has_a_name_and_a_value(kind: int, value: bytes, expected: tuple[str, Any]) -> None:
    assert read_attribute(attribute(kind, value)) == expected


def test_a_long_attribute_has_its_length_in_two_bytes() -> None:
    value = numbers(*range(100))
    raw = b"\x50" + bytes((COMMUNITIES,)) + len(value).to_bytes(2) + value
    assert read_attribute(raw)[1][-1] == "0:99"


@given(st.binary(max_size=80))
def test_whatever_stands_there_is_read_or_left_out(raw: bytes) -> None:
    """Never an error: one strange route must not hide all others."""
    name, _ = read_attribute(raw)
    assert isinstance(name, str)


def test_a_route_without_attributes_has_none() -> None:
    """And one of this node's own has no peer."""
    found = view("10.1.0.0/24", pb.Path(neighbor_ip="<nil>"), 5.5)
    assert (found.next_hops, found.peer, found.as_path, found.origin, found.med) == ((), "", "", "incomplete", None)
