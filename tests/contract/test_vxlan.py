"""vxlan keeps the contract, and what it promises beyond it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from netloom.model.errors import ConfigError, Invalid
from netloom.plugins import UNDERLAY, AttachPoint, CallSlot, Context, NetworkMode, RouteSpec
from netloom.plugins.testing import NetworkModeConformance, check_plugin, node, read_section
from netloom_vxlan.mode import VxlanMode
from netloom_vxlan.plugin import BULK_FLOWS, Vxlan, VxlanSettings

MODE = VxlanMode(8472)
LOCAL = node("a", 1, "vxlan")
REMOTE = node("b", 2, "vxlan")


def test_the_plugin_keeps_the_contract() -> None:
    check_plugin(Vxlan)


class TestVxlan(NetworkModeConformance):
    """The contract's own tests."""

    mode_name = "vxlan"

    def make_mode(self) -> NetworkMode:
        return VxlanMode(8472)


@pytest.mark.parametrize(("underlay", "family", "left"), [(1500, 4, 1450), (1500, 6, 1430), (9000, 4, 8950)])
def test_the_overhead_is_50_bytes_over_ipv4_and_70_over_ipv6(underlay: int, family: int, left: int) -> None:
    assert MODE.mtu_bytes(underlay, 4 if family == 4 else 6) == left


def test_an_underlay_too_small_for_ipv4_is_refused_with_the_numbers() -> None:
    with pytest.raises(Invalid, match="MTU of 625 leaves pods 575 bytes"):
        MODE.mtu_bytes(625, 4)
    assert MODE.mtu_bytes(626, 4) == 576


def test_the_device_takes_its_orders_from_each_packet() -> None:
    """Collect-metadata, on the configured port, learning nothing from what comes in."""
    (device,) = VxlanMode(4789).devices()
    assert (device.name, device.kind) == ("loom_vxlan", "vxlan")
    assert device.attributes == {"vxlan_collect_metadata": 1, "vxlan_port": 4789, "vxlan_learning": 0}
    assert (VxlanMode(4789).tunnel.device, VxlanMode(4789).tunnel.port) == ("loom_vxlan", 4789)


def test_every_pod_prefix_is_behind_the_nodes_ipv4_underlay_address() -> None:
    """IPv4 is preferred when both nodes have both."""
    reach = MODE.reach(LOCAL, REMOTE, 1450)
    assert reach.tunnels == {
        ip_network("10.99.2.0/24"): ip_address("192.0.2.2"),
        ip_network("fd00:99:2::/64"): ip_address("192.0.2.2"),
    }


def test_tunnel_traffic_is_accepted_from_every_underlay_address_of_the_node() -> None:
    assert {ip_address("192.0.2.2"), ip_address("2001:db8::2")} == MODE.reach(LOCAL, REMOTE, 1450).peers


def test_the_nodes_own_packets_go_through_loom_host_with_the_gateway_as_source() -> None:
    v4, v6 = MODE.reach(LOCAL, REMOTE, 1450).routes
    gateway4, gateway6 = ip_address("10.99.1.1"), ip_address("fd00:99:1::1")
    assert v4 == RouteSpec(
        prefix=ip_network("10.99.2.0/24"), device="loom_host", via=gateway4, source=gateway4, mtu_bytes=1450
    )
    assert v6 == RouteSpec(prefix=ip_network("fd00:99:2::/64"), device="loom_host", source=gateway6, mtu_bytes=1450)


def test_ipv6_underlay_is_used_when_it_is_all_they_share() -> None:
    reach = MODE.reach(LOCAL, replace(REMOTE, underlay_ipv4=None), 1430)
    assert set(reach.tunnels.values()) == {ip_address("2001:db8::2")}
    assert reach.peers == {ip_address("2001:db8::2")}


def test_no_underlay_in_common_is_refused_with_what_both_have() -> None:
    with pytest.raises(Invalid, match=r'"b" has underlay addresses 2001:db8::2, this node has 192\.0\.2\.1'):
        MODE.reach(replace(LOCAL, underlay_ipv6=None), replace(REMOTE, underlay_ipv4=None), 1450)


def test_a_family_this_node_does_not_serve_is_left_out() -> None:
    local = replace(LOCAL, pod_cidrs=LOCAL.pod_cidrs[:1], gateways=(IPv4Address("10.99.1.1"),))
    reach = MODE.reach(local, REMOTE, 1450)
    assert list(reach.tunnels) == [ip_network("10.99.2.0/24")]
    assert [route.prefix for route in reach.routes] == [ip_network("10.99.2.0/24")]


def test_its_programs_fill_the_encap_slot_and_receive_at_tunnel_and_underlay() -> None:
    programs = {program.name: program for program in Vxlan().netloom_bpf_programs()}
    assert programs["encap"].target is CallSlot.ENCAP
    assert programs["from_overlay"].target == AttachPoint("loom_vxlan", "ingress")
    assert programs["from_underlay"].target == AttachPoint(UNDERLAY, "ingress")
    assert all(f"int {name}(struct __sk_buff" in program.source for name, program in programs.items())


def test_the_program_counts_on_as_many_entries_as_its_map_has() -> None:
    (program,) = (found for found in Vxlan().netloom_bpf_programs() if found.maps)
    assert program.maps == (BULK_FLOWS,)
    assert f"#define BULK_FLOWS {BULK_FLOWS.max_entries}\n" in program.source


def test_packets_go_directly_unless_the_config_says_otherwise() -> None:
    assert read_section(VxlanSettings, "").direct
    for direct in (True, False):
        context = Context(node_name="a", config=VxlanSettings(direct=direct))
        tunnel = Vxlan().netloom_network_mode(context).tunnel
        assert tunnel is not None
        assert tunnel.direct is direct


def test_the_port_is_8472_unless_the_config_says_otherwise() -> None:
    assert read_section(VxlanSettings, "").port == 8472
    assert read_section(VxlanSettings, "port: 4789").port == 4789
    with pytest.raises(ConfigError, match="expected a number from 1 to 65535"):
        read_section(VxlanSettings, "port: 65536")
