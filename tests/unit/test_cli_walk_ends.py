"""The words of ``netctl walk``: who is meant by SRC and DST."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netloom.cli.errors import Ambiguous
from netloom.cli.walk.ends import Site, Start, Words, find_destination, find_start, source_of
from netloom.model.errors import Invalid, NotFound
from support.walks import endpoint, node

SITES = {
    "node1": Site(node=node("node1", 1), endpoints=(endpoint("web", 1, 2), endpoint("db", 1, 3, namespace="shop"))),
    "node2": Site(
        node=node("node2", 2),
        endpoints=(endpoint("db", 2, 2, namespace="test"), endpoint("six", 2, 4, ipv4=False)),
    ),
}


def start(source: str, destination: str = "web", *, forged: str = "", preferred: str = "") -> Start:
    words = Words(source=source, destination=destination, forged=forged, preferred=preferred)
    return find_start(words, SITES)


@pytest.mark.parametrize(
    ("source", "site", "kind", "number"),
    [
        ("web", "node1", "endpoint", 2),
        ("shop/db", "node1", "endpoint", 3),
        ("test/db", "node2", "endpoint", 2),
        ("ep:4", "node2", "endpoint", 4),
        ("10.244.1.3", "node1", "endpoint", 3),
        ("fd00:10:244:2::4", "node2", "endpoint", 4),
        ("192.168.77.12", "node2", "host", 0),
        ("10.244.1.1", "node1", "host", 0),
        ("world", "node1", "world", 0),
        ("198.51.100.7", "node1", "world", 0),
    ],
)
def test_who_sends_is_found_by_name_number_or_address(source: str, site: str, kind: str, number: int) -> None:
    found = start(source)
    assert (found.site, found.kind, found.endpoint) == (site, kind, number)


def test_a_name_that_two_nodes_have_is_asked_about() -> None:
    with pytest.raises(Ambiguous, match="node1, node2"):
        start("db")


def test_a_node_chosen_by_name_has_its_own_pods_meant() -> None:
    assert start("db", preferred="node2").site == "node2"


def test_a_name_nobody_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="pods are db, six, web"):
        start("nobody")


def test_the_host_is_one_of_several_and_must_be_chosen() -> None:
    with pytest.raises(Ambiguous, match="--node NAME"):
        start("host")
    assert start("host", preferred="node2").site == "node2"


@pytest.mark.parametrize("words", [{"source": "web@10.9.9.9"}, {"source": "web", "forged": "10.9.9.9"}])
def test_a_forged_source_is_claimed_by_the_pod_that_is_named(words: dict[str, str]) -> None:
    found = start(**words)
    assert (found.endpoint, found.source) == (2, ip_address("10.9.9.9"))


def test_a_forged_source_that_is_no_address_is_refused() -> None:
    with pytest.raises(Invalid, match='"nonsense" is no IP address'):
        start("web@nonsense")


def test_the_world_comes_to_the_node_that_has_the_destination() -> None:
    assert start("world", "six").site == "node2"


@pytest.mark.parametrize(
    ("destination", "address"),
    [
        ("10.244.1.99", "10.244.1.99"),
        ("test/db", "10.244.2.2"),
        ("six", None),
        ("host", "10.244.1.1"),
        ("world", "203.0.113.1"),
    ],
)
def test_who_is_sent_to_has_an_address_of_the_senders_family(destination: str, address: str | None) -> None:
    words = Words(source="web", destination=destination)
    if address is None:
        with pytest.raises(Invalid, match="no IPv4 address"):
            find_destination(words, SITES, find_start(words, SITES))
    else:
        assert find_destination(words, SITES, find_start(words, SITES))[1] == ip_address(address)


@pytest.mark.parametrize("words", [{"source": "web", "six": True}, {"source": "six"}, {"source": "fd00:10:244:1::2"}])
def test_ipv6_is_taken_where_it_is_asked_for_or_all_there_is(words: dict[str, str]) -> None:
    asked = Words(destination="world", **words)  # type: ignore[arg-type]
    assert find_destination(asked, SITES, find_start(asked, SITES))[1] == ip_address("2001:db8::1")


def test_the_world_sends_from_an_address_set_aside_for_documentation() -> None:
    words = Words(source="world", destination="web")
    assert source_of(find_start(words, SITES), ip_address("10.244.1.2")) == ip_address("203.0.113.1")


def test_ends_of_two_families_are_refused() -> None:
    words = Words(source="web@10.9.9.9", destination="fd00::1")
    with pytest.raises(Invalid, match="one is IPv4, the other IPv6"):
        source_of(find_start(words, SITES), ip_address("fd00::1"))
