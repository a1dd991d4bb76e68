"""The underlay: found by the default route, or as configured, and explained when it is not there."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from netloom.edge.netlink import Netlink
from netloom.edge.underlay import Underlay, find_underlay
from netloom.model.errors import Invalid, NotFound
from support.netns import Namespace

pytestmark = pytest.mark.kernel

IPV4, IPV6 = IPv4Address("192.168.77.11"), IPv6Address("fd00:77::11")


@pytest.fixture
def uplink(netns: Namespace, netlink: Netlink) -> Netlink:
    """A node with eth0 (MTU 1400) and eth1, both with addresses, and no default route."""
    lines = [
        "link add eth0 mtu 1400 type veth peer name eth1",
        "address add 192.168.77.11/24 dev eth0",
        "address add fd00:77::11/64 dev eth0 nodad",
        "address add 198.51.100.1/24 dev eth1",
        "link set eth0 up",
        "link set eth1 up",
    ]
    netns.run("ip", "-batch", "-", stdin="\n".join(lines))
    return netlink


def found(netlink: Netlink, ipv4: IPv4Address | None = IPV4, ipv6: IPv6Address | None = IPV6) -> Underlay:
    subnets = (ip_network("192.168.77.0/24"), *([ip_network("fd00:77::/64")] if ipv6 else []))
    return Underlay(devices=(netlink.require_link("eth0"),), ipv4=ipv4, ipv6=ipv6, segments=subnets)


@pytest.mark.parametrize("route", ["default via 192.168.77.1", "default via fd00:77::1", "default dev eth0"])
def test_the_device_of_the_default_route_is_the_underlay(netns: Namespace, uplink: Netlink, route: str) -> None:
    netns.run("ip", "route", "add", *route.split())
    assert find_underlay(uplink) == found(uplink)


def test_the_default_route_with_the_least_metric_counts(netns: Namespace, uplink: Netlink) -> None:
    netns.run("ip", "route", "add", "default", "dev", "eth1", "metric", "300")
    netns.run("ip", "route", "add", "default", "dev", "eth0", "metric", "200")
    assert uplink.default_device() == "eth0"


def test_of_several_next_hops_the_first_counts(netns: Namespace, uplink: Netlink) -> None:
    hops = "nexthop via 192.168.77.1 dev eth0 nexthop via 198.51.100.2 dev eth1"
    netns.run("ip", "route", "add", "default", *hops.split())
    assert uplink.default_device() == "eth0"


@pytest.mark.parametrize("route", ["unreachable default", "default dev eth0 table 100", "10.0.0.0/8 dev eth0"])
def test_other_routes_tell_nothing(netns: Namespace, uplink: Netlink, route: str) -> None:
    netns.run("ip", "route", "add", *route.split())
    with pytest.raises(NotFound, match=r"no default route .* set node\.underlay_device"):
        find_underlay(uplink)


def test_a_configured_device_needs_no_default_route(uplink: Netlink) -> None:
    assert find_underlay(uplink, "eth0") == found(uplink)


def test_a_configured_device_that_is_missing_is_named(uplink: Netlink) -> None:
    with pytest.raises(NotFound, match='"eth7"'):
        find_underlay(uplink, "eth7")


def test_a_configured_address_may_stand_on_another_device(uplink: Netlink) -> None:
    address = IPv4Address("198.51.100.1")
    assert find_underlay(uplink, "eth0", address) == found(uplink, ipv4=address)


def test_a_configured_address_of_another_host_is_named_with_what_is_there(uplink: Netlink) -> None:
    with pytest.raises(NotFound, match=r"203\.0\.113\.9 .* is on no device of this node, which has .*192\.168\.77\.11"):
        find_underlay(uplink, "eth0", IPv4Address("203.0.113.9"))


def test_a_device_without_ipv6_gives_none(netns: Namespace, uplink: Netlink) -> None:
    netns.run("ip", "address", "delete", "fd00:77::11/64", "dev", "eth0")
    assert find_underlay(uplink, "eth0") == found(uplink, ipv6=None)


def test_a_device_without_any_address_is_explained(netns: Namespace, uplink: Netlink) -> None:
    netns.run("ip", "address", "flush", "dev", "eth0", "scope", "global")
    with pytest.raises(NotFound, match='"eth0" has no global address'):
        find_underlay(uplink, "eth0")


def test_a_lasting_address_comes_before_a_deprecated_one(netns: Namespace, uplink: Netlink) -> None:
    netns.run("ip", "address", "add", "fd00:77::99/64", "dev", "eth0", "nodad", "preferred_lft", "0")
    assert uplink.device_addresses("eth0") == (IPV4, IPV6, IPv6Address("fd00:77::99"))


def test_a_tunnel_without_ethernet_does_as_underlay(netns: Namespace, uplink: Netlink) -> None:
    netns.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    netns.run("ip", "address", "add", "10.8.0.2/24", "dev", "tun0")
    assert find_underlay(uplink, "tun0").ipv4 == IPv4Address("10.8.0.2")


# --- several devices ----------------------------------------------------------------------------


def test_further_uplinks_add_their_segments_and_the_least_mtu_counts(uplink: Netlink) -> None:
    """Addresses stay those of the first device."""
    both = find_underlay(uplink, "eth1", uplinks=("eth0",))
    assert (both.device, both.names, both.mtu_bytes) == ("eth1", ("eth1", "eth0"), 1400)
    assert (both.ipv4, both.ipv6) == (IPv4Address("198.51.100.1"), None)
    assert [str(subnet) for subnet in both.segments] == ["198.51.100.0/24", "192.168.77.0/24", "fd00:77::/64"]


def test_an_address_of_its_own_behind_several_uplinks_is_in_no_segment(netns: Namespace, uplink: Netlink) -> None:
    netns.run("ip", "address", "add", "203.0.113.7/32", "dev", "lo")
    both = find_underlay(uplink, "eth0", IPv4Address("203.0.113.7"), uplinks=("eth1",))
    assert both.ipv4 == IPv4Address("203.0.113.7")
    assert ip_network("203.0.113.7/32") not in both.segments


def test_an_uplink_that_is_missing_is_named_with_its_setting(uplink: Netlink) -> None:
    with pytest.raises(NotFound, match=r'"eth7" \(node\.uplinks\) does not exist'):
        find_underlay(uplink, "eth0", uplinks=("eth1", "eth7"))


@pytest.mark.parametrize("uplinks", [("eth0",), ("eth1", "eth1")])
def test_an_uplink_is_named_once(uplink: Netlink, uplinks: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match=r"node\.uplinks names .* name each further device once"):
        find_underlay(uplink, "eth0", uplinks=uplinks)
