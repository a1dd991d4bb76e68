"""Routes by several next hops and by whichever device leads there: read back as they were put, dead links or not."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from netloom.edge.netlink import Netlink
from netloom.model.address import Network
from netloom.model.errors import KernelError
from netloom.plugins.contract import UNDERLAY, RouteSpec
from support.netns import Namespace

pytestmark = pytest.mark.kernel

PODS4, PODS6 = ip_network("10.244.2.0/24"), ip_network("fd00:10:244:2::/64")
HOPS = {
    4: tuple(map(ip_address, ("192.0.2.2", "198.51.100.2"))),
    6: tuple(map(ip_address, ("fd00:a::2", "fd00:b::2"))),
}


@pytest.fixture
def uplinks(netns: Namespace, netlink: Netlink) -> Netlink:
    """Two devices to two neighbours."""
    for name, addresses in {
        "up0": ("192.0.2.1/24", "fd00:a::1/64"),
        "up1": ("198.51.100.1/24", "fd00:b::1/64"),
    }.items():
        netns.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}far")
        for address in addresses:
            netns.run("ip", "address", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        netns.run("ip", "link", "set", name, "up")
        netns.run("ip", "link", "set", f"{name}far", "up")
    return netlink


def spec(prefix: Network, hops: int = 2) -> RouteSpec:
    via, *more = HOPS[prefix.version][:hops]
    return RouteSpec(prefix=prefix, device=UNDERLAY, via=via, more=tuple(more))


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_route_by_next_hops_reads_back_as_it_was_put(uplinks: Netlink, prefix: Network) -> None:
    """With one, with several, and again with one: each takes the place of the one before."""
    for hops in (1, 2, 1):
        uplinks.put_route(spec(prefix, hops))
        assert uplinks.routes() == {prefix: spec(prefix, hops)}


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_the_kernel_finds_the_devices(netns: Namespace, uplinks: Netlink, prefix: Network) -> None:
    uplinks.put_route(spec(prefix))
    shown = netns.run("ip", f"-{prefix.version}", "route", "show", str(prefix))
    assert "dev up0 weight 1" in shown
    assert "dev up1 weight 1" in shown


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_next_hop_whose_link_is_down_is_still_there(netns: Namespace, uplinks: Netlink, prefix: Network) -> None:
    """Or every resync would put the route right in vain."""
    uplinks.put_route(spec(prefix))
    netns.run("ip", "link", "set", "up1", "down")
    assert uplinks.routes() == {prefix: spec(prefix)}


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_several_next_hops_go_with_their_route(netns: Namespace, uplinks: Netlink, prefix: Network) -> None:
    uplinks.put_route(spec(prefix))
    uplinks.delete_route(prefix)
    assert netns.run("ip", f"-{prefix.version}", "route", "show", str(prefix)) == ""


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_device_that_was_named_is_read_by_its_name(uplinks: Netlink, prefix: Network) -> None:
    named = replace(spec(prefix, 1), device="up0")
    uplinks.put_route(named)
    assert uplinks.routes() == {prefix: named}


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_next_hop_in_no_segment_is_told_with_the_segments_there_are(uplinks: Netlink, prefix: Network) -> None:
    far = ip_address("203.0.113.9" if prefix.version == 4 else "2001:db8::9")
    segments = "192.0.2.0/24, 198.51.100.0/24" if prefix.version == 4 else "fd00:a::/64, fd00:b::/64"
    with pytest.raises(
        KernelError, match=f"via {far}: .*a next hop must stand in a segment of this node \\({segments}\\)"
    ):
        uplinks.put_route(replace(spec(prefix, 1), via=far))
    assert uplinks.routes() == {}
