"""Learnt routes in the kernel: as routers told them, whatever failed, and nothing of anybody else's touched."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from netloom.edge.learned_routes import delete_learned_routes
from netloom.edge.netlink import Netlink
from netloom.edge.notices import NoticeSocket
from netloom.edge.ownership import LEARNED_METRIC
from netloom.edge.rtnl import RtnlSocket
from netloom.model.errors import KernelError
from netloom.plugins import accept
from netloom.plugins.contract import UNDERLAY, RouteSpec
from support.netns import Namespace
from support.routed_node import DELETED_ROUTE, HOPS, NEW_ROUTE, RoutedNode, heard, hops, hops_of, version

pytestmark = pytest.mark.kernel

PREFIX4, PREFIX6 = "20.0.0.0/24", "fd00:20::/64"
BOTH = [PREFIX4, PREFIX6]
NOWHERE = {4: "203.0.113.9", 6: "2001:db8::9"}
OWN = {4: "203.0.113.1", 6: "fd00:77::1"}
"""The node's own address, on no cable."""


@pytest.fixture
def node(netns: Namespace) -> Iterator[RoutedNode]:
    made = RoutedNode(netns)
    yield made
    made.close()


@pytest.fixture
def notices(node: RoutedNode) -> Iterator[NoticeSocket]:
    """All of routes, learnt ones too."""
    made = node.netns.call(NoticeSocket, 0, (7, 11), "routes")
    yield made
    made.close()


@pytest.mark.parametrize("prefix", BOTH)
@pytest.mark.parametrize("which", [(0,), (0, 2), (0, 1, 2)], ids=["one", "two", "three"])
async def test_a_route_stands_with_all_its_next_hops(node: RoutedNode, prefix: str, which: tuple[int, ...]) -> None:
    await node.start()
    await node.tell((prefix, hops(prefix, *which)))
    (shown,) = node.routes()
    assert (shown["dst"], shown["metric"], hops_of(shown)) == (prefix, LEARNED_METRIC, hops(prefix, *which))


@pytest.mark.parametrize("prefix", BOTH)
async def test_as_many_next_hops_as_a_plugin_may_give_stand_in_many_routes(node: RoutedNode, prefix: str) -> None:
    """More would not fit into one datagram, whose refusal would take all others along."""
    await node.start()
    whole = ip_network(prefix)
    first = ip_address("192.0.2.100" if whole.version == 4 else "fd00:a::100")
    via = tuple(str(first + number) for number in range(accept.MAX_NEXT_HOPS))
    many = [str(each) for each in list(whole.supernet(6).subnets(new_prefix=whole.prefixlen))]
    await node.tell(*((each, via) for each in many))
    assert node.standing() == dict.fromkeys(many, tuple(sorted(via)))


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_changed_route_is_replaced_without_a_moment_of_none(
    node: RoutedNode, notices: NoticeSocket, prefix: str
) -> None:
    """From one next hop to several, others, and one again: the kernel never tells that it went."""
    await node.start()
    ways = [(0,), (0, 2), (1, 2), (0, 1, 2), (1,), (0,)]
    for which in ways:
        await node.tell((prefix, hops(prefix, *which)))
        assert node.standing() == {prefix: hops(prefix, *which)}
    assert heard(notices) == [NEW_ROUTE] * len(ways)


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_withdrawn_prefix_is_gone_and_no_other(node: RoutedNode, prefix: str) -> None:
    """With several next hops, all of them."""
    await node.start()
    beside = str(next(ip_network(prefix).supernet().subnets(new_prefix=ip_network(prefix).prefixlen + 1)))
    await node.tell((prefix, hops(prefix, 0, 2)), (beside, hops(prefix, 0, 2)))
    await node.tell(gone=(ip_network(prefix),))
    assert node.standing() == {beside: hops(prefix, 0, 2)}


# --- what cannot be written ---------------------------------------------------------------------


