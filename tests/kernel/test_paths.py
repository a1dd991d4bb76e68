"""The kernel's answers about packets, asked without sending any."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from netloom.edge.paths import NoPath, Path, Question, RouteKind, find_path, is_known_silent, neighbor_of
from netloom.edge.rtnl import RtnlSocket
from support.netns import Namespace

pytestmark = pytest.mark.kernel

ROUTER = ip_address("192.168.5.9"), ip_address("fd05::9")
OWN = ip_address("192.168.5.1"), ip_address("fd05::1")
FAR = ip_address("198.51.100.1"), ip_address("2001:db8::1")
WORKLOAD = ip_address("10.1.0.5"), ip_address("fd10::5")
FAMILIES = pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])


@pytest.fixture
def router(netns: Namespace) -> Iterator[RtnlSocket]:
    """A node that forwards: e0 to the world, h0 to its workloads."""
    for command in (
        "ip link set lo up",
        "ip link add e0 type veth peer name e1",
        "ip link add h0 type veth peer name h1",
        *(f"ip link set {name} up" for name in ("e0", "e1", "h0", "h1")),
        "ip address add 192.168.5.1/24 dev e0",
        "ip address add fd05::1/64 dev e0 nodad",
        "ip route add 10.1.0.0/24 dev h0 mtu 1400",
        "ip -6 route add fd10::/64 dev h0 mtu 1400",
        "ip route add default via 192.168.5.9",
        "ip -6 route add default via fd05::9",
        "sysctl -qw net.ipv4.ip_forward=1",
    ):
        netns.run(*command.split())
    with netns.call(RtnlSocket) as rtnl:
        yield rtnl


def index_of(netns: Namespace, device: str) -> int:
    return int(netns.run("cat", f"/proc/net/dev_snmp6/{device}").split()[1])


def asked(router: RtnlSocket, netns: Namespace, destination: object, source: object, device: str) -> Path | NoPath:
    question = Question(
        destination=destination,  # type: ignore[arg-type]
        source=source,  # type: ignore[arg-type]
        received_by=index_of(netns, device) if device else 0,
    )
    return find_path(router, question)


@FAMILIES
def test_what_the_node_sends_has_a_source_and_a_next_hop(router: RtnlSocket, netns: Namespace, family: int) -> None:
    path = asked(router, netns, FAR[family], None, "")
    assert isinstance(path, Path)
    assert (path.kind, path.via, path.source) == (RouteKind.UNICAST, ROUTER[family], OWN[family])
    assert path.ifindex == index_of(netns, "e0")


@FAMILIES
def test_what_a_workload_sends_to_the_world_is_forwarded(router: RtnlSocket, netns: Namespace, family: int) -> None:
    path = asked(router, netns, FAR[family], WORKLOAD[family], "h0")
    assert isinstance(path, Path)
    assert (path.is_here, path.ifindex) == (False, index_of(netns, "e0"))


@FAMILIES
def test_what_is_for_the_node_is_here(router: RtnlSocket, netns: Namespace, family: int) -> None:
    path = asked(router, netns, OWN[family], WORKLOAD[family], "h0")
    assert isinstance(path, Path)
    assert path.is_here


@FAMILIES
def test_the_mtu_of_a_route_is_told(router: RtnlSocket, netns: Namespace, family: int) -> None:
    path = asked(router, netns, WORKLOAD[family], None, "")
    assert isinstance(path, Path)
    assert path.mtu_bytes == 1400


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("sysctl -qw net.ipv4.ip_forward=0", "forwarding is off"),
        ("ip route replace blackhole 198.51.100.0/24", "drops it"),
        ("ip route replace prohibit 198.51.100.0/24", "prohibits"),
        ("ip route replace unreachable 198.51.100.0/24", "no route"),
        ("ip route del default", "no route"),
    ],
)
def test_what_is_not_forwarded_has_a_reason(router: RtnlSocket, netns: Namespace, command: str, text: str) -> None:
    netns.run(*command.split())
    found = asked(router, netns, FAR[0], WORKLOAD[0], "h0")
    assert isinstance(found, NoPath)
    assert text in found.text


def test_a_strict_reverse_path_filter_is_heeded(router: RtnlSocket, netns: Namespace) -> None:
    """A workload's address that comes in from the world."""
    netns.run("sysctl", "-qw", "net.ipv4.conf.e0.rp_filter=1")
    found = asked(router, netns, OWN[0], WORKLOAD[0], "e0")
    assert isinstance(found, NoPath)
    assert "reverse-path filter" in found.text


@FAMILIES
def test_a_neighbour_is_known_or_not(router: RtnlSocket, netns: Namespace, family: int) -> None:
    """Asking makes no entry."""
    index = index_of(netns, "e0")
    assert neighbor_of(router, index, ROUTER[family]) is None
    assert "192.168.5.9" not in netns.run("ip", "neigh")
    netns.run("ip", "neigh", "add", str(ROUTER[family]), "lladdr", "02:00:00:00:00:09", "dev", "e0")
    assert neighbor_of(router, index, ROUTER[family]) == bytes([2, 0, 0, 0, 0, 9])


@FAMILIES
def test_a_neighbour_who_was_asked_in_vain_is_known_to_be_silent(
    router: RtnlSocket, netns: Namespace, family: int
) -> None:
    """One that is not known at all is not: nobody has asked."""
    index = index_of(netns, "e0")
    assert not is_known_silent(router, index, ROUTER[family])
    netns.run("ip", "neigh", "add", str(ROUTER[family]), "nud", "failed", "dev", "e0")
    assert is_known_silent(router, index, ROUTER[family])
    assert neighbor_of(router, index, ROUTER[family]) is None


def test_a_loopback_address_from_a_device_is_martian(router: RtnlSocket, netns: Namespace) -> None:
    found = asked(router, netns, ip_address("127.0.0.1"), WORKLOAD[0], "h0")
    assert isinstance(found, NoPath)
    assert "loopback address" in found.text
