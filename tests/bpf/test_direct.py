"""The direct way between nodes: which packets take it, that nobody can tell from the wire, and what is left alone."""

from __future__ import annotations

import platform
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from netloom.bpf.testrun import run
from netloom.datapath import registry
from netloom.datapath.maps import Index
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.lab.agents import wait_until
from netloom.model.address import Address
from netloom.model.identity import Reserved
from netloom_vxlan.plugin import BULK_FLOWS, BulkFlow
from support import packets
from support.emulated import EMULATED
from support.netns import Namespace
from support.packets import ETHERNET_BYTES, IPV4, IPV6, UDP, VLAN
from support.pipeline import BOB, CAROL, LOOPBACK, NODE, TUNNEL_PORT, UNDERLAY, Pipeline
from support.wire import WITHIN_S, WireNode, Workload

HERE, THERE = IPv4Address("192.168.77.11"), IPv4Address("192.168.77.12")
OUTER_BYTES = 50
"""Outer IP, UDP, VXLAN, inner Ethernet."""
LEFT, REDIRECT = -1, 7
"""TC_ACT_UNSPEC and TC_ACT_REDIRECT."""
NULL_MAC = bytes(6)
"""Of the loopback device, which stands for the underlay's in made-up runs."""

# --- what comes, in made-up runs ----------------------------------------------------------------


@pytest.fixture
def receiver(pipeline: Pipeline) -> Pipeline:
    """A node whose underlay device is the loopback device, and a neighbour it believes."""
    pipeline.write_node(replace(NODE, underlay_ipv4=HERE, underlay_ifindex=LOOPBACK))
    pipeline.maps.of(registry.PEERS).put(registry.PeerKey(UNDERLAY), registry.PeerInfo(Reserved.REMOTE_NODE))
    for index in range(BULK_FLOWS.max_entries):
        pipeline.maps.of(BULK_FLOWS).put(Index(index), BulkFlow(seen_jiffies=0))
    return pipeline


def inner(destination: Address = BOB.ipv4) -> bytes:
    """A frame of CAROL's for a workload of this node."""
    source = CAROL.ipv4 if destination.version == 4 else CAROL.ipv6
    packet = packets.ip(packets.udp(), source=source, destination=destination, protocol=UDP)
    return packets.ethernet(packet, source=CAROL.mac, destination=CAROL.node_mac)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """Everything about a tunnel packet that may be otherwise."""

    frame: bytes = inner()
    flags: int = 0x08000000
    vni: int = CAROL.identity << 8
    source: Address = UNDERLAY
    destination: Address = HERE
    port: int = TUNNEL_PORT
    source_port: int = 40000
    checksum: int = 0
    datagram_extra: int = 0
    protocol: int = UDP
    fragment: int = 0
    options: bytes = b""
    tos: int = 0
    mac: bytes = NULL_MAC
    tail: bytes = b""
    spoilt_at: int | None = None
    """Offset of a byte of the IP header that is changed without a word to the checksum."""

    def packet(self) -> bytes:
        """On the wire."""
        body = struct.pack(">II", self.flags, self.vni) + self.frame
        length = 8 + len(body) + self.datagram_extra
        datagram = struct.pack(">HHHH", self.source_port, self.port, length, self.checksum) + body
        ip = bytearray(
            packets.ipv4(
                datagram,
                source=self.source,
                destination=self.destination,
                protocol=self.protocol,
                fragment=self.fragment,
                options=self.options,
            )
        )
        ip[1] = self.tos
        header_bytes = 20 + len(self.options)
        ip[10:12] = b"\0\0"
        ip[10:12] = struct.pack(">H", packets.checksum(bytes(ip[:header_bytes])))
        if self.spoilt_at is not None:
            ip[self.spoilt_at] ^= 1
        return packets.ethernet(bytes(ip), source=CAROL.node_mac, destination=self.mac) + self.tail


KERNEL = tuple(map(int, platform.release().split("-")[0].split(".")[:2]))
TURNS_TO_IPV6 = KERNEL >= (6, 3)
"""Whether the kernel can make an IPv6 packet of one in IPv4 (BPF_F_ADJ_ROOM_DECAP_L3_IPV6)."""
ADDRESSES = [
    pytest.param(BOB.ipv4, id="ipv4"),
    pytest.param(BOB.ipv6, id="ipv6", marks=pytest.mark.skipif(not TURNS_TO_IPV6, reason="needs Linux 6.3")),
]


