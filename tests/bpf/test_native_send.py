"""What workloads send natively: every answer of the kernel's routes, the hop, and the errors that tell of them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network

import pytest

from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.model.address import Address
from support import packets
from support.emulated import FAMILIES
from support.native import KNOWING, make_native
from support.netns import Namespace
from support.packets import ETHERNET_BYTES, TCP
from support.pipeline import ALICE, CAROL, DAVE, GATEWAYS, HOST_MAC, NODE, Outcome, Pipeline, sent_by, to

pytestmark = [pytest.mark.bpf, pytest.mark.kernel]

SHOT, REDIRECT = 2, 7
BOTH = pytest.mark.parametrize("target", [CAROL.ipv6 if six else CAROL.ipv4 for six in FAMILIES], ids=str)
MTU = 1500


@dataclass(frozen=True, slots=True)
class Routed:
    """A node in a namespace, whose routes say where to; programs are run there."""

    pipeline: Pipeline
    netns: Namespace

    def run(self, frame: bytes, **given: int) -> Outcome:
        """A frame of ALICE's."""
        return self.netns.call(lambda: self.pipeline.run("from_container", frame, **given))

    def route(self, *words: str) -> None:
        """To both prefixes of the other node: ``words`` after them, in which ``NEXT`` is the next hop."""
        commands = []
        for prefix, hop in (("10.244.2.0/24", "192.0.2.2"), ("fd00:10:244:2::/64", "2001:db8:1::2")):
            kind, rest = (words[0], words[1:]) if words[0] in KINDS else ("", words)
            said = " ".join(hop if word == "NEXT" else word for word in rest)
            commands.append(f"route replace {kind} {prefix} {said}")
        self.netns.batch(*commands)


KINDS = ("blackhole", "unreachable", "prohibit")


@pytest.fixture
def routed(pipeline: Pipeline, make_netns: Callable[[str], Namespace]) -> Routed:
    netns = make_netns("native")
    devices = ("up0", "aside", "loom_host")
    netns.batch(
        *(f"link add {name} mtu {MTU} type veth peer {name}-far mtu {MTU}" for name in devices),
        *(f"link set {name}{end} up" for name in devices for end in ("", "-far")),
        "address add 192.0.2.1/24 dev up0",
        "address add 2001:db8:1::1/64 dev up0 nodad",
        *(f"neigh add {hop} lladdr 02:00:00:00:00:42 dev up0" for hop in ("192.0.2.2", "2001:db8:1::2")),
    )
    netns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    index = {name: netns.call(socket.if_nametoindex, name) for name in devices}
    make_native(pipeline)
    node = replace(
        NODE, host_ifindex=index["loom_host"], uplinks=(index["up0"],), mtu_bytes=MTU, tunnel_mtu_bytes=0, trace=1
    )
    pipeline.write_node(node)
    made = Routed(pipeline, netns)
    made.route("via", "NEXT", "dev", "up0")
    return made


@BOTH
def test_it_goes_out_with_the_hop_taken(routed: Routed, target: Address) -> None:
    done = routed.run(to(target))
    assert (done.verdict, done.packet) == (REDIRECT, to(target, ttl=63))
    assert done.observations == [Observation.FROM_ENDPOINT, Observation.TO_NETWORK]
    assert done.counters.keys() == {(DropReason.FORWARDED, Direction.EGRESS)}


@pytest.mark.parametrize("target", [DAVE.ipv4, DAVE.ipv6, KNOWING[0], KNOWING[1]], ids=str)
def test_a_pod_not_heard_of_yet_and_native_prefixes_go_the_same_way(routed: Routed, target: Address) -> None:
    for prefix, hop in (("198.51.100.0/24", "192.0.2.2"), ("2001:db8:99::/64", "2001:db8:1::2")):
        routed.netns.run("ip", "route", "add", prefix, "via", hop)
    assert routed.run(to(target)).observations[-1] is Observation.TO_NETWORK


@BOTH
def test_policies_are_asked_before(routed: Routed, target: Address) -> None:
    routed.pipeline.write_policy(ALICE.identity, {})
    assert routed.run(to(target)).reason is DropReason.POLICY


@BOTH
def test_an_unknown_neighbor_is_the_kernels_to_find_out(routed: Routed, target: Address) -> None:
    routed.netns.run("ip", "neigh", "flush", "dev", "up0", "nud", "all")
    assert routed.run(to(target)).observations[-1] is Observation.TO_NETWORK


def test_ipv4_may_go_by_a_next_hop_of_ipv6(routed: Routed) -> None:
    routed.netns.run("ip", "route", "replace", "10.244.2.0/24", "via", "inet6", "2001:db8:1::2", "dev", "up0")
    assert routed.run(to(CAROL.ipv4)).observations[-1] is Observation.TO_NETWORK


@BOTH
def test_other_devices_than_the_underlays_are_the_stacks(routed: Routed, target: Address) -> None:
    """Unchanged, since the stack takes the hop; and counted."""
    routed.route("dev", "aside")
    done = routed.run(to(target))
    assert done.observations[-1] is Observation.TO_STACK
    assert done.packet == HOST_MAC * 2 + to(target)[12:]
    assert (DropReason.BY_STACK, Direction.EGRESS) in done.counters
    assert not done.drops


@BOTH
def test_what_forwarding_is_off_for_is_the_stacks(routed: Routed, target: Address) -> None:
    routed.netns.run("sysctl", "-qw", "net.ipv4.conf.loom_host.forwarding=0", "net.ipv6.conf.loom_host.forwarding=0")
    assert routed.run(to(target)).observations[-1] is Observation.TO_STACK


