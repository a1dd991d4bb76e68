"""Entries of the connection maps, read from many bytes at once."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath import connection_records as records
from netloom.datapath.connections import ConnectionFlag, ConnectionInfo, ConnectionKey
from netloom.datapath.layout import encode
from netloom.model.connection import Connection, ConnectionState

F, S = ConnectionFlag, ConnectionState
NOW_NS = 1_000_000_000_000
KEY = ConnectionKey(ip_address("10.0.0.1"), ip_address("fd00::2"), 80, 40000, 6)
INFO = ConnectionInfo(
    expires_ns=NOW_NS + 2_500_000_000,
    sent_packets=1,
    sent_bytes=60,
    received_packets=2,
    received_bytes=120,
    source_identity=300,
    destination_identity=301,
    epoch=7,
    service=80,
    flags=F.BEGUN_BY_HIGH,
)


def read(info: ConnectionInfo, key: ConnectionKey = KEY) -> Connection:
    (one,) = records.read(encode(key), encode(info), NOW_NS)
    return one


def test_the_source_is_whoever_began() -> None:
    found = read(INFO)
    assert (str(found.source), found.source_port) == ("fd00::2", 40000)
    assert (str(found.destination), found.destination_port) == ("10.0.0.1", 80)
    turned = read(replace(INFO, flags=0))
    assert (turned.source, turned.source_port) == (found.destination, 80)


def test_everything_else_stands_as_it_is() -> None:
    found = read(INFO)
    assert (found.sent_packets, found.sent_bytes, found.received_packets, found.received_bytes) == (1, 60, 2, 120)
    assert (found.source_identity, found.destination_identity, found.service, found.protocol) == (300, 301, 80, 6)
    assert found.expires_in_s == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("flags", "protocol", "state"),
    [
        (0, 6, S.OPENING),
        (F.ANSWERED, 6, S.ANSWERED),
        (F.ANSWERED | F.ESTABLISHED, 6, S.ESTABLISHED),
        (F.ANSWERED | F.ESTABLISHED | F.CLOSED_BY_SOURCE, 6, S.CLOSING),
        (F.ESTABLISHED | F.CLOSED_BY_DESTINATION, 6, S.CLOSING),
        (F.CLOSED_BY_SOURCE | F.CLOSED_BY_DESTINATION, 6, S.CLOSED),
        (F.ESTABLISHED | F.RESET, 6, S.RESET),
        (0, 17, S.OPENING),
        (F.ANSWERED, 17, S.ESTABLISHED),
        (F.ANSWERED | F.REFUSED, 1, S.ESTABLISHED),
    ],
)
def test_flags_are_a_state(flags: int, protocol: int, state: ConnectionState) -> None:
    found = read(replace(INFO, flags=flags), replace(KEY, protocol=protocol))
    assert (found.state, found.refused) == (state, bool(flags & F.REFUSED))


@given(st.lists(st.integers(0, 2 * NOW_NS), max_size=20))
def test_what_has_expired_is_found_by_place(expiries: list[int]) -> None:
    infos = [replace(INFO, expires_ns=at) for at in expiries]
    keys = [encode(replace(KEY, low_port=number)) for number in range(len(infos))]
    gone = records.expired(b"".join(map(encode, infos)), NOW_NS)
    assert gone == [number for number, at in enumerate(expiries) if at <= NOW_NS]
    assert records.keys_at(b"".join(keys), gone) == [keys[number] for number in gone]
    assert records.count(b"".join(keys)) == len(keys)


@given(
    st.builds(ConnectionKey, st.ip_addresses(), st.ip_addresses(), *[st.integers(0, 65535)] * 2, st.integers(0, 255)),
    st.builds(
        ConnectionInfo, *[st.integers(0, 2**64 - 1)] * 5, *[st.integers(0, 2**32 - 1)] * 3, *[st.integers(0, 65535)] * 2
    ),
)
def test_no_entry_is_unreadable(key: ConnectionKey, info: ConnectionInfo) -> None:
    """And fields are where the kernel's programs write them."""
    found = read(info, key)
    assert {found.source_port, found.destination_port} == {key.low_port, key.high_port}
    assert (found.protocol, found.service, found.sent_bytes) == (key.protocol, info.service, info.sent_bytes)
    assert (found.source_identity, found.destination_identity) == (info.source_identity, info.destination_identity)
