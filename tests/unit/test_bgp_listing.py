"""Which routes people are shown: all of a table in order, page by page, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.model.errors import Invalid
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.listing import MAX_LIMIT, Listing, asked
from netloom_bgp.places import network_of, place_of, text_of

networks = st.one_of(
    st.builds(
        lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda number, length: ip_network((number >> (128 - length) << (128 - length), length)),
        st.integers(2**32, 2**128 - 1),
        st.integers(0, 90),
    ),
)


def destination(prefix: str, *peers: str, best: bool = True) -> pb.Destination:
    return pb.Destination(prefix=prefix, paths=[pb.Path(neighbor_ip=peer, best=best) for peer in peers or ("a",)])


def listed(table: Sequence[pb.Destination], **parameters: str) -> tuple[list[str], int, str]:
    """Peers of the routes that are shown, how many there are, and where the page ends."""
    listing = Listing(asked({"view": "available", **parameters}))
    for some in (table[:3], table[3:]):
        listing.take(some)
    paths, last = listing.page()
    return [path.neighbor_ip for _, path in paths], listing.total, last


TABLE = [destination(f"10.{number}.0.0/16", str(number)) for number in (3, 1, 4, 0, 2)]


def test_routes_are_in_order_and_no_more_than_asked_for() -> None:
    """Those that are not shown are counted."""
    assert listed(TABLE, limit="2") == (["0", "1"], 5, "10.1.0.0/16")


def test_what_follows_a_page_is_asked_for_by_its_last_prefix() -> None:
    assert listed(TABLE, limit="3", after="10.1.0.0/16") == (["2", "3", "4"], 5, "")


def test_routes_to_one_prefix_stay_on_one_page() -> None:
    """The next one could not be asked for otherwise."""
    table = [destination("10.1.0.0/16", "a", "b"), destination("10.2.0.0/16", "c"), destination("10.1.0.0/16", "d")]
    assert listed(table, limit="1") == (["a", "b", "d"], 4, "10.1.0.0/16")


def test_only_what_lies_in_a_prefix_is_shown_and_counted() -> None:
    """The prefix itself, and parts of it; nothing wider, and nothing of the other IP version."""
    table = [destination(prefix, prefix) for prefix in ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16")]
    table.append(destination("a01::/16", "six"))
    assert listed(table, prefix="10.1.0.0/16") == (["10.1.0.0/16", "10.1.2.0/24"], 2, "")


def test_of_the_best_routes_those_of_a_peer_are_shown_alone() -> None:
    """A peer's routes are told by the table elsewhere."""
    table = [
        destination("10.1.0.0/16", "a"),
        destination("10.2.0.0/16", "b"),
        destination("10.3.0.0/16", "a", best=False),
    ]
    assert listed(table, view="best", peer="a") == (["a"], 1, "")


@given(st.lists(networks, unique=True, max_size=60), st.integers(1, 7))
def test_all_pages_together_are_the_table_in_order(prefixes: list[object], limit: int) -> None:
    """Whatever the order it came in."""
    table = [destination(str(prefix), str(prefix)) for prefix in prefixes]
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        shown, total, last = listed(table, limit=str(limit), **after)
        assert total == len(table)
        found += shown
        if not last:
            break
        after = {"after": last}
    ordered = sorted((ip_network(str(prefix)) for prefix in prefixes), key=lambda one: (one.version, one))
    assert found == [str(prefix) for prefix in ordered]


@given(networks)
def test_a_place_is_a_prefix(prefix: object) -> None:
    network = ip_network(str(prefix))
    assert network_of(place_of(network)) == network
    assert text_of(place_of(network)) == str(network)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("view", "worst", "best, available, advertised"),
        ("limit", "0", str(MAX_LIMIT)),
        ("limit", "1e3", str(MAX_LIMIT)),
        ("limit", "9" * 40, str(MAX_LIMIT)),
        ("prefix", "10.1.2.3/16", "host bits"),
        ("after", "somewhere", "expected a prefix"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_is_expected(name: str, value: str, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        asked({name: value})