@BOTH
def test_without_a_route_the_stack_tells_the_workload(routed: Routed, target: Address) -> None:
    for prefix in ("10.244.2.0/24", "fd00:10:244:2::/64"):
        routed.netns.run("ip", "route", "del", prefix)
    assert routed.run(to(target)).observations[-1] is Observation.TO_STACK


@BOTH
def test_a_blackhole_swallows(routed: Routed, target: Address) -> None:
    routed.route("blackhole")
    done = routed.run(to(target))
    assert (done.verdict, done.reason) == (SHOT, DropReason.NO_ROUTE)


@BOTH
@pytest.mark.parametrize("kind", ["unreachable", "prohibit"])
def test_a_route_that_refuses_is_told_of(routed: Routed, target: Address, kind: str) -> None:
    routed.route(kind)
    done = routed.run(to(target))
    assert (done.verdict, done.reason) == (REDIRECT, DropReason.NO_ROUTE)
    at = ETHERNET_BYTES + (20 if target.version == 4 else 40)
    assert tuple(done.packet[at : at + 2]) == ((3, 1) if target.version == 4 else (1, 0))


@BOTH
def test_a_route_back_to_loom_host_leads_nowhere(routed: Routed, target: Address) -> None:
    """The stack would send it there for ever."""
    routed.route("dev", "loom_host")
    assert routed.run(to(target)).reason is DropReason.NO_ROUTE


@pytest.mark.parametrize("target", [CAROL.ipv4, CAROL.ipv6], ids=["ipv4", "ipv6"])
def test_the_hosts_packets_that_come_by_loom_host_have_no_route(routed: Routed, target: Address) -> None:
    own = GATEWAYS[0] if target.version == 4 else GATEWAYS[1]
    packet = packets.ip(packets.udp(), source=own, destination=target, protocol=packets.UDP)
    frame = packets.ethernet(packet, source=HOST_MAC, destination=HOST_MAC)
    assert routed.pipeline.run("from_host", frame).reason is DropReason.NO_ROUTE


def of_size(target: Address, l3_bytes: int) -> bytes:
    return to(target, packets.udp(bytes(l3_bytes - (28 if target.version == 4 else 48))))


@BOTH
def test_the_whole_mtu_goes_and_one_byte_more_does_not(routed: Routed, target: Address) -> None:
    reasons = [routed.run(of_size(target, size)).reason for size in (MTU, MTU + 1)]
    assert reasons == [None, DropReason.TOO_BIG]


@BOTH
def test_the_workload_is_told_the_routes_own_mtu(routed: Routed, target: Address) -> None:
    routed.route("via", "NEXT", "dev", "up0", "mtu", "lock", "1400")
    assert routed.run(of_size(target, 1400)).reason is None
    done = routed.run(of_size(target, 1401))
    assert (done.verdict, done.reason) == (REDIRECT, DropReason.TOO_BIG)
    at = ETHERNET_BYTES + (20 if target.version == 4 else 40)
    assert struct.unpack_from(">BB2xI", done.packet, at) == ((3, 4, 1400) if target.version == 4 else (2, 0, 1400))


@BOTH
@pytest.mark.parametrize("excess", [0, 1])
def test_of_a_segmented_packet_the_segments_must_fit(routed: Routed, target: Address, excess: int) -> None:
    headers = (20 if target.version == 4 else 40) + 20
    frame = to(target, packets.tcp(bytes(3000)), protocol=TCP)
    done = routed.run(frame, gso_size=MTU - headers + excess)
    assert done.reason == (DropReason.TOO_BIG if excess else None)


def test_segments_that_are_listed_go_out(routed: Routed) -> None:
    gso_by_frags, sctp = 0xFFFF, 132
    assert routed.run(to(CAROL.ipv4, bytes(3000), protocol=sctp), gso_size=gso_by_frags).reason is None


@BOTH
def test_the_last_hop_is_told_of_by_the_gateway(routed: Routed, target: Address) -> None:
    done = routed.run(to(target, ttl=1))
    assert (done.verdict, done.reason) == (REDIRECT, DropReason.TTL_EXCEEDED)


def test_fragments_follow_their_first_by_the_same_next_hop(routed: Routed) -> None:
    def piece(fragment: int) -> bytes:
        body = packets.udp(bytes(24))
        return sent_by(
            ALICE,
            packets.ipv4(body, source=ALICE.ipv4, destination=CAROL.ipv4, protocol=packets.UDP, fragment=fragment),
        )

    first, later = (routed.run(piece(at)) for at in (packets.MORE_FRAGMENTS, 185))
    assert [done.observations[-1] for done in (first, later)] == [Observation.TO_NETWORK] * 2


def test_a_tunnels_own_mtu_holds_for_what_goes_through_it(routed: Routed) -> None:
    """Where nodes are reached both ways, pods have the larger one."""
    node = replace(NODE, mtu_bytes=MTU, tunnel_mtu_bytes=1450)
    routed.pipeline.write_node(node)
    routed.pipeline.write_ipcache(ip_network(CAROL.ipv4), identity=CAROL.identity, tunnel_endpoint=KNOWING[0])
    done = routed.run(of_size(CAROL.ipv4, 1451))
    assert (done.reason, struct.unpack_from(">I", done.packet, 38)[0]) == (DropReason.TOO_BIG, 1450)
    assert routed.run(of_size(CAROL.ipv4, 1450)).reason is None
