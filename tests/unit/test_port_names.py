"""Names of ports: read, and gathered for all endpoints of an identity."""

from __future__ import annotations

import pytest

from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId
from netloom.model.policy import Protocol
from netloom.model.ports import NamedPort
from netloom.policy.port_names import PortNames

A, B = IdentityId(256), IdentityId(257)
HTTP, OTHER_HTTP = NamedPort("http", Protocol.TCP, 80), NamedPort("http", Protocol.TCP, 8080)


def test_a_named_port_is_what_its_text_says() -> None:
    assert NamedPort.parse(str(HTTP)) == HTTP


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http", "NAME:PROTOCOL:PORT"),
        ("http:TCP:", "NAME:PROTOCOL:PORT"),
        ("http:TCP:-1", "NAME:PROTOCOL:PORT"),
        ("http:TCP:٣", "NAME:PROTOCOL:PORT"),
        ("http:TCP:0", "1 to 65535"),
        ("http:TCP:65536", "1 to 65535"),
        ("http:tcp:80", "TCP, UDP, SCTP"),
        ("http:ANY:80", "TCP, UDP, SCTP"),
        ("80:TCP:80", "at least one letter"),
        ("HTTP:TCP:80", "at least one letter"),
        ("a--b:TCP:80", "single inner hyphens"),
        ("a-name-that-is-too-long:TCP:80", "1 to 15"),
        (":TCP:80", "1 to 15"),
    ],
)
def test_what_names_no_port_is_refused_with_what_would(text: str, expected: str) -> None:
    with pytest.raises(Invalid, match=expected):
        NamedPort.parse(text)


def test_endpoints_that_disagree_each_count() -> None:
    names = PortNames()
    names.put("one", A, (HTTP,))
    names.put("two", A, (OTHER_HTTP,))
    assert names.of(A) == {"http": {(Protocol.TCP, 80), (Protocol.TCP, 8080)}}


def test_an_endpoint_that_left_counts_no_more() -> None:
    names = PortNames()
    names.put("one", A, (HTTP,))
    names.put("two", A, (OTHER_HTTP,))
    assert names.put("one", A, ()) == (A,)
    assert names.of(A) == {"http": {(Protocol.TCP, 8080)}}
    assert names.owner("one") is None


def test_an_endpoint_takes_its_ports_to_another_identity() -> None:
    names = PortNames()
    names.put("one", A, (HTTP,))
    assert names.put("one", B, (HTTP,)) == (A, B)
    assert names.of(A) == {}
    assert names.of(B) == {"http": {(Protocol.TCP, 80)}}


def test_an_endpoint_without_ports_changes_nothing() -> None:
    assert PortNames().put("one", A, ()) == ()
