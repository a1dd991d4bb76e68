"""The digest of the kernel's learnt routes: whoever changes one changes it, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from netloom.agent.learned import LearnedRoutes
from netloom.edge.learned_routes import LearnedTable, Put
from netloom.edge.ownership import LEARNED_METRIC, LEARNED_PROTOCOL
from netloom.plan.learned import Facts, key_of
from netloom.plugins.contract import RouteChanges
from support.learned import NamespaceRoutes, route
from support.netns import Namespace, NamespaceFactory

pytestmark = pytest.mark.kernel

MANY = 2000
"""More than one datagram of a dump."""
OURS = f"proto {LEARNED_PROTOCOL} metric {LEARNED_METRIC}"


@pytest.fixture
def node(make_netns: NamespaceFactory) -> Namespace:
    """With neighbours 10.9.0.0/24 and fd00:9::/64 on a device."""
    netns = make_netns("digest")
    netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for device in ("eth0", "eth1"):
        netns.run("ip", "link", "set", device, "up")
    netns.run("ip", "address", "add", "10.9.0.1/24", "dev", "eth0")
    netns.run("ip", "address", "add", "fd00:9::1/64", "dev", "eth0", "nodad")
    return netns


@pytest.fixture
def table(node: Namespace) -> Iterator[LearnedTable]:
    """With many routes of either IP version."""
    table = node.call(LearnedTable)
    four = [f"20.{number >> 8}.{number & 255}.0/24" for number in range(MANY)]
    six = [f"2001:db8:{number:x}::/48" for number in range(MANY)]
    for prefixes, via in ((four, "10.9.0.2"), (six, "fd00:9::2")):
        hops = (ip_address(via).packed,)
        puts = [Put(key_of(ip_network(prefix)), hops, replace=False) for prefix in prefixes]
        assert table.write(puts, ()).refused == {}
    yield table
    table.close()


def test_a_digest_stays_while_nobody_changes_a_learnt_route(node: Namespace, table: LearnedTable) -> None:
    """Routes of others come and go; and what is asked between two digests is answered."""
    before = table.digest()
    assert len(table.read()) == 2 * MANY
    node.run("ip", "route", "add", "198.51.100.0/24", "via", "10.9.0.3")
    assert table.digest() == before


@pytest.mark.parametrize(
    "change",
    [
        f"route delete 20.0.7.0/24 {OURS}",
        f"route replace 20.0.7.0/24 via 10.9.0.3 {OURS}",
        f"route add 198.51.100.0/24 via 10.9.0.2 {OURS}",
        f"-6 route delete 2001:db8:7::/48 {OURS}",
        "link set eth0 down",
    ],
)
def test_a_digest_changes_with_what_a_stranger_does(node: Namespace, table: LearnedTable, change: str) -> None:
    before = table.digest()
    node.run("ip", *change.split())
    assert table.digest() != before


async def test_a_route_that_a_stranger_deleted_comes_back_with_the_next_look(node: Namespace) -> None:
    """Also after a look that found everything as it was left."""
    driver = NamespaceRoutes(node)
    try:
        routes = LearnedRoutes(("bgp",), driver, Facts)
        await routes.resync()
        await routes.take("bgp", RouteChanges(routes=(route("20.0.0.0/24", "10.9.0.2"),), complete=True))
        await routes.flush()
        await routes.resync()
        assert await routes.resync() == ()
        node.run("ip", "route", "delete", "20.0.0.0/24", "proto", str(LEARNED_PROTOCOL))
        assert [(repair.name, repair.action) for repair in await routes.resync()] == [("learnt 20.0.0.0/24", "written")]
        assert "via 10.9.0.2" in node.run("ip", "route", "show", "20.0.0.0/24")
    finally:
        driver.close()
