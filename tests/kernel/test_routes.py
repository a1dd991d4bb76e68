"""Addresses and routes: ours exactly as wanted, others' never touched."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from netloom.edge.netlink import Netlink
from netloom.model.address import Address, Network
from netloom.model.errors import Conflict, KernelError, NotFound
from netloom.plugins.contract import RouteSpec
from support.netns import Namespace

pytestmark = pytest.mark.kernel

GATEWAY4, GATEWAY6 = ip_address("10.244.1.1"), ip_address("fd00:10:244:1::1")
PODS4, PODS6 = ip_network("10.244.1.0/24"), ip_network("fd00:10:244:1::/64")


@pytest.fixture
def host(netlink: Netlink) -> Netlink:
    """A node with loom_host and its gateway addresses."""
    netlink.ensure_veth_pair("loom_host", "loom_net", mtu_bytes=1450)
    netlink.ensure_addresses("loom_host", (GATEWAY4, GATEWAY6))
    return netlink


def spec(prefix: Network, **fields: Address | int | None) -> RouteSpec:
    return RouteSpec(prefix=prefix, device="loom_host", **fields)  # type: ignore[arg-type]


def test_a_device_has_exactly_the_addresses_asked_for(host: Netlink) -> None:
    wanted = (ip_address("10.9.9.9"), ip_address("fd00:9::9"))
    host.ensure_addresses("loom_host", wanted)
    assert host.device_addresses("loom_host") == wanted


def test_an_address_with_a_wider_prefix_is_replaced(netns: Namespace, host: Netlink) -> None:
    netns.run("ip", "address", "delete", "10.244.1.1/32", "dev", "loom_host")
    netns.run("ip", "address", "add", "10.244.1.1/24", "dev", "loom_host")
    host.ensure_addresses("loom_host", (GATEWAY4, GATEWAY6))
    assert "10.244.1.1/32" in netns.run("ip", "address", "show", "dev", "loom_host")


@pytest.mark.usefixtures("host")
def test_an_ipv6_address_is_usable_at_once_and_brings_no_route(netns: Namespace) -> None:
    assert "tentative" not in netns.run("ip", "address", "show", "dev", "loom_host")
    assert netns.run("ip", "-6", "route", "show") == ""


def test_addresses_of_a_foreign_device_are_not_ours_to_change(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "foreign", "type", "bridge")
    with pytest.raises(Conflict, match='"foreign"'):
        netlink.ensure_addresses("foreign", (GATEWAY4,))


def test_addresses_of_no_device_are_not_found(netlink: Netlink) -> None:
    with pytest.raises(NotFound, match='"loom_host" does not exist'):
        netlink.ensure_addresses("loom_host", (GATEWAY4,))


@pytest.mark.parametrize(
    "wanted",
    [
        spec(PODS4, via=GATEWAY4, source=GATEWAY4),
        spec(PODS4, source=GATEWAY4, mtu_bytes=1400),
        spec(PODS6),
        spec(PODS6, source=GATEWAY6, mtu_bytes=1400),
        spec(ip_network("0.0.0.0/0")),
        spec(ip_network("::/0")),
    ],
    ids=lambda wanted: str(wanted.prefix),
)
def test_a_route_reads_back_as_it_was_put(host: Netlink, wanted: RouteSpec) -> None:
    for _ in range(2):
        host.put_route(wanted)
        assert host.routes() == {wanted.prefix: wanted}


def test_a_route_shows_as_a_local_gateway_with_our_protocol(netns: Namespace, host: Netlink) -> None:
    host.put_route(spec(PODS4, via=GATEWAY4, source=GATEWAY4))
    assert netns.run("ip", "-4", "route").split() == (
        ["10.244.1.0/24", "via", "10.244.1.1", "dev", "loom_host", "proto", "76", "src", "10.244.1.1"]
    )


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_changed_route_takes_the_place_of_the_old_one(host: Netlink, prefix: Network) -> None:
    host.put_route(spec(prefix))
    host.put_route(spec(prefix, mtu_bytes=1400))
    assert host.routes() == {prefix: spec(prefix, mtu_bytes=1400)}


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_foreign_route_is_a_conflict_and_stays(netns: Namespace, host: Netlink, prefix: Network) -> None:
    netns.run("ip", "route", "add", str(prefix), "dev", "loom_net")
    before = netns.run("ip", "route", "show", str(prefix))
    with pytest.raises(Conflict, match=str(prefix)):
        host.put_route(spec(prefix))
    assert netns.run("ip", "route", "show", str(prefix)) == before


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_foreign_route_is_neither_listed_nor_deleted(netns: Namespace, host: Netlink, prefix: Network) -> None:
    netns.run("ip", "route", "add", str(prefix), "dev", "loom_net")
    before = netns.run("ip", "route", "show", str(prefix))
    host.delete_route(prefix)
    assert (host.routes(), netns.run("ip", "route", "show", str(prefix))) == ({}, before)


@pytest.mark.parametrize("prefix", [PODS4, PODS6], ids=str)
def test_a_route_is_deleted_once_and_for_all(host: Netlink, prefix: Network) -> None:
    host.put_route(spec(prefix))
    for _ in range(2):
        host.delete_route(prefix)
        assert host.routes() == {}


def test_routes_of_other_tables_are_not_ours(netns: Namespace, host: Netlink) -> None:
    netns.run("ip", "route", "add", "10.9.0.0/16", "dev", "loom_host", "proto", "76", "table", "100")
    assert host.routes() == {}


def test_a_route_by_no_device_is_not_found(netlink: Netlink) -> None:
    with pytest.raises(NotFound, match='"loom_host" does not exist'):
        netlink.put_route(spec(PODS4))


def test_a_gateway_nobody_can_reach_is_told_in_the_kernels_words(host: Netlink) -> None:
    with pytest.raises(KernelError, match="Nexthop has invalid gateway"):
        host.put_route(spec(PODS4, via=ip_address("192.0.2.1")))


def test_thousands_of_routes_are_listed_whole(netns: Namespace, host: Netlink) -> None:
    lines = (f"route add 10.{a}.{b}.0/24 dev loom_host proto 76\n" for a in range(20) for b in range(100))
    netns.run("ip", "-batch", "-", stdin="".join(lines))
    assert len(host.routes()) == 2000


def test_one_route_that_is_refused_keeps_no_other_from_being_put(netns: Namespace, host: Netlink) -> None:
    """Of many put at once: a stranger has one, one has no device, one is ours and changes."""
    netns.run("ip", "route", "add", "10.9.1.0/24", "dev", "loom_host")
    host.put_route(spec(ip_network("10.9.2.0/24"), mtu_bytes=1400))
    wanted = [spec(ip_network(f"10.9.{number}.0/24")) for number in range(1, 5)]
    wanted.append(RouteSpec(prefix=ip_network("10.9.9.0/24"), device="nowhere"))
    refused = host.put_routes(wanted)
    assert {str(prefix): type(error) for prefix, error in refused.items()} == {
        "10.9.1.0/24": Conflict,
        "10.9.9.0/24": NotFound,
    }
    assert host.routes() == {each.prefix: each for each in wanted[1:4]}


def test_many_routes_go_at_once(host: Netlink) -> None:
    prefixes = [ip_network(f"10.9.{number}.0/24") for number in range(200)]
    assert host.put_routes(map(spec, prefixes)) == {}
    host.delete_routes(prefixes[1:])
    assert host.routes().keys() == {prefixes[0]}
