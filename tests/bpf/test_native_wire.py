"""Native mode on real devices: what stands on the wire, who is asked for, and what is delivered."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from netloom.edge.netlink import Direction
from netloom.model.address import Address
from support import packets
from support.native import make_native
from support.netns import Namespace
from support.packets import UDP
from support.pipeline import CAROL
from support.wire import WITHIN_S, WireNode, Workload

pytestmark = pytest.mark.kernel

HERE = (IPv4Address("192.0.2.1"), IPv6Address("2001:db8:1::1"))
THERE = (IPv4Address("192.0.2.2"), IPv6Address("2001:db8:1::2"))
BOTH = pytest.mark.parametrize("target", [CAROL.ipv4, CAROL.ipv6], ids=["ipv4", "ipv6"])


@dataclass(frozen=True, slots=True)
class Wire:
    """A node with a workload, and the other node, which has CAROL's addresses itself."""

    node: WireNode
    workload: Workload
    other: Namespace
    arriving: socket.socket

    def datagram(self, payload: bytes) -> bytes:
        """The next frame that carries it."""
        while payload not in (frame := self.arriving.recv(65535)):
            continue
        return frame

    def frame_to(self, target: Address, payload: bytes) -> bytes:
        """The workload's frame with a datagram."""
        own = self.workload.pod
        source = own.ipv4 if target.version == 4 else own.ipv6
        packet = packets.ip(packets.udp(payload), source=source, destination=target, protocol=UDP)
        return packets.ethernet(packet, source=own.mac, destination=own.node_mac)


def _addressed(own: tuple[IPv4Address, IPv6Address]) -> tuple[str, ...]:
    """Commands that give this end of the cable its addresses."""
    return (
        f"address add {own[0]}/24 dev under",
        f"address add {own[1]}/64 dev under nodad",
        "link set under up",
    )


@pytest.fixture
def way(wire: WireNode, make_netns: Callable[[str], Namespace]) -> Iterator[Wire]:
    other = make_netns("other")
    wire.netns.batch(f"link add under type veth peer under netns {other.name}")
    other.batch("link set lo up", *_addressed(THERE))
    wire.netns.batch(*_addressed(HERE))
    for address, bits, hop in ((CAROL.ipv4, 32, HERE[0]), (CAROL.ipv6, 128, HERE[1])):
        prefix = "10.244.1.0/24" if address.version == 4 else "fd00:10:244:1::/64"
        other.batch(
            f"address add {address}/{bits} dev lo {'nodad' if bits == 128 else ''}",
            f"route add {prefix} via {hop} src {address}",
        )
    wire.netns.batch(f"route add 10.244.2.0/24 via {THERE[0]}", f"route add fd00:10:244:2::/64 via {THERE[1]}")
    make_native(wire.pipeline)
    places: tuple[tuple[Direction, str], ...] = (("ingress", "from_netdev"), ("egress", "to_netdev"))
    for direction, name in places:
        program = wire.pipeline.programs[name]
        wire.netns.call(wire.netlink.attach_filter, "under", direction, program.fd, program.name)
    ifindex = wire.netns.call(wire.netlink.require_link, "under").ifindex
    wire.pipeline.write_node(replace(wire.config(), uplinks=(ifindex,), flags=1))
    with other.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as arriving:
        arriving.bind(("under", 3))
        arriving.settimeout(WITHIN_S)
        yield Wire(wire, wire.add(10), other, arriving)


@BOTH
def test_the_first_packet_waits_for_its_neighbor_and_goes_as_it_is(way: Wire, target: Address) -> None:
    """With the next hop's address, one hop less, and not a byte more."""
    sent = way.frame_to(target, b"as it is")
    way.workload.inject(sent)
    frame = way.datagram(b"as it is")
    mac = way.arriving.getsockname()[4]
    assert frame[:6] == mac
    ttl = 22 if target.version == 4 else 21
    assert (frame[ttl], sent[ttl], len(frame)) == (63, 64, len(sent))
    if target.version == 4:
        assert packets.checksum(frame[14:34]) == 0
    assert frame[26:] == sent[26:] if target.version == 4 else frame[22:] == sent[22:]


@BOTH
def test_a_pod_and_another_nodes_speak_both_ways_past_the_hosts_stack(way: Wire, target: Address) -> None:
    """The host's stack may not forward a thing meanwhile."""
    rules = "add table inet shut; add chain inet shut shut { type filter hook forward priority 0; policy drop; }"
    way.node.netns.run("nft", rules)
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    with (
        way.other.call(socket.socket, family, socket.SOCK_STREAM) as server,
        way.workload.open_socket(family, socket.SOCK_STREAM) as client,
    ):
        server.settimeout(WITHIN_S)
        server.bind((str(target), 7))
        server.listen()
        client.connect((str(target), 7))
        accepted, peer = server.accept()
        with accepted:
            accepted.settimeout(WITHIN_S)
            body = bytes(1 << 20)
            accepted.sendall(b"hello")
            assert client.recv(5) == b"hello"
            client.settimeout(WITHIN_S)
            received = 0
            for start in range(0, len(body), 1 << 16):
                client.sendall(body[start : start + (1 << 16)])
                while received < start + (1 << 16):
                    received += len(accepted.recv(1 << 16))
    own = way.workload.pod
    assert peer[0] == str(own.ipv4 if target.version == 4 else own.ipv6)


def test_a_frame_to_a_group_goes_by_its_ip_address(way: Wire) -> None:
    """The kernel would drop, and count nowhere, what is addressed to a group."""
    frame = way.frame_to(CAROL.ipv4, b"to a group")
    way.workload.inject(bytes.fromhex("01005e000001") + frame[6:])
    assert b"to a group" in way.datagram(b"to a group")


@BOTH
def test_a_neighbor_that_is_used_is_asked_for_again(way: Wire, target: Address) -> None:
    """Whoever wrote Ethernet headers himself would go on to one that has left."""
    hop = str(THERE[0] if target.version == 4 else THERE[1])
    way.node.netns.run("ip", "neigh", "replace", hop, "lladdr", "02:00:00:00:00:42", "dev", "under", "nud", "stale")
    way.workload.inject(way.frame_to(target, b"is it still there"))
    way.datagram(b"is it still there")
    assert "STALE" not in way.node.netns.run("ip", "neigh", "show", hop, "dev", "under")


def test_several_next_hops_share_connections(way: Wire) -> None:
    """By ports, where the kernel is told to: each keeps to one."""
    way.node.netns.run("sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1")
    macs = {"192.0.2.3": "02:00:00:00:00:03", "192.0.2.4": "02:00:00:00:00:04"}
    for hop, mac in macs.items():
        way.node.netns.run("ip", "neigh", "add", hop, "lladdr", mac, "dev", "under")
    hops = [word for hop in macs for word in ("nexthop", "via", hop)]
    way.node.netns.run("ip", "route", "replace", "10.244.2.0/24", *hops)
    taken: dict[int, set[bytes]] = {}
    own = way.workload.pod
    for port in [*range(40000, 40032)] * 2:
        body = packets.udp(b"port %d" % port, source_port=port)
        packet = packets.ip(body, source=own.ipv4, destination=CAROL.ipv4, protocol=UDP)
        way.workload.inject(packets.ethernet(packet, source=own.mac, destination=own.node_mac))
        frame = way.datagram(b"port %d" % port)
        assert struct.unpack_from(">H", frame, 34) == (port,)
        taken.setdefault(port, set()).add(frame[:6])
    assert {len(found) for found in taken.values()} == {1}
    assert set.union(*taken.values()) == {bytes.fromhex(mac.replace(":", "")) for mac in macs.values()}
