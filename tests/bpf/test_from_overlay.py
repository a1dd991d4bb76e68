"""The overlay on the wire: what this node sends to another, and what it takes from it, by either way.

The other node is a UDP socket: whatever it sends or receives is bytes of VXLAN (RFC 7348) that the test made or read.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from netloom.datapath import registry
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.model.address import Address
from netloom.model.identity import Reserved
from support import packets
from support.netns import Namespace
from support.packets import ARP, ETHERNET_BYTES, UDP, VLAN
from support.pipeline import CAROL, GATEWAYS, TUNNEL_PORT
from support.wire import WITHIN_S, WireNode, Workload

pytestmark = pytest.mark.kernel

HERE = {4: ip_address("192.168.77.11"), 6: ip_address("fd00:77::11")}
THERE = {4: ip_address("192.168.77.12"), 6: ip_address("fd00:77::12")}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
VNI_FLAG = 0x08000000
VXLAN_BYTES = 8
SO_NO_CHECK = 11
"""From asm-generic/socket.h: send UDP over IPv4 without checksum, as every tunnel does."""
IP_RECVTTL = 12
"""From linux/in.h; Python has no name for it."""
HOP_LIMIT_OPTIONS = {
    4: (socket.IPPROTO_IP, IP_RECVTTL),
    6: (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT),
}


@dataclass(frozen=True, slots=True)
class Underlay:
    """The node, one workload of it, and the other node's socket."""

    node: WireNode
    workload: Workload
    other: socket.socket
    version: int

    def send(self, frame: bytes, vni: int = CAROL.identity) -> None:
        """What another node would send: a frame of a workload under the identity of its sender."""
        self.other.sendto(struct.pack(">II", VNI_FLAG, vni << 8) + frame, (str(HERE[self.version]), TUNNEL_PORT))

    def receive(self) -> tuple[int, bytes]:
        """VNI and frame of the next packet from this node."""
        raw = self.other.recv(65535)
        assert struct.unpack_from(">I", raw)[0] == VNI_FLAG
        return struct.unpack_from(">I", raw, 4)[0] >> 8, raw[VXLAN_BYTES:]


@pytest.fixture(params=[(4, True), (4, False), (6, False)], ids=["direct", "over-ipv4", "over-ipv6"])
def underlay(
    request: pytest.FixtureRequest, wire: WireNode, make_netns: Callable[[str], Namespace]
) -> Iterator[Underlay]:
    version, direct = request.param
    elsewhere = make_netns("other")
    wire.netns.run("ip", "link", "add", "under", "type", "veth", "peer", "under", "netns", elsewhere.name)
    for namespace, address in ((wire.netns, HERE[version]), (elsewhere, THERE[version])):
        width = 24 if version == 4 else 64
        namespace.run("ip", "address", "add", f"{address}/{width}", "dev", "under", *(["nodad"] * (version == 6)))
        namespace.run("ip", "link", "set", "under", "up")
    maps = wire.pipeline.maps
    maps.of(registry.PEERS).put(registry.PeerKey(THERE[version]), registry.PeerInfo(Reserved.REMOTE_NODE))
    for address in (CAROL.ipv4, CAROL.ipv6):
        wire.pipeline.write_ipcache(ip_network(address), identity=CAROL.identity, tunnel_endpoint=THERE[version])
    if direct:
        wire.netns.run(
            "ping", "-c", "1", "-W", "2", str(THERE[version])
        )  # a neighbour that is not known takes the other way
        wire.open_direct_way("under", IPv4Address("192.168.77.11"))
    with elsewhere.call(socket.socket, FAMILY[version], socket.SOCK_DGRAM) as other:
        if version == 4:
            other.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        other.settimeout(WITHIN_S)
        other.bind((str(THERE[version]), TUNNEL_PORT))
        yield Underlay(wire, wire.add(10), other, version)


def from_carol(destination: Address, payload: bytes | None = None, source: Address | None = None) -> bytes:
    """A frame of CAROL's, as her node would put it into the tunnel: its MACs mean nothing here."""
    own = CAROL.ipv4 if destination.version == 4 else CAROL.ipv6
    packet = packets.ip(payload or packets.udp(), source=source or own, destination=destination, protocol=UDP)
    return packets.ethernet(packet, source=CAROL.mac, destination=CAROL.node_mac)


@pytest.mark.parametrize("inner", [4, 6])
def test_a_workload_receives_from_another_node(underlay: Underlay, inner: int) -> None:
    own = underlay.workload.pod
    address = own.ipv4 if inner == 4 else own.ipv6
    with underlay.workload.open_socket(FAMILY[inner], socket.SOCK_DGRAM) as receiver:
        receiver.bind((str(address), 7))
        checked = packets.udp() if inner == 4 else with_checksum(packets.udp(), CAROL.ipv6, address)
        underlay.send(from_carol(address, checked))
        payload, sender = receiver.recvfrom(100)
    assert (payload, sender[0]) == (b"payload", str(CAROL.ipv4 if inner == 4 else CAROL.ipv6))


def with_checksum(datagram: bytes, source: Address, destination: Address) -> bytes:
    """Over IPv6 a datagram must have one."""
    covered = packets.pseudo_header(source, destination, UDP, len(datagram)) + datagram
    return datagram[:6] + struct.pack(">H", packets.checksum(covered)) + datagram[8:]


