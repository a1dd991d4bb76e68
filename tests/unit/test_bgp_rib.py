"""What the node hears of routes: the last state of each prefix, whatever happens to peers and gobgpd."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from netloom.plugins import RouteChanges
from netloom_bgp.paths import Hop, Told
from netloom_bgp.places import place_of
from netloom_bgp.rib import Rib

A, B = "192.0.2.1", "192.0.2.2"
NET = "198.51.100.0/24"


def told(prefix: str, *peers: str) -> list[Told]:
    return [Told(place_of(ip_network(prefix)), tuple(Hop(ip_address(peer), peer) for peer in peers))]


def shown(changes: RouteChanges) -> dict[str, list[str]]:
    found = {str(one.prefix): [str(hop) for hop in (one.via, *one.more)] for one in changes.routes}
    return found | {str(prefix): [] for prefix in changes.gone}


def test_equally_good_ways_are_next_hops_of_one_route() -> None:
    rib = Rib(8)
    rib.tell(told(NET, B, A))
    assert shown(rib.take(10)) == {NET: [A, B]}


def test_no_more_ways_than_allowed() -> None:
    rib = Rib(1)
    rib.tell(told(NET, B, A))
    assert shown(rib.take(10)) == {NET: [A]}


def test_what_is_told_again_unchanged_is_no_change() -> None:
    rib = Rib(8)
    rib.tell(told(NET, A))
    rib.take(10)
    rib.tell(told(NET, A))
    assert not rib.pending


def test_a_held_peers_ways_do_not_count_until_it_is_back() -> None:
    rib = Rib(8)
    rib.tell(told(NET, A, B))
    rib.take(10)
    rib.hold(A)
    assert shown(rib.take(10)) == {NET: [B]}
    rib.hold(B)
    assert shown(rib.take(10)) == {NET: []}
    rib.unhold(A)
    assert shown(rib.take(10)) == {NET: [A]}


def test_after_a_restart_only_what_nobody_told_again_goes() -> None:
    rib = Rib(8)
    rib.tell([*told(NET, A), *told("203.0.113.0/24", A)])
    rib.take(10)
    rib.begin_again()
    rib.tell(told(NET, A))
    assert not rib.pending
    rib.settle()
    assert shown(rib.take(10)) == {"203.0.113.0/24": []}


def test_default_routes_and_foreign_next_hops_are_counted_not_passed_on() -> None:
    rib = Rib(8)
    rib.tell([*told("0.0.0.0/0", A), *told("2001:db8::/32", A), *told("2001:db8:1::/48", "fe80::1")])
    assert shown(rib.take(10)) == {}
    assert rib.refused() == {"default": 1, "next_hop": 2}