@pytest.mark.parametrize("prefix", BOTH)
async def test_of_many_routes_those_with_a_bad_next_hop_are_refused_by_name(node: RoutedNode, prefix: str) -> None:
    """And all others stand, in front of them and behind, of one datagram and of the next."""
    await node.start()
    length = ip_network(prefix).prefixlen
    many = [str(each) for each in list(ip_network(prefix).supernet(8).subnets(new_prefix=length))[:100]]
    bad = {many[0], many[31], many[32], many[57], many[99]}
    out = NOWHERE[version(prefix)]
    await node.tell(*((each, (out,) if each in bad else hops(prefix, 0)) for each in many))
    assert set(node.standing()) == set(many) - bad
    assert set(node.refused()) == bad
    assert all(reason.endswith(f"holds next hop {out}") for reason in node.refused().values())


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_next_hop_out_of_reach_is_left_out_until_it_is_within(node: RoutedNode, prefix: str) -> None:
    """The others carry the packets; nothing is refused."""
    await node.start()
    node.link("up1", "down")
    await node.tell((prefix, hops(prefix, 0, 2)))
    assert (node.standing(), node.refused()) == ({prefix: hops(prefix, 0)}, {})
    node.link("up1", "up")
    await node.resync()
    assert node.standing() == {prefix: hops(prefix, 0, 2)}


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_route_that_went_with_its_device_comes_back_with_it(node: RoutedNode, prefix: str) -> None:
    """Meanwhile it is refused with the next hop's name."""
    await node.start()
    await node.tell((prefix, hops(prefix, 2)))
    node.link("up1", "down")
    await node.resync()
    assert node.standing() == {}
    (via,) = hops(prefix, 2)
    assert node.refused() == {prefix: f"no segment this node stands in, with its device up, holds next hop {via}"}
    node.link("up1", "up")
    await node.resync()
    assert (node.standing(), node.refused()) == ({prefix: (via,)}, {})


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_device_that_is_deleted_takes_no_more_than_its_own_next_hops(node: RoutedNode, prefix: str) -> None:
    await node.start()
    await node.tell((prefix, hops(prefix, 0, 2)))
    node.netns.run("ip", "link", "delete", "up1")
    await node.resync()
    assert node.standing() == {prefix: hops(prefix, 0)}


@pytest.mark.parametrize("prefix", ["0.0.0.0/0", "::/0"])
async def test_no_router_gives_a_node_its_default_route(node: RoutedNode, prefix: str) -> None:
    await node.start()
    await node.tell((prefix, hops(prefix, 0)), complete=True)
    assert node.standing() == {}
    assert node.refused() == {prefix: "a default route is not taken from a router"}


async def test_answers_that_are_lost_are_no_strangers_routes(node: RoutedNode) -> None:
    """The kernel had no room for them (ENOBUFS): what it wrote before is known again, and the rest is written."""
    await node.start()
    assert node.kernel is not None
    taken, free = ([f"{first}.0.{at}.0/24" for at in range(32)] for first in (21, 22))
    for each in taken:
        node.netns.run("ip", "route", "add", each, "dev", "up0", "metric", str(LEARNED_METRIC))
    node.kernel.deafen(deaf=True)
    order = [*free[:16], *taken, *free[16:]]
    with pytest.raises(KernelError, match="No buffer space"):
        await node.tell(*((each, hops(each, 0)) for each in order))
    assert set(node.standing()) > set()
    node.kernel.deafen(deaf=False)
    await node.tell()
    assert set(node.standing()) == set(free)
    assert set(node.refused()) == set(taken)


# --- after a restart ----------------------------------------------------------------------------


async def test_what_an_earlier_run_left_stands_until_all_routers_have_told(
    node: RoutedNode, notices: NoticeSocket
) -> None:
    """Then exactly what nobody wants goes; what is told again as it stands is not even written."""
    first, second, nobodys = (f"20.0.{at}.0/24" for at in range(3))
    left = [(each, hops(each, 0, 2)) for each in (first, second, nobodys, PREFIX6)]
    await node.start()
    await node.tell(*left)
    heard(notices)
    await node.start("one", "two")
    await node.tell((first, hops(first, 0, 2)), router="one", complete=True)
    await node.resync()
    assert (node.standing(), heard(notices)) == (dict(left), [])
    await node.tell((second, hops(second, 0, 2)), router="two", complete=True)
    assert node.standing() == {each: hops(each, 0, 2) for each in (first, second)}
    assert heard(notices) == [DELETED_ROUTE] * 2


@pytest.mark.parametrize("prefix", BOTH)
async def test_what_leads_elsewhere_after_a_restart_is_replaced(
    node: RoutedNode, notices: NoticeSocket, prefix: str
) -> None:
    await node.start()
    await node.tell((prefix, hops(prefix, 0)))
    await node.start()
    await node.tell((prefix, hops(prefix, 2)), complete=True)
    assert node.standing() == {prefix: hops(prefix, 2)}
    assert heard(notices) == [NEW_ROUTE] * 2


# --- others' routes, and our own ----------------------------------------------------------------