def test_the_node_itself_receives_at_its_gateway_address(underlay: Underlay) -> None:
    with underlay.node.netns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(WITHIN_S)
        receiver.bind((str(GATEWAYS[0]), 7))
        underlay.send(from_carol(GATEWAYS[0]))
        assert receiver.recv(100) == b"payload"


def test_the_vni_is_the_senders_identity_and_the_endpoint_is_the_receiver(underlay: Underlay) -> None:
    underlay.node.pipeline.write_node(underlay.node.config(trace=1))
    own = underlay.workload.pod
    sent = from_carol(own.ipv4)
    underlay.send(sent)
    seen = underlay.node.await_event(
        lambda item: item.header.code == Observation.TO_ENDPOINT and item.frame[14:] == sent[14:]
    )
    assert seen is not None
    assert (seen.header.source_identity, seen.header.destination_identity) == (CAROL.identity, own.identity)
    assert (seen.header.endpoint_id, seen.header.direction) == (own.id, Direction.INGRESS)


BYTES_OF_ARP = packets.arp(sender=CAROL.ipv4, sender_mac=CAROL.mac, target=GATEWAYS[0])
REFUSED = {
    "host-identity": (DropReason.INVALID_IDENTITY, Reserved.HOST, from_carol(GATEWAYS[0])),
    "no-identity": (DropReason.INVALID_IDENTITY, 0, from_carol(GATEWAYS[0])),
    "nobody": (DropReason.NO_LOCAL_ENDPOINT, 300, from_carol(ip_address("10.244.1.99"))),
    "world": (DropReason.NO_LOCAL_ENDPOINT, 300, from_carol(ip_address("203.0.113.10"))),
    "our-workloads-address": (
        DropReason.INVALID_SOURCE_IP, 300, from_carol(GATEWAYS[0], source=ip_address("10.244.1.10"))
    ),
    "our-own-address": (DropReason.INVALID_SOURCE_IP, 300, from_carol(GATEWAYS[0], source=GATEWAYS[0])),
    "arp": (
        DropReason.UNSUPPORTED_L3,
        300,
        packets.ethernet(BYTES_OF_ARP, source=CAROL.mac, destination=CAROL.node_mac, ethertype=ARP),
    ),
    "cut-short": (DropReason.INVALID_PACKET, 300, from_carol(GATEWAYS[0])[:-1]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(underlay: Underlay, case: str) -> None:
    reason, vni, frame = REFUSED[case]
    underlay.send(frame, vni)
    assert underlay.node.reason_of(frame) == reason


def test_a_tagged_frame_is_refused(underlay: Underlay) -> None:
    plain = from_carol(GATEWAYS[0])
    underlay.send(plain[:12] + struct.pack(">HH", VLAN, 5) + plain[12:])
    assert underlay.node.reason_of(plain) == DropReason.VLAN


def test_a_stranger_is_refused(underlay: Underlay) -> None:
    """Tunnel traffic is taken from known nodes alone."""
    peers = underlay.node.pipeline.maps.of(registry.PEERS)
    peers.delete(registry.PeerKey(THERE[underlay.version]))
    frame = from_carol(GATEWAYS[0])
    underlay.send(frame)
    assert underlay.node.reason_of(frame) == DropReason.UNKNOWN_SENDER


@pytest.mark.parametrize("inner", [4, 6])
def test_a_workload_sends_to_another_node_under_its_identity(underlay: Underlay, inner: int) -> None:
    """The inner packet has lost one hop, and is otherwise what the workload sent."""
    own, target = underlay.workload.pod, CAROL.ipv4 if inner == 4 else CAROL.ipv6
    with underlay.workload.open_socket(FAMILY[inner], socket.SOCK_DGRAM) as sender:
        sender.sendto(b"over there", (str(target), 7))
    vni, frame = underlay.receive()
    while frame[ETHERNET_BYTES + (9 if inner == 4 else 6)] != UDP:
        vni, frame = underlay.receive()
    ttl, addresses = (frame[22], frame[26:34]) if inner == 4 else (frame[21], frame[22:54])
    source = own.ipv4 if inner == 4 else own.ipv6
    assert (vni, ttl, addresses) == (own.identity, 63, source.packed + target.packed)
    assert frame.endswith(b"over there")


def test_the_host_is_a_remote_node_to_others(underlay: Underlay) -> None:
    with underlay.node.netns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"from the host", (str(CAROL.ipv4), 7))
    vni, frame = underlay.receive()
    assert (vni, frame[26:30]) == (Reserved.REMOTE_NODE, GATEWAYS[0].packed)


def test_the_outer_packet_has_a_ttl_of_its_own(underlay: Underlay) -> None:
    level, option = HOP_LIMIT_OPTIONS[underlay.version]
    underlay.other.setsockopt(level, option, 1)
    with underlay.workload.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
        sender.sendto(b"short-lived", (str(CAROL.ipv4), 7))
    _, ancillary, _, _ = underlay.other.recvmsg(65535, 64)
    assert [struct.unpack("=i", data)[0] for _, _, data in ancillary] == [64]