@pytest.mark.bpf
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("tos", [0, 1, 2, 0xB8])
def test_a_nodes_packet_is_delivered_as_the_frame_inside(receiver: Pipeline, address: Address, tos: int) -> None:
    sent = inner(address)
    done = receiver.run("from_underlay", Tunnel(frame=sent, tos=tos).packet())
    assert (done.verdict, done.packet) == (REDIRECT, BOB.mac + BOB.node_mac + sent[12:])
    assert done.counters.keys() == {(DropReason.FORWARDED, Direction.INGRESS)}


@pytest.mark.bpf
@pytest.mark.skipif(TURNS_TO_IPV6, reason="needs a kernel before Linux 6.3")
def test_a_kernel_that_cannot_turn_to_ipv6_leaves_such_packets_as_they_came(receiver: Pipeline) -> None:
    sent = Tunnel(frame=inner(BOB.ipv6)).packet()
    done = receiver.run("from_underlay", sent)
    assert (done.verdict, done.packet, done.counters) == (LEFT, sent, {})


LEFT_ALONE = {
    "another-protocol": Tunnel(protocol=packets.TCP),
    "another-port": Tunnel(port=TUNNEL_PORT + 1),
    "another-receiver": Tunnel(destination=ip_address("192.168.77.13")),
    "not-our-frame": Tunnel(mac=BOB.mac),
    "a-group": Tunnel(mac=b"\xff" * 6),
    "first-fragment": Tunnel(fragment=packets.MORE_FRAGMENTS),
    "later-fragment": Tunnel(fragment=185),
    "options": Tunnel(options=b"\x01\x01\x01\x00"),
    "spoilt-header": Tunnel(spoilt_at=8),
    "checksum-to-verify": Tunnel(checksum=0x1234),
    "datagram-too-long": Tunnel(datagram_extra=1),
    "datagram-too-short": Tunnel(datagram_extra=-1),
    "padding": Tunnel(tail=b"\0"),
    "congestion": Tunnel(tos=3),
    "no-vni": Tunnel(flags=0),
    "unknown-flag": Tunnel(flags=0x08000001),
    "reserved-bits": Tunnel(vni=CAROL.identity << 8 | 1),
    "stranger": Tunnel(source=ip_address("192.168.77.99")),
    "no-identity": Tunnel(vni=0),
    "host-identity": Tunnel(vni=Reserved.HOST << 8),
    "inner-arp": Tunnel(
        frame=packets.ethernet(bytes(28), source=CAROL.mac, destination=BOB.mac, ethertype=packets.ARP)
    ),
    "inner-vlan": Tunnel(frame=inner()[:12] + struct.pack(">HH", VLAN, 5) + inner()[12:]),
}
"""None of our business, or for the tunnel device: from_overlay says what is wrong, with a reason."""


@pytest.mark.bpf
@pytest.mark.parametrize("case", LEFT_ALONE)
def test_what_is_not_beyond_doubt_is_left_as_it_came(receiver: Pipeline, case: str) -> None:
    sent = LEFT_ALONE[case].packet()
    done = receiver.run("from_underlay", sent)
    assert (done.verdict, done.packet, done.counters, done.events) == (LEFT, sent, {}, ())


@pytest.mark.bpf
def test_a_tunnel_packet_cut_short_anywhere_is_left_as_it_came(receiver: Pipeline) -> None:
    """From the IP header on: the kernel runs no program on less."""
    whole = Tunnel().packet()
    for length in range(ETHERNET_BYTES + 20, len(whole)):
        assert run(receiver.programs["from_underlay"], whole[:length], ifindex=LOOPBACK).verdict == LEFT
    assert receiver.events() == ()


@pytest.mark.bpf
@pytest.mark.parametrize(
    "node",
    [replace(NODE, underlay_ipv4=HERE, underlay_ifindex=0), replace(NODE, underlay_ipv4=HERE, underlay_ifindex=9)],
    ids=["closed", "another-device"],
)
def test_everything_is_left_while_the_way_is_closed(receiver: Pipeline, node: registry.NodeConfig) -> None:
    receiver.write_node(node)
    assert receiver.run("from_underlay", Tunnel().packet()).verdict == LEFT


@pytest.mark.bpf
def test_what_is_refused_shows_the_frame_inside(receiver: Pipeline) -> None:
    """As it does behind the tunnel device."""
    sent = inner(ip_address("10.244.1.99"))
    done = receiver.run("from_underlay", Tunnel(frame=sent).packet())
    assert (done.reason, done.events[0].frame) == (DropReason.NO_LOCAL_ENDPOINT, sent)


