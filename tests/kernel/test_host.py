"""The node's own network: made once, repaired, and taken away without touching anybody else's."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from netloom.edge.firewall import MasqueradeSpec, ensure_guard, ensure_masquerade
from netloom.edge.host import HostLinks, HostSpec, clean_host, prepare_host
from netloom.edge.netlink import Netlink
from netloom.edge.ownership import guard_table, masquerade_table
from netloom.edge.sysctl import read_sysctl
from netloom.edge.workload import WorkloadSpec, create_workload
from netloom.model.errors import Conflict, Invalid
from netloom.plugins.contract import DeviceSpec, RouteSpec
from support.bpf import load_verdict
from support.netns import Namespace, NamespaceFactory

pytestmark = pytest.mark.kernel

GATEWAYS = ip_address("10.244.1.1"), ip_address("fd00:10:244:1::1")
PODS = ip_network("10.244.1.0/24"), ip_network("fd00:10:244:1::/64")
SPEC = HostSpec(
    gateways=GATEWAYS,
    mtu_bytes=1450,
    devices=(
        DeviceSpec(name="loom_vxlan", kind="vxlan", attributes={"vxlan_collect_metadata": 1, "vxlan_port": 8472}),
    ),
)


def prepare(netns: Namespace, netlink: Netlink, spec: HostSpec = SPEC) -> HostLinks:
    return netns.call(prepare_host, netlink, spec)


def picture(netns: Namespace) -> list[str]:
    """Everything in a namespace that somebody may have put there, without counters and handles."""
    filters = [
        f"tc -json filter show dev {device} {direction}"
        for device in ("eth0", "eth1")
        for direction in ("ingress", "egress")
    ]
    commands = [
        "ip link show",
        "ip address show",
        "ip route show table all",
        "ip -6 route show table all",
        "ip rule show",
        "nft list ruleset",
        "tc qdisc show",
        *filters,
    ]
    return [f"{command}: {line}" for command in commands for line in netns.run(*command.split()).splitlines()]


FOREIGN_LINKS = """
link add eth0 type veth peer name eth1
link add lxcforeign type bridge
link add loom_foreign alias netloom:n1 type bridge
link set eth0 addrgenmode none
link set eth1 addrgenmode none
link set lxcforeign addrgenmode none
address add 192.168.77.11/24 dev eth0
link set eth0 up
link set eth1 up
link set lxcforeign up
route add 10.9.0.0/16 dev eth0 proto static
route add fd00:9::/64 dev eth0 proto static
"""
"""Without link-local addresses, whose duplicate detection would change the picture by itself."""
FOREIGN_FILTERS = """
qdisc add dev eth0 clsact
qdisc add dev eth1 clsact
filter add dev eth0 ingress prio 10 protocol ip u32 match u32 0 0 flowid 1:1
filter add dev eth1 egress prio 76 protocol ip u32 match u32 0 0 flowid 1:1
"""
FOREIGN_RULES = """
table inet netloom_other { chain c { type filter hook input priority 0; }; }
table ip nat { chain post { type nat hook postrouting priority 100; }; }
"""


@pytest.fixture
def furnished(netns: Namespace) -> Namespace:
    """A node where others have links, addresses, routes, filters and firewall rules, some much like ours."""
    netns.run("ip", "-batch", "-", stdin=FOREIGN_LINKS)
    netns.run("ip", "route", "add", "10.9.0.0/16", "dev", "eth0", "proto", "76", "table", "100")
    netns.run("tc", "-batch", "-", stdin=FOREIGN_FILTERS)
    netns.run("nft", "-f", "-", stdin=FOREIGN_RULES)
    return netns


def test_the_node_gets_its_devices_addresses_and_settings(netns: Namespace, netlink: Netlink) -> None:
    links = prepare(netns, netlink)
    assert [(link.name, link.up, link.mtu_bytes) for link in (links.host, links.net)] == [
        ("loom_host", True, 1450),
        ("loom_net", True, 1450),
    ]
    assert (links.devices["loom_vxlan"].kind, netlink.device_addresses("loom_host")) == ("vxlan", GATEWAYS)
    assert [netns.call(read_sysctl, name) for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")] == ["1", "1"]


def test_preparing_again_changes_nothing(netns: Namespace, netlink: Netlink) -> None:
    assert prepare(netns, netlink) == prepare(netns, netlink)


def test_only_the_families_asked_for_are_forwarded(netns: Namespace, netlink: Netlink) -> None:
    before = netns.call(read_sysctl, "ipv6/conf/all/forwarding")
    prepare(netns, netlink, replace(SPEC, gateways=GATEWAYS[:1]))
    assert netns.call(read_sysctl, "ipv6/conf/all/forwarding") == before


def test_a_strict_node_takes_packets_by_our_devices(netns: Namespace, netlink: Netlink) -> None:
    netns.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    prepare(netns, netlink)
    names = ("loom_host", "loom_net", "loom_vxlan")
    assert [netns.call(read_sysctl, f"ipv4/conf/{name}/rp_filter") for name in names] == ["2"] * 3


def test_ipv6_switched_off_on_the_node_is_switched_on_for_our_devices_alone(netns: Namespace, netlink: Netlink) -> None:
    netns.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    netns.run("ip", "link", "add", "eth0", "type", "bridge")
    prepare(netns, netlink)
    found = [netns.call(read_sysctl, f"ipv6/conf/{name}/disable_ipv6") for name in ("loom_host", "loom_vxlan", "eth0")]
    assert found == ["0", "0", "1"]


def test_an_mtu_too_small_for_ipv6_is_refused_before_anything_is_made(netns: Namespace, netlink: Netlink) -> None:
    with pytest.raises(Invalid, match="expected 1280 to 65535"):
        prepare(netns, netlink, replace(SPEC, mtu_bytes=1279))
    assert netlink.own_links() == ()


def test_a_foreign_device_of_a_name_we_need_stops_it(netns: Namespace, netlink: Netlink) -> None:
    netns.run("ip", "link", "add", "loom_net", "type", "bridge")
    with pytest.raises(Conflict, match='"loom_net"'):
        prepare(netns, netlink)


def test_gateway_routes_lead_to_pods(netns: Namespace, netlink: Netlink) -> None:
    """The node's packets to pods take loom_host and carry its address."""
    prepare(netns, netlink)
    netlink.put_route(RouteSpec(prefix=PODS[0], device="loom_host", via=GATEWAYS[0], source=GATEWAYS[0]))
    netlink.put_route(RouteSpec(prefix=PODS[1], device="loom_host", source=GATEWAYS[1]))
    assert "dev loom_host src 10.244.1.1" in netns.run("ip", "route", "get", "10.244.1.7")
    assert "dev loom_host proto 76 src fd00:10:244:1::1" in netns.run("ip", "route", "get", "fd00:10:244:1::7")


