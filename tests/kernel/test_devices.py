"""The keeper of a node's devices: an intact node is left alone, damage is named and put right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netloom.agent.devices import Devices, Interface
from netloom.bpf.programs import LoadedProgram
from netloom.edge.host import HostSpec
from netloom.edge.netlink import Netlink
from netloom.edge.requests import VethEnd, new_veth
from netloom.plugins.contract import AttachPoint, DeviceSpec
from support.bpf import load_verdict
from support.netns import Namespace

pytestmark = pytest.mark.kernel

SPEC = HostSpec(
    gateways=(ip_address("10.244.1.1"), ip_address("fd00:10:244:1::1")),
    mtu_bytes=1450,
    devices=(
        DeviceSpec(name="loom_vxlan", kind="vxlan", attributes={"vxlan_collect_metadata": 1, "vxlan_port": 8472}),
    ),
)
LXC = "lxc0123456789ab"


@pytest.fixture
def devices(netns: Namespace, netlink: Netlink) -> Devices:
    return netns.call(Devices, netlink, SPEC)


@pytest.fixture
def interface(netlink: Netlink) -> Interface:
    """As an attachment leaves it: marked, up, with the largest MTU."""
    end = VethEnd(name=LXC, mac=bytes([2, 0, 0, 0, 0, 1]), mtu_bytes=65535)
    netlink.socket.call(new_veth(end, replace(end, name="peer", mac=bytes([2, 0, 0, 0, 0, 2]), marked=False)))
    made = netlink.require_link(LXC)
    netlink._settle(made, mtu_bytes=65535)
    return Interface(name=LXC, ifindex=made.ifindex)


@pytest.fixture
def program() -> Iterator[LoadedProgram]:
    fd = load_verdict(0)
    with LoadedProgram(os.dup(fd), "from_container") as loaded:
        yield loaded
    os.close(fd)


HOST_DAMAGE = {
    "ip link delete loom_vxlan": "device loom_vxlan: made again",
    "ip link set loom_host down": "device loom_host: up False to True",
    "ip link set loom_host mtu 1280": "device loom_host: mtu_bytes 1280 to 1450",
    "ip address delete 10.244.1.1/32 dev loom_host": "address 10.244.1.1 of loom_host: added",
    "ip address add 192.0.2.7/32 dev loom_host": "address 192.0.2.7 of loom_host: removed",
    "sysctl -qw net.ipv4.ip_forward=0": "setting net/ipv4/ip_forward: 0 to 1",
    "sysctl -qw net.ipv6.conf.all.forwarding=0": "setting net/ipv6/conf/all/forwarding: 0 to 1",
    "sysctl -qw net.ipv6.conf.loom_vxlan.disable_ipv6=1": "setting net/ipv6/conf/loom_vxlan/disable_ipv6: 1 to 0",
}


@pytest.mark.parametrize("damage", HOST_DAMAGE)
def test_damage_to_the_nodes_own_devices_is_named_and_put_right(
    netns: Namespace, devices: Devices, damage: str
) -> None:
    """And is found no second time."""
    netns.run(*damage.split())
    found = [f"{repair.name}: {repair.action}" for repair in netns.call(devices.repair_host)]
    assert HOST_DAMAGE[damage] in found
    assert netns.call(devices.repair_host) == []


def test_an_intact_node_needs_nothing(netns: Namespace, devices: Devices) -> None:
    assert netns.call(devices.repair_host) == []


LINK_DAMAGE = {
    "down": "up False to True",
    "mtu 1400": "mtu_bytes 1400 to 65535",
    "group default": "group 0x0 to 0x6c6f6f6d",
}


@pytest.mark.parametrize("damage", LINK_DAMAGE)
def test_damage_to_a_workloads_interface_is_put_right(
    netns: Namespace, devices: Devices, interface: Interface, damage: str
) -> None:
    netns.run("ip", "link", "set", LXC, *damage.split())
    repairs, gone = netns.call(devices.repair_interfaces, [interface])
    assert ([repair.action for repair in repairs], gone) == ([LINK_DAMAGE[damage]], frozenset())
    assert netns.call(devices.repair_interfaces, [interface]) == ([], frozenset())


def test_an_interface_that_somebody_made_theirs_is_left_alone(
    netns: Namespace, devices: Devices, interface: Interface
) -> None:
    """The alias says whose a link is."""
    netns.run("ip", "link", "set", LXC, "alias", "a stranger's")
    netns.run("ip", "link", "set", LXC, "down")
    assert netns.call(devices.repair_interfaces, [interface]) == ([], frozenset())


@pytest.mark.parametrize("loss", [("delete", LXC), ("set", LXC, "down", "name", "elsewhere")])
def test_an_interface_that_is_gone_is_named(
    netns: Namespace, devices: Devices, interface: Interface, loss: tuple[str, ...]
) -> None:
    netns.run("ip", "link", *loss)
    assert netns.call(devices.repair_interfaces, [interface]) == ([], frozenset({LXC}))


def test_a_program_is_put_where_it_is_missing(
    netns: Namespace, devices: Devices, interface: Interface, program: LoadedProgram, netlink: Netlink
) -> None:
    """Once; a device that is gone is somebody else's business."""
    wanted = {AttachPoint(interface.name, "ingress"): program, AttachPoint("absent", "ingress"): program}
    (repair,) = netns.call(devices.repair_filters, wanted)
    assert repair.name == f"filter ingress of {LXC}"
    found = netlink.filter_of(LXC, "ingress")
    assert found is not None
    assert found.program_id == program.id
    assert netns.call(devices.repair_filters, wanted) == []