@pytest.mark.bpf
def test_a_flow_put_together_from_several_packets_keeps_to_the_device(receiver: Pipeline) -> None:
    """Its last packet, which came alone, must not overtake the others; other flows are none the slower."""
    program = receiver.programs["from_underlay"]
    merged = Tunnel(frame=inner() + bytes(3000)).packet()
    assert run(program, merged, ifindex=LOOPBACK, gso_size=1400).verdict == LEFT
    assert run(program, Tunnel().packet(), ifindex=LOOPBACK).verdict == LEFT
    assert run(program, Tunnel(source_port=40001).packet(), ifindex=LOOPBACK).verdict == REDIRECT
    assert wait_until(lambda: run(program, Tunnel().packet(), ifindex=LOOPBACK).verdict == REDIRECT, WITHIN_S)


@pytest.mark.bpf
def test_a_stranger_sends_nobodys_flow_to_the_device(receiver: Pipeline) -> None:
    """Nothing is remembered of packets nobody vouches for."""
    program = receiver.programs["from_underlay"]
    strange = Tunnel(frame=inner() + bytes(3000), vni=0).packet()
    assert run(program, strange, ifindex=LOOPBACK, gso_size=1400).verdict == LEFT
    assert run(program, Tunnel().packet(), ifindex=LOOPBACK).verdict == REDIRECT


# --- what goes, on real devices -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wire:
    """A node with a workload, and everything that arrives at the other node."""

    node: WireNode
    workload: Workload
    elsewhere: Namespace
    arriving: socket.socket

    def tunnel_packet(self) -> bytes:
        """The next one that is for the other node by its MAC address too."""
        mac = self.arriving.getsockname()[4]
        while True:
            frame = self.arriving.recv(65535)
            port = frame[36:38]
            if frame[:6] == mac and frame[12:14] == b"\x08\x00" and port == struct.pack(">H", TUNNEL_PORT):
                return frame

    def send(self, payload: bytes, destination: Address) -> bytes:
        """A datagram of the workload's, and the tunnel packet that came of it."""
        family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
        with self.workload.open_socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(payload, (str(destination), 7))
        while payload not in (frame := self.tunnel_packet()):
            continue
        return frame

    def frame_to(self, destination: Address, tos: int = 0) -> bytes:
        """A datagram in the workload's own frame."""
        own = self.workload.pod
        source = own.ipv4 if destination.version == 4 else own.ipv6
        packet = bytearray(packets.ip(packets.udp(), source=source, destination=destination, protocol=UDP))
        if destination.version == 4:
            packet[1], packet[10:12] = tos, b"\0\0"
            packet[10:12] = struct.pack(">H", packets.checksum(bytes(packet[:20])))
        else:
            packet[:2] = struct.pack(">H", 6 << 12 | tos << 4)
        return packets.ethernet(bytes(packet), source=own.mac, destination=own.node_mac)

    def know_neighbor(self) -> None:
        """The first packet to a neighbour waits for it in the host's stack."""
        self.node.netns.run("ping", "-c", "1", "-W", "2", str(THERE))


@pytest.fixture
def way(wire: WireNode, make_netns: Callable[[str], Namespace]) -> Iterator[Wire]:
    elsewhere = make_netns("other")
    wire.netns.batch(f"link add under type veth peer under netns {elsewhere.name}")
    for namespace, address in ((wire.netns, HERE), (elsewhere, THERE)):
        namespace.batch(f"address add {address}/24 dev under", "link set under up")
    for target in (CAROL.ipv4, CAROL.ipv6):
        wire.pipeline.write_ipcache(ip_network(target), identity=CAROL.identity, tunnel_endpoint=THERE)
    wire.open_direct_way("under", HERE)
    with elsewhere.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as arriving:
        arriving.bind(("under", 3))
        arriving.settimeout(WITHIN_S)
        way = Wire(wire, wire.add(10), elsewhere, arriving)
        way.know_neighbor()
        yield way


@pytest.mark.kernel
@pytest.mark.parametrize("tos", [3] if EMULATED else [0, 1, 2, 3, 0xB8])
@pytest.mark.parametrize("target", [CAROL.ipv4, CAROL.ipv6], ids=["ipv4", "ipv6"])
def test_on_the_wire_both_ways_look_alike(way: Wire, target: Address, tos: int) -> None:
    """Byte for byte, except for the number that tells IP packets apart, and the checksum that covers it."""
    sent = way.frame_to(target, tos)
    way.workload.inject(sent)
    directly = way.tunnel_packet()
    assert way.node.tunnelled()[1] == 0
    way.node.close_direct_way()
    way.workload.inject(sent)
    by_device = way.tunnel_packet()
    assert way.node.tunnelled()[1] == 1
    assert without_id(directly) == without_id(by_device)
    assert packets.checksum(directly[14:34]) == 0


