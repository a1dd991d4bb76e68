"""Two network modes as one: who reaches whom, and which two cannot be at work side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from netloom.model.address import Address, Family
from netloom.model.errors import Invalid, PluginError
from netloom.model.node import Node
from netloom.plugins.contract import (
    UNDERLAY,
    AttachPoint,
    BpfProgram,
    DeviceSpec,
    Reach,
    RouteSpec,
    Tunnel,
    WorkloadKind,
)
from netloom.plugins.fallback import Modes
from netloom.plugins.owned import OwnedProgram, refuse_programs

LOCAL = Node(
    name="a",
    underlay_ipv4=IPv4Address("192.0.2.1"),
    underlay_ipv6=None,
    pod_cidrs=(IPv4Network("10.1.0.0/24"),),
    gateways=(IPv4Address("10.1.0.1"),),
    mode="plain",
    modes=("plain", "boxed"),
)
REMOTE = replace(LOCAL, name="b", underlay_ipv4=IPv4Address("192.0.2.2"), pod_cidrs=(IPv4Network("10.2.0.0/24"),))
PEER: Address = IPv4Address("192.0.2.2")


@dataclass
class Plain:
    """Sends packets as they are to whoever takes them so."""

    workload = WorkloadKind.VETH
    tunnel: Tunnel | None = None

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        del underlay
        return underlay_mtu_bytes

    def devices(self) -> tuple[DeviceSpec, ...]:
        return ()

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        del local
        if not remote.takes("plain"):
            raise Invalid(f'"{remote.name}" is not plain')
        routes = tuple(RouteSpec(prefix=cidr, device=UNDERLAY, mtu_bytes=mtu_bytes) for cidr in remote.pod_cidrs)
        return Reach(native=frozenset(remote.pod_cidrs), routes=routes)


@dataclass
class Boxed:
    """Sends them in a tunnel."""

    workload = WorkloadKind.VETH
    tunnel: Tunnel | None = field(default_factory=lambda: Tunnel("box0", 1))

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        del underlay
        return underlay_mtu_bytes - 50

    def devices(self) -> tuple[DeviceSpec, ...]:
        return (DeviceSpec(name="box0", kind="vxlan"),)

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        del local
        if not remote.takes("boxed"):
            raise Invalid(f'"{remote.name}" is not boxed')
        routes = tuple(RouteSpec(prefix=cidr, device="box0", mtu_bytes=mtu_bytes) for cidr in remote.pod_cidrs)
        return Reach(tunnels=dict.fromkeys(remote.pod_cidrs, PEER), peers=frozenset({PEER}), routes=routes)


@pytest.fixture
def both() -> Modes:
    return Modes({"plain": Plain(), "boxed": Boxed()})


def test_the_first_mode_that_reaches_a_node_is_taken(both: Modes) -> None:
    assert both.way(LOCAL, REMOTE, 1500).mode == "plain"


def test_the_fallback_is_taken_with_the_reason_why_the_first_is_not(both: Modes) -> None:
    way = both.way(LOCAL, replace(REMOTE, modes=("boxed",)), 1500)
    assert (way.mode, way.passed_over) == ("boxed", ('"b" is not plain',))


def test_a_node_that_nobody_reaches_is_refused_with_both_reasons(both: Modes) -> None:
    with pytest.raises(Invalid, match='"b" is not plain; "b" is not boxed'):
        both.reach(LOCAL, replace(REMOTE, modes=("pigeon",)), 1500)


def test_tunnel_packets_of_a_node_that_is_reached_without_are_believed(both: Modes) -> None:
    """It may not have chosen yet as this one has."""
    reach = both.way(LOCAL, REMOTE, 1500).reach
    assert reach.peers == {PEER}
    assert not reach.tunnels


def test_workloads_get_the_larger_mtu_and_routes_that_of_their_mode(both: Modes) -> None:
    assert both.mtu_bytes(1500, 4) == 1500
    plain, boxed = (both.reach(LOCAL, replace(REMOTE, modes=modes), 1500) for modes in (("plain",), ("boxed",)))
    assert (plain.routes[0].mtu_bytes, boxed.routes[0].mtu_bytes) == (1500, 1450)


def test_tunnel_and_devices_are_those_of_all_modes(both: Modes) -> None:
    assert both.tunnel == Tunnel("box0", 1)
    assert [device.name for device in both.devices()] == ["box0"]
    assert both.names == ("plain", "boxed")


def test_two_tunnels_are_refused() -> None:
    with pytest.raises(PluginError, match='"b": has a tunnel, and so has "a"; choose a fallback_mode without one'):
        Modes({"a": Boxed(), "b": Boxed()})


def test_two_modes_with_one_device_are_refused() -> None:
    with pytest.raises(PluginError, match='"b": wants device "box0", and so does "a"'):
        Modes({"a": Boxed(), "b": Boxed(tunnel=None)})


# --- programs -----------------------------------------------------------------------------------


def program(plugin: str, name: str, device: str = UNDERLAY) -> OwnedProgram:
    return OwnedProgram(plugin, BpfProgram(name=name, file="x.c", source="", target=AttachPoint(device, "ingress")))


def test_both_modes_may_have_a_program_at_the_underlay(both: Modes) -> None:
    refuse_programs([program("plain", "one"), program("boxed", "two")], both)


@pytest.mark.parametrize(
    ("programs", "words"),
    [
        ([program("plain", "one"), program("plain", "two")], "claims ingress of @underlay"),
        ([program("boxed", "one"), program("boxed", "two")], "claims ingress of @underlay as fallback"),
        ([program("plain", "one", "box0"), program("boxed", "two", "box0")], "claims ingress of box0"),
        ([program("plain", "one"), program("boxed", "one")], 'claims program name "one"'),
        ([program("other", "one")], 'program "one" is for device "@underlay", expected a device of the network mode'),
    ],
)
def test_programs_that_want_one_thing_are_refused(both: Modes, programs: list[OwnedProgram], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        refuse_programs(programs, both)
