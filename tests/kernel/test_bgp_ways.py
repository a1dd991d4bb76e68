"""Several peers and filters: which ways are learnt, and what becomes of them, with real FRR."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

from support.bgp_node import BgpNode
from support.bgp_pair import FRR, PEERS, Pair, cable, pair
from support.frr import Frr, wait_for
from support.netns import NamespaceFactory, namespaces

pytestmark = pytest.mark.kernel
TWO = """\
local_as: 65001
peers:
  - {address: 10.9.1.2, remote_as: 65002}
  - {address: 10.9.2.2, remote_as: 65003}
"""


def router(number: int) -> str:
    """One of two routers that both know a prefix; the second knows a default route as well, and our own prefix."""
    originate = f"  neighbor 10.9.{number}.1 default-originate\n  network 10.244.1.0/24\n" if number == 2 else ""
    return (
        f"router bgp 6500{number + 1}\n bgp router-id 10.9.{number}.2\n no bgp ebgp-requires-policy\n"
        f" no bgp network import-check\n neighbor 10.9.{number}.1 remote-as 65001\n"
        f" neighbor 10.9.{number}.1 timers connect 1\n"
        f" address-family ipv4 unicast\n  network 198.51.100.0/24\n{originate}"
    )


class Routers(NamedTuple):
    """A node, and the two routers that it has a cable to each."""

    node: BgpNode
    routers: list[Frr]

    def both_ways(self) -> None:
        """Wait until both are used."""
        wait_for(lambda: self.node.hops("198.51.100.0/24") == ["10.9.1.2", "10.9.2.2"], "two ways", 60)


@pytest.fixture(scope="module")
def two_routers(_nothing_left_by_the_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routers]:
    """They lose sessions in these tests, and find them again; no daemon ends."""
    with namespaces() as make, contextlib.ExitStack() as stack:
        a = make("bgpa")
        routers = []
        for number in (1, 2):
            b = make(f"bgp{number}")
            cable(a, b, number)
            routers.append(Frr(b, router(number)))
            stack.callback(routers[-1].close)
        node = BgpNode(a, tmp_path_factory.mktemp("ways"), TWO)
        stack.callback(node.close)
        node.announce("10.244.1.0/24")
        found = Routers(node, routers)
        found.both_ways()
        yield found


def test_a_peer_known_to_be_away_is_no_way_until_it_is_back(two_routers: Routers) -> None:
    """Its routes leave before gobgpd notices; default routes and this node's own prefix are never passed on."""
    node, routers = two_routers
    sessions, peer = node.router.sessions, ip_address("10.9.1.2")
    node.call(sessions.lost, peer, "link", "device eth1 lost its carrier")
    wait_for(lambda: node.hops("198.51.100.0/24") == ["10.9.2.2"], "one way", 5)
    wait_for(lambda: routers[0].routes() == [], "nothing announced there")
    assert "eth1 lost its carrier" in node.peer()["held"]
    node.call(sessions.back, peer, "link")
    two_routers.both_ways()
    assert [str(prefix) for prefix in node.learned] == ["198.51.100.0/24"]
    assert node.router.rib.refused() == {"default": 1}
    assert routers[0].routes() == ["10.244.1.0/24"], "the node is no way to anywhere else"


def test_after_fifty_flaps_everything_is_as_before(two_routers: Routers) -> None:
    """Told of each; one gobgpd, and both ways."""
    node, routers = two_routers
    for _ in range(50):
        routers[0].ask("clear bgp *")
    two_routers.both_ways()
    wait_for(lambda: node.peer()["state"] == "established", "established", 60)
    assert node.peer()["flaps"] == len(node.events("session.down", "10.9.1.2"))
    assert node.router.restarts == 0


def test_import_filters_judge_by_prefix_and_community(standing: Pair) -> None:
    """Changed by an agent that starts again, without an end of the session."""
    node, frr = standing
    rule = PEERS + "imports: {otherwise: reject, filters: [{action: accept, %s}]}\n"
    node.restart(rule % "communities: ['65002:7']")
    node.announce("10.244.1.0/24")
    wait_for(lambda: node.complete, "everything told", 60)
    assert [str(prefix) for prefix in node.learned] == ["198.51.100.0/24"]
    node.restart(rule % "prefixes: [{prefix: 198.51.101.0/24}, {prefix: '2001:db8::/32', le: 64}]")
    node.announce("10.244.1.0/24")
    wait_for(lambda: node.complete, "everything told", 60)
    wait_for(lambda: sorted(map(str, node.learned)) == ["198.51.101.0/24", "2001:db8:51::/48"], "filtered anew")
    assert frr.routes() == ["10.244.1.0/24"]
    assert node.events("session.down") == []


def test_ten_thousand_routes_are_learnt_and_withdrawn(make_netns: NamespaceFactory, tmp_path: Path) -> None:
    """And learnt again with the next session."""
    prefixes = [f"100.{64 + number // 65536}.{number // 256 % 256}.{number % 256}/32" for number in range(10_000)]
    many = FRR.replace("  network 198.51.100.0/24\n", "".join(f"  network {prefix}\n" for prefix in prefixes))
    with pair(make_netns, tmp_path, PEERS, many) as (node, frr):
        node.announce("10.244.1.0/24")
        wait_for(lambda: len(node.learned) == 10_002, "learnt", 90)
        frr.ask("clear bgp *")
        wait_for(lambda: len(node.learned) < 10_002, "lost", 90)
        wait_for(lambda: node.peer()["state"] == "established", "established", 90)
        wait_for(lambda: len(node.learned) == 10_002, "learnt again", 90)
        assert node.peer()["received"] == 10_002
