"""native keeps the contract, and what it promises beyond it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from netloom.model.errors import ConfigError, Invalid
from netloom.plugins import UNDERLAY, AttachPoint, CallSlot, Context, NativeCidrs, NetworkMode, RouteSpec
from netloom.plugins.testing import NetworkModeConformance, check_plugin, node, read_section
from netloom_native.mode import NativeMode
from netloom_native.plugin import Native, NativeSettings

MODE = NativeMode()
LOCAL = node("a", 1, "native")
REMOTE = node("b", 2, "native")
ELSEWHERE = replace(
    REMOTE, underlay_ipv4=IPv4Address("198.51.100.2"), underlay_ipv6=IPv6Address("2001:db8:99::2"), segments=()
)


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(Native)


class TestNative(NetworkModeConformance):
    """The contract's own tests."""

    mode_name = "native"

    def make_mode(self) -> NetworkMode:
        return NativeMode()


def test_nothing_of_the_underlays_mtu_is_taken() -> None:
    assert [MODE.mtu_bytes(1500, 4), MODE.mtu_bytes(9000, 6)] == [1500, 9000]


def test_a_neighbor_is_routed_to_its_underlay_address_from_the_gateways() -> None:
    """By which all nodes know this one, whichever device a route takes."""
    assert MODE.reach(LOCAL, REMOTE, 1500).routes == (
        RouteSpec(
            prefix=ip_network("10.99.2.0/24"),
            device=UNDERLAY,
            via=ip_address("192.0.2.2"),
            source=ip_address("10.99.1.1"),
        ),
        RouteSpec(
            prefix=ip_network("fd00:99:2::/64"),
            device=UNDERLAY,
            via=ip_address("2001:db8::2"),
            source=ip_address("fd00:99:1::1"),
        ),
    )


def test_its_pods_and_its_own_addresses_are_native() -> None:
    reach = MODE.reach(LOCAL, REMOTE, 1500)
    expected = "10.99.2.0/24 10.99.2.1/32 192.0.2.2/32 2001:db8::2/128 fd00:99:2::/64 fd00:99:2::1/128"
    assert sorted(map(str, reach.native)) == expected.split()
    assert (reach.tunnels, reach.peers) == ({}, frozenset())


def test_a_node_elsewhere_is_refused_with_what_to_do() -> None:
    """So that the fallback mode has its turn."""
    with pytest.raises(Invalid, match=r'"b" has IPv4 underlay address 198\.51\.100\.2.*on no segment.*native\.routed'):
        MODE.reach(LOCAL, ELSEWHERE, 1500)


def test_a_node_elsewhere_is_reached_by_routes_that_somebody_else_keeps() -> None:
    reach = NativeMode(routed=True).reach(LOCAL, ELSEWHERE, 1500)
    assert (reach.routes, len(reach.native)) == ((), 6)


def test_neighbors_may_be_left_to_somebody_elses_routes_too() -> None:
    reach = NativeMode(direct_node_routes=False, routed=True).reach(LOCAL, REMOTE, 1500)
    assert (reach.routes, len(reach.native)) == ((), 6)
    with pytest.raises(Invalid, match="direct_node_routes is false"):
        NativeMode(direct_node_routes=False).reach(LOCAL, REMOTE, 1500)


def test_a_node_that_takes_native_packets_besides_is_reached() -> None:
    """It runs another mode first while a cluster changes."""
    changing = replace(REMOTE, mode="vxlan", modes=("vxlan", "native"))
    assert MODE.reach(LOCAL, changing, 1500) == MODE.reach(LOCAL, REMOTE, 1500)


def test_pods_of_a_family_the_underlay_does_not_have_are_refused() -> None:
    """At whichever end it is missing."""
    with pytest.raises(Invalid, match='node "b" has no IPv6 underlay address; where'):
        MODE.reach(LOCAL, replace(REMOTE, underlay_ipv6=None), 1500)
    with pytest.raises(Invalid, match='node "a" has no IPv6 underlay address; where'):
        MODE.reach(replace(LOCAL, underlay_ipv6=None), REMOTE, 1500)


def test_a_family_this_node_does_not_serve_is_left_out() -> None:
    local = replace(LOCAL, pod_cidrs=LOCAL.pod_cidrs[:1], gateways=(IPv4Address("10.99.1.1"),))
    reach = MODE.reach(local, REMOTE, 1500)
    assert {prefix.version for prefix in reach.native} == {4}
    assert [route.prefix for route in reach.routes] == [ip_network("10.99.2.0/24")]


def test_its_programs_send_receive_and_guard() -> None:
    programs = {program.name: program.target for program in Native().netloom_bpf_programs()}
    assert programs == {
        "native": CallSlot.NATIVE,
        "from_netdev": AttachPoint(UNDERLAY, "ingress"),
        "to_netdev": AttachPoint(UNDERLAY, "egress"),
    }


def test_settings_reach_the_mode() -> None:
    settings = read_section(NativeSettings, "{routed: true, native_cidrs: [198.51.100.0/24, '2001:db8:99::/64']}")
    mode = Native().netloom_network_mode(Context(node_name="a", config=settings))
    assert isinstance(mode, NativeCidrs)
    assert mode.native_cidrs == (ip_network("198.51.100.0/24"), ip_network("2001:db8:99::/64"))
    assert mode.reach(LOCAL, ELSEWHERE, 1500).native


def test_everything_is_no_native_prefix() -> None:
    with pytest.raises(ConfigError, match="set masquerade to false instead"):
        read_section(NativeSettings, "native_cidrs: [0.0.0.0/0]")