@pytest.mark.parametrize("prefix", BOTH)
@pytest.mark.parametrize(
    "mark",
    [
        ("proto", "static", "metric", "2000"),
        ("proto", "static", "metric", "100"),
        ("proto", "77", "metric", "100"),
        ("proto", "76", "metric", "2000"),
        ("proto", "77", "metric", "2000", "table", "100"),
    ],
    ids=" ".join,
)
async def test_a_strangers_route_is_never_touched(node: RoutedNode, prefix: str, mark: tuple[str, ...]) -> None:
    """Not when its prefix is learnt, changed, withdrawn; not at a start, a resync or when the node is cleaned."""
    table = ("table", mark[-1] if "table" in mark else "main")
    node.netns.run("ip", "route", "add", prefix, "via", *hops(prefix, 1), *mark)

    def theirs() -> str:
        return node.netns.run("ip", f"-{version(prefix)}", "route", "show", prefix, *mark[:4], *table)

    before = theirs()
    await node.start()
    for told in ([(prefix, hops(prefix, 0))], [(prefix, hops(prefix, 0, 2))], []):
        await node.tell(*told, complete=True)
        await node.resync()
        assert theirs() == before
    await node.tell((prefix, hops(prefix, 0)))
    with node.netns.call(RtnlSocket) as sock:
        delete_learned_routes(sock)
    assert theirs() == before


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_strangers_route_in_the_place_of_ours_is_told_until_it_goes(node: RoutedNode, prefix: str) -> None:
    theirs = ("proto", "static", "metric", str(LEARNED_METRIC))
    node.netns.run("ip", "route", "add", prefix, "via", *hops(prefix, 1), *theirs)
    await node.start()
    await node.tell((prefix, hops(prefix, 0)))
    assert node.refused() == {prefix: f"somebody else has a route to it with metric {LEARNED_METRIC}; remove that one"}
    node.netns.run("ip", "route", "delete", prefix, *theirs)
    await node.resync()
    assert (node.standing(), node.refused()) == ({prefix: hops(prefix, 0)}, {})


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_strangers_route_that_took_the_place_of_ours_is_not_taken_back(node: RoutedNode, prefix: str) -> None:
    """Though the kernel would let a change of ours do so, and nobody has looked since."""
    theirs = ("proto", "static", "metric", str(LEARNED_METRIC))
    await node.start()
    await node.tell((prefix, hops(prefix, 0)))
    node.netns.run("ip", "route", "replace", prefix, "via", *hops(prefix, 1), *theirs)
    await node.tell((prefix, hops(prefix, 2)))
    assert node.refused() == {prefix: f"somebody else has a route to it with metric {LEARNED_METRIC}; remove that one"}
    assert node.at(prefix) == [("static", hops(prefix, 1))]
    node.netns.run("ip", "route", "delete", prefix, *theirs)
    await node.resync()
    assert (node.standing(), node.refused()) == ({prefix: hops(prefix, 2)}, {})


@pytest.mark.parametrize("prefix", BOTH)
async def test_a_withdrawal_leaves_what_took_the_place_of_ours(node: RoutedNode, prefix: str) -> None:
    await node.start()
    await node.tell((prefix, hops(prefix, 0)))
    theirs = ("via", *hops(prefix, 1), "proto", "static", "metric", str(LEARNED_METRIC))
    node.netns.run("ip", "route", "replace", prefix, *theirs)
    await node.tell(gone=(ip_network(prefix),))
    assert node.at(prefix) == [("static", hops(prefix, 1))]


@pytest.mark.parametrize("when", ["while an agent runs", "before it starts"])
async def test_a_strangers_route_before_ours_is_not_changed_in_its_place(node: RoutedNode, when: str) -> None:
    """IPv4 has several at one metric, and a change is one of the first."""
    theirs = ("via", *hops(PREFIX4, 1), "proto", "static", "metric", str(LEARNED_METRIC))
    await node.start()
    await node.tell((PREFIX4, hops(PREFIX4, 0)))
    node.netns.run("ip", "route", "prepend", PREFIX4, *theirs)
    if when == "before it starts":
        await node.start()
    await node.tell((PREFIX4, hops(PREFIX4, 2)), complete=True)
    assert node.at(PREFIX4) == [("static", hops(PREFIX4, 1))]


async def test_a_strangers_route_is_seen_though_its_notice_was_lost(node: RoutedNode) -> None:
    """Among many that the kernel had no room for (ENOBUFS)."""
    theirs = f"via {hops(PREFIX4, 1)[0]} proto static metric {LEARNED_METRIC}"
    await node.start()
    await node.tell((PREFIX4, hops(PREFIX4, 0)))
    assert node.kernel is not None
    node.kernel.deafen(deaf=True)
    lines = [f"route prepend {prefix} {theirs}" for prefix in (*(f"21.0.{at}.0/24" for at in range(50)), PREFIX4)]
    node.netns.run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in lines))
    node.kernel.deafen(deaf=False)
    await node.tell((PREFIX4, hops(PREFIX4, 2)))
    assert node.at(PREFIX4) == [("static", hops(PREFIX4, 1))]


