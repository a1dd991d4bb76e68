"""What ``POST /v1/walk`` takes."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.walk.walker import SaidWords, read_walk
from netloom.model.errors import Invalid

PACKET = {"destination": "10.0.0.2"}


def body(**fields: object) -> bytes:
    return json.dumps({"start": "endpoint", "endpoint": 3, "packet": PACKET} | fields).encode()


def test_a_packet_without_a_source_leaves_it_to_the_sender() -> None:
    request = read_walk(body())
    assert request.probe is not None
    assert (request.endpoint, request.source, request.probe.destination) == (3, None, ip_address("10.0.0.2"))


def test_a_sender_may_forbid_its_stack_to_cut() -> None:
    probes = [read_walk(body(packet=PACKET | more)).probe for more in ({}, {"dont_fragment": True})]
    assert [probe and probe.dont_fragment for probe in probes] == [False, True]


def test_a_frame_from_the_wire_is_taken_as_it_is() -> None:
    request = read_walk(json.dumps({"start": "wire", "frame": "ab" * 60}).encode())
    assert (request.frame, request.probe) == (b"\xab" * 60, None)


def test_what_the_client_says_is_bytes() -> None:
    request = read_walk(body(request={"protocol": "memcached", "data": "get \x80\r\n"}, proxied=True))
    assert (request.request, request.is_proxied) == (SaidWords("memcached", b"get \x80\r\n"), True)


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (body(request={"protocol": "http", "data": "\u0100"}), "expected those up to 0xff"),
        (body(request={"data": ""}), "protocol"),
        (body(start="moon"), "start"),
        (body(packet=None), "needs a packet"),
        (body(packet={}), "destination"),
        (body(packet={"destination": "nowhere"}), '"nowhere" is no IP address'),
        (body(packet=PACKET | {"source": "fd00::1"}), "one is IPv4, the other IPv6"),
        (body(packet=PACKET | {"port": 70000}), "port 70000"),
        (body(packet=PACKET | {"ttl": -1}), "ttl -1"),
        (body(packet=PACKET | {"size_bytes": 9000}), "9000 bytes"),
        (body(packet=PACKET | {"protocol": "sctp"}), "protocol"),
        (body(start="world"), "needs a source"),
        (body(start="wire", frame="zz"), "hexadecimal"),
        (body(start="wire", frame="ab" * 14), "14 bytes"),
        (body(start="wire", frame="00" * 12 + "0800" + "45" * 19), "33 bytes cannot be walked, expected 34"),
        (body(start="wire", frame="ab" * 9000), "9000 bytes"),
        (body(more=1), "more"),
    ],
)
def test_a_bad_walk_is_refused_by_name(raw: bytes, names: str) -> None:
    """The sentence names what is wrong."""
    with pytest.raises(Invalid, match=names):
        read_walk(raw)


@given(st.binary(max_size=100))
def test_garbage_is_refused(raw: bytes) -> None:
    """Never another exception."""
    with pytest.raises(Invalid):
        read_walk(raw)