def without_id(frame: bytes) -> bytes:
    """A frame without identification and checksum of its IPv4 header."""
    return frame[:18] + frame[20:24] + frame[26:]


@pytest.mark.kernel
def test_packets_are_told_apart_since_they_may_be_fragmented(way: Wire) -> None:
    """RFC 6864, 4.3."""
    assert len({way.send(b"number %d" % number, CAROL.ipv4)[18:20] for number in range(8)}) > 1


@pytest.mark.kernel
def test_a_path_that_takes_less_is_left_to_the_stack(way: Wire) -> None:
    """It fragments what is too long."""
    way.node.netns.run("ip", "route", "add", f"{THERE}/32", "dev", "under", "mtu", "lock", "1000")
    payload = bytes(1300)
    with way.workload.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(payload, (str(CAROL.ipv4), 7))
    assert wait_until(lambda: way.node.tunnelled()[1] == 1, WITHIN_S)


@pytest.mark.kernel
def test_another_device_than_the_underlay_is_left_to_the_stack(way: Wire) -> None:
    """Whatever is done there, encryption for one, is the stack's to know."""
    way.node.netns.batch(
        "link add detour type veth peer elsewhere",
        "link set detour up",
        f"route add {THERE}/32 dev detour",
        f"neigh add {THERE} lladdr 02:00:00:00:00:99 dev detour",
    )
    with way.workload.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"round about", (str(CAROL.ipv4), 7))
    assert wait_until(lambda: way.node.tunnelled()[1] == 1, WITHIN_S)


@pytest.mark.kernel
@pytest.mark.parametrize("whose", ["a workload's", "the host's"])
def test_a_packet_that_had_to_wait_for_its_neighbor_arrives(way: Wire, whose: str) -> None:
    """It waits in the host's stack."""
    way.node.netns.run("ip", "neigh", "flush", "dev", "under")
    sender = way.workload.netns if whose == "a workload's" else way.node.netns
    with sender.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.sendto(b"patience", (str(CAROL.ipv4), 7))
    assert b"patience" in way.tunnel_packet()


@pytest.mark.kernel
def test_the_next_hop_may_be_a_router(way: Wire) -> None:
    far = IPv4Address("198.51.100.12")
    way.node.netns.run("ip", "route", "add", f"{far}/32", "via", str(THERE))
    way.node.pipeline.write_ipcache(ip_network(CAROL.ipv4), identity=CAROL.identity, tunnel_endpoint=far)
    frame = way.send(b"further", CAROL.ipv4)
    assert (frame[30:34], way.node.tunnelled()[1]) == (far.packed, 0)


@pytest.mark.kernel
def test_a_frame_to_a_group_goes_by_its_ip_address(way: Wire) -> None:
    """The kernel would drop, and count nowhere, what is addressed to a group."""
    own = way.workload.pod
    packet = packets.ip(packets.udp(b"to a group"), source=own.ipv4, destination=CAROL.ipv4, protocol=UDP)
    way.workload.inject(packets.ethernet(packet, source=own.mac, destination=bytes.fromhex("01005e000001")))
    assert b"to a group" in way.tunnel_packet()


@pytest.mark.kernel
@pytest.mark.parametrize(("target", "ethertype"), [(CAROL.ipv4, IPV4), (CAROL.ipv6, IPV6)], ids=["ipv4", "ipv6"])
def test_reports_show_and_count_what_the_workload_sent(way: Wire, target: Address, ethertype: int) -> None:
    """Without the headers that were put before it."""
    way.node.pipeline.write_node(way.node.config(trace=1))
    frame = way.send(b"seen", target)
    seen = way.node.await_event(
        lambda item: item.header.code == Observation.TO_OVERLAY and item.frame.endswith(b"seen")
    )
    assert seen is not None
    assert seen.frame == frame[OUTER_BYTES:]
    assert struct.unpack_from(">H", seen.frame, 12)[0] == ethertype
    assert seen.header.packet_bytes == len(frame) - OUTER_BYTES


@pytest.mark.kernel
def test_other_traffic_of_the_underlay_is_untouched(way: Wire) -> None:
    way.elsewhere.run("ip", "address", "add", "fd00:77::12/64", "dev", "under", "nodad")
    way.node.netns.run("ip", "address", "add", "fd00:77::11/64", "dev", "under", "nodad")
    for target in (str(HERE), "fd00:77::11"):
        way.elsewhere.run("ping", "-c", "1", "-W", "2", target)