async def test_a_strangers_route_that_went_without_a_notice_is_in_nobodys_way(node: RoutedNode) -> None:
    """The kernel tells nothing of IPv4 routes that go with their device."""
    theirs = ("via", *hops(PREFIX4, 2), "proto", "static", "metric", str(LEARNED_METRIC))
    await node.start()
    await node.tell((PREFIX4, hops(PREFIX4, 0)))
    node.netns.run("ip", "route", "prepend", PREFIX4, *theirs)
    node.link("up1", "down")
    await node.tell((PREFIX4, hops(PREFIX4, 1)))
    assert (node.standing(), node.refused()) == ({PREFIX4: hops(PREFIX4, 1)}, {})


@pytest.mark.parametrize("prefix", BOTH)
async def test_our_own_route_wins_over_a_learnt_one(node: RoutedNode, netlink: Netlink, prefix: str) -> None:
    """Whichever was there first; without it the learnt one carries the packets."""
    (via,) = map(ip_address, hops(prefix, 2))
    own = RouteSpec(prefix=ip_network(prefix), device=UNDERLAY, via=via)
    await node.start()
    await node.tell((prefix, hops(prefix, 0)))
    netlink.put_route(own)
    assert node.way(prefix) == str(via)
    await node.tell(gone=(ip_network(prefix),))
    await node.tell((prefix, hops(prefix, 1)))
    assert (node.way(prefix), node.standing()) == (str(via), {prefix: hops(prefix, 1)})
    netlink.delete_route(ip_network(prefix))
    assert (node.way(prefix),) == hops(prefix, 1)


@pytest.mark.parametrize("prefix", BOTH)
@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("delete", ""),
        ("replace", "via {1}"),
        ("replace", "mtu 1400 nexthop via {0} nexthop via {2}"),
        ("replace", "nexthop via {0} weight 5 nexthop via {2} weight 1"),
        ("replace", "nexthop via {0} nexthop via {1} nexthop via {2}"),
        ("replace", "src {own} nexthop via {0} nexthop via {2}"),
    ],
    ids=["deleted", "another-hop", "an-mtu", "weights", "one-hop-more", "a-source"],
)
async def test_what_a_stranger_did_to_a_learnt_route_is_undone(
    node: RoutedNode, prefix: str, action: str, words: str
) -> None:
    """Next hops, their shares, and whatever else a route may have that ours has not."""
    own = OWN[version(prefix)]
    node.address("add", own)
    await node.start()
    await node.tell((prefix, hops(prefix, 0, 2)), complete=True)
    before = node.routes()
    told = words.format(*HOPS[version(prefix)], own=own).split()
    node.netns.run("ip", "route", action, prefix, "proto", "77", "metric", str(LEARNED_METRIC), *told)
    assert node.routes() != before
    assert await node.resync() == [f"learnt {prefix} written"]
    assert node.routes() == before
    assert await node.resync() == []


async def test_a_learnt_route_that_a_stranger_made_up_goes(node: RoutedNode) -> None:
    await node.start()
    await node.tell(complete=True)
    node.netns.run("ip", "route", "add", PREFIX4, "via", *hops(PREFIX4, 0), "proto", "77", "metric", "2000")
    assert await node.resync() == [f"learnt {PREFIX4} deleted"]
    assert node.standing() == {}


# --- the node's own address ---------------------------------------------------------------------


@pytest.mark.parametrize("prefix", BOTH)
async def test_the_node_speaks_with_its_own_address(node: RoutedNode, notices: NoticeSocket, prefix: str) -> None:
    """Also over what an earlier run wrote when the node had another, without a moment of no route."""
    own = OWN[version(prefix)]
    node.address("add", own)
    await node.start()
    await node.tell((prefix, hops(prefix, 0)))
    node.sources = (own,)
    await node.start()
    await node.tell((prefix, hops(prefix, 0)), complete=True)
    (shown,) = node.routes()
    assert shown["prefsrc"] == own
    assert heard(notices) == [NEW_ROUTE] * 2


@pytest.mark.parametrize("prefix", BOTH)
async def test_an_address_that_the_node_lost_costs_no_packet_of_pods(node: RoutedNode, prefix: str) -> None:
    """Routes do without, and have it again when it is back."""
    own = OWN[version(prefix)]
    node.address("add", own)
    node.sources = (own,)
    await node.start()
    await node.tell((prefix, hops(prefix, 0)), complete=True)
    node.address("delete", own)
    await node.resync()
    (shown,) = node.routes()
    assert (hops_of(shown), shown.get("prefsrc"), node.refused()) == (hops(prefix, 0), None, {})
    node.address("add", own)
    await node.resync()
    assert [each["prefsrc"] for each in node.routes()] == [own]
