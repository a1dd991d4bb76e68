"""Header fields by name, and what a hop has changed."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath import craft
from netloom.datapath.headers import header_fields, rewrites
from netloom.model.walk import Rewrite

PORT = 8472
ONE, OTHER = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
PROBE = craft.Probe(source=ip_address("10.0.0.1"), destination=ip_address("10.0.0.2"), protocol="tcp", port=80)
FRAME = craft.ethernet(craft.ip_packet(PROBE), source=ONE, destination=OTHER)
OUTER = craft.Outer(
    source=ip_address("192.168.0.1"),
    destination=ip_address("192.168.0.2"),
    source_mac=OTHER,
    destination_mac=ONE,
    port=PORT,
    vni=300,
)


def test_fields_have_names_and_stand_in_the_order_of_the_frame() -> None:
    assert header_fields(FRAME) == {
        "destination_mac": "02:00:00:00:00:02",
        "source_mac": "02:00:00:00:00:01",
        "source": "10.0.0.1",
        "destination": "10.0.0.2",
        "ttl": "64",
        "bytes": "40",
        "protocol": "tcp",
        "source_port": "40000",
        "destination_port": "80",
    }


def test_a_tunnels_headers_are_the_outer_ones() -> None:
    """Those of the frame inside keep their names, so a hop that wraps it has changed none of them."""
    fields = header_fields(craft.encapsulate(FRAME, OUTER), PORT)
    assert (fields["outer.source"], fields["vni"], fields["source"]) == ("192.168.0.1", "300", "10.0.0.1")


def test_a_hop_that_wraps_a_frame_adds_fields_and_changes_none() -> None:
    found = rewrites(FRAME, craft.encapsulate(FRAME, OUTER), PORT)
    assert {item.before for item in found} == {""}
    assert {item.field for item in found if not item.field.startswith("outer.")} == {"vni"}


def test_only_what_differs_is_a_rewrite() -> None:
    assert rewrites(FRAME, craft.with_hop_taken(FRAME)) == (Rewrite(field="ttl", before="64", after="63"),)
    assert rewrites(FRAME, FRAME) == ()


@pytest.mark.parametrize("port", [0, PORT])
@given(st.binary(max_size=150))
def test_any_bytes_have_the_fields_that_are_there(port: int, raw: bytes) -> None:
    """Never an exception; a value is text that could be printed."""
    for ethertype in (b"", b"\x08\x00", b"\x86\xdd"):
        frame = raw[:12] + ethertype + raw[12:]
        assert all(value.isprintable() for value in header_fields(frame, port).values())