def test_cleaning_removes_all_of_ours_and_nothing_else(
    furnished: Namespace, netlink: Netlink, make_netns: NamespaceFactory
) -> None:
    before = picture(furnished)
    occupy(furnished, netlink, make_netns("pod"))
    assert picture(furnished) != before
    removed = furnished.call(clean_host, netlink)
    assert picture(furnished) == before
    assert set(removed) == {
        'filter ingress filter of device "eth0"',
        f"firewall table {guard_table('n1')} (guard)",
        f"firewall table {masquerade_table('n1')} (masquerading)",
        "link loom_host",
        "IPv4 rule for packets of the proxy",
        "IPv6 rule for packets of the proxy",
        "link loom_net",
        "link loom_vxlan",
        "link lxc0123456789ab",
        "route 10.244.1.0/24",
        "route fd00:10:244:1::/64",
    }


def test_cleaning_again_finds_nothing(furnished: Namespace, netlink: Netlink) -> None:
    before = picture(furnished)
    assert (furnished.call(clean_host, netlink), picture(furnished)) == ((), before)


def occupy(node: Namespace, netlink: Netlink, pod: Namespace) -> None:
    """Make one of everything an agent makes, and a filter on somebody else's device."""
    prepare(node, netlink)
    for prefix in PODS:
        netlink.put_route(RouteSpec(prefix=prefix, device="loom_host"))
    fd = load_verdict(0)
    netlink.attach_filter("eth0", "ingress", fd, "from_netdev")
    spec = WorkloadSpec(
        host_ifname="lxc0123456789ab",
        ifname="eth0",
        netns=str(pod.path),
        addresses=(ip_address("10.244.1.7"),),
        gateways=GATEWAYS[:1],
        mtu_bytes=1450,
        program_fd=fd,
        program_name="from_container",
    )
    node.call(create_workload, netlink, spec)
    os.close(fd)
    masquerade = MasqueradeSpec(node_name="n1", pod_cidrs=PODS, cluster_cidrs=(), devices=("lxc*",))
    node.call(ensure_masquerade, masquerade)
    node.call(ensure_guard, "n1", ["loom_host"])
