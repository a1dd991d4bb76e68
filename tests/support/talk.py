"""Packets between workloads, nodes and the world, each through the program of the node that meets it first."""

from __future__ import annotations

import platform
import struct
import time
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address

import pytest

from netloom.bpf.features import release_number
from netloom.datapath import registry
from netloom.datapath.connections import ConnectionFlag, ConnectionInfo
from netloom.datapath.maps import Index
from netloom.datapath.reasons import DropReason
from netloom.model.address import Address, host_prefix
from netloom.model.identity import Reserved
from netloom.policy.ports import ANY_SERVICE, exactly
from netloom.policy.table import ALLOW, ANY_PEER, Direction, PolicyKey, key_of
from netloom_vxlan.plugin import BULK_FLOWS, BulkFlow
from support import packets
from support.pipeline import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    GATEWAYS,
    LOOPBACK,
    NODE,
    TUNNEL_PORT,
    UNDERLAY,
    WORLD,
    Outcome,
    Pipeline,
    Pod,
)

TURNS_TO_IPV6 = release_number(platform.release()) >= (6, 3)
"""Whether the kernel can make an IPv6 packet of one in IPv4 (BPF_F_ADJ_ROOM_DECAP_L3_IPV6)."""
ELSEWHERE = 4010
"""The device of whoever of ALICE and BOB does not speak: the one that speaks is behind the loopback device."""
HERE = IPv4Address("192.168.77.11")
OTHER_NODE = (ip_address("192.168.77.12"), ip_address("fd00:77::12"))
"""Addresses of the other node, which reach the node's stack without a tunnel."""
EPOCH = NODE.policy_epoch
NS_PER_S = 1_000_000_000
LIFETIMES_S = {"beginning": 60, "established": 21600, "closing": 10}
"""Of TCP connections."""


@dataclass(frozen=True, slots=True)
class End:
    """Somebody who sends and receives."""

    ipv4: Address
    ipv6: Address
    pod: Pod | None = None
    program: str = "from_host"
    """The program that meets what it sends."""

    def address(self, six: bool) -> Address:
        return self.ipv6 if six else self.ipv4


def _end(pod: Pod, program: str) -> End:
    return End(pod.ipv4, pod.ipv6, pod, program)


A, B = _end(ALICE, "from_container"), _end(BOB, "from_container")
C, D = _end(CAROL, "from_underlay"), _end(DAVE, "from_underlay")
W, H, N = End(*WORLD), End(*GATEWAYS), End(*OTHER_NODE)
"""The world, the node itself, the other node."""


class Talk:
    """A conversation in one family, past a node whose tables the test writes."""

    def __init__(self, pipeline: Pipeline, six: bool) -> None:
        self.pipeline = pipeline
        self.six = six
        self.pods: tuple[Pod, ...] = (ALICE, BOB)
        """Of this node."""
        self.identities: dict[int, int] = {}
        """Of workloads here whose labels have changed, by their number."""
        pipeline.maps.of(registry.PEERS).put(registry.PeerKey(UNDERLAY), registry.PeerInfo(Reserved.REMOTE_NODE))
        for index in range(BULK_FLOWS.max_entries):
            pipeline.maps.of(BULK_FLOWS).put(Index(index), BulkFlow(seen_jiffies=0))
        for address in OTHER_NODE:
            pipeline.write_ipcache(host_prefix(address), identity=Reserved.REMOTE_NODE)
        self.set_node()

    def set_node(self, epoch: int = EPOCH, flags: int = 0, trace: int = registry.TraceFlag.VERDICTS) -> None:
        """Whatever epoch of policies it is."""
        node = replace(NODE, underlay_ipv4=HERE, underlay_ifindex=LOOPBACK, trace=trace)
        self.pipeline.write_node(replace(node, policy_epoch=epoch, policy_flags=flags))

    @property
    def icmp_protocol(self) -> int:
        return packets.ICMP6 if self.six else packets.ICMP

    def send(self, source: End, destination: End, payload: bytes, protocol: int = packets.UDP) -> Outcome:
        """A whole packet."""
        return self.send_packet(source, self.packet(source, destination, payload, protocol))

    def tcp(self, source: End, destination: End, flags: int, *, ports: tuple[int, int] = (40000, 80)) -> Outcome:
        segment = packets.tcp(source_port=ports[0], destination_port=ports[1], flags=flags)
        return self.send(source, destination, segment, packets.TCP)

    def udp(self, source: End, destination: End, *, ports: tuple[int, int] = (40000, 53)) -> Outcome:
        return self.send(source, destination, packets.udp(source_port=ports[0], destination_port=ports[1]))

    def icmp(self, source: End, destination: End, kind: int, number: int = 1, rest: bytes = b"ping") -> Outcome:
        """A message with its number where queries have it."""
        head = struct.pack(">HH", number, 1)
        ends = (source.address(self.six), destination.address(self.six))
        message = packets.icmp6(kind, head, rest, ends=ends) if self.six else packets.icmp(kind, 0, head, rest)
        return self.send(source, destination, message, self.icmp_protocol)

    def handshake(self, first: End | None = None, second: End | None = None) -> None:
        """TCP to port 80, of ALICE and BOB unless told otherwise; nothing of it is refused."""
        ends = (first or A, second or B)
        assert self.tcp(*ends, packets.SYN).reason is None
        assert self.answer(packets.SYN | packets.ACK, ends[1], ends[0]) is None
        assert self.tcp(*ends, packets.ACK).reason is None

    def answer(
        self, flags: int = packets.ACK, source: End | None = None, destination: End | None = None
    ) -> DropReason | None:
        """What the answer to such a packet is refused for."""
        return self.tcp(source or B, destination or A, flags, ports=(80, 40000)).reason

    def connection(self) -> ConnectionInfo:
        """The only one there is."""
        (info,) = self.pipeline.connections().values()
        return info

    def flags(self) -> ConnectionFlag:
        """Its flags, but for who began, which addresses decide."""
        return ConnectionFlag(self.connection().flags) & ~ConnectionFlag.BEGUN_BY_HIGH

    def lifetime(self) -> str:
        """How long it lives after its last packet, in a word."""
        left_s = (self.connection().expires_ns - time.monotonic_ns()) / NS_PER_S
        return min(LIFETIMES_S, key=lambda name: abs(LIFETIMES_S[name] - left_s))

    def expire(self) -> None:
        """As if its time were over."""
        self.pipeline.change_connection(expires_ns=time.monotonic_ns() - NS_PER_S)

    def echo(self) -> tuple[int, int]:
        """Types of echo request and reply."""
        return (128, 129) if self.six else (8, 0)

    def packet(self, source: End, destination: End, body: bytes, protocol: int = packets.UDP) -> bytes:
        """What is sent, which an error about it quotes."""
        ends = (source.address(self.six), destination.address(self.six))
        return packets.ip(body, source=ends[0], destination=ends[1], protocol=protocol)

    def send_packet(self, source: End, packet: bytes, *, identity: int | None = None) -> Outcome:
        """An IP packet, by the program that meets what its sender sends; ``identity`` of a remote one is its own."""
        if source.program == "from_container":
            assert source.pod
            return self._from_here(source.pod, packet)
        if source.program == "from_underlay":
            assert source.pod
            return self._tunnelled(source.pod, packet, source.pod.identity if identity is None else identity)
        frame = packets.ethernet(packet, source=bytes(6), destination=NODE.host_mac)
        return self.pipeline.run("from_host", frame)

    def _from_here(self, sender: Pod, packet: bytes) -> Outcome:
        for pod in (*(one for one in self.pods if one is not sender), sender):  # the speaker last: its device wins
            identity = self.identities.get(pod.id, pod.identity)
            self.pipeline.write_pod(replace(pod, ifindex=LOOPBACK if pod is sender else ELSEWHERE, identity=identity))
        return self.pipeline.run(
            "from_container", packets.ethernet(packet, source=sender.mac, destination=sender.node_mac)
        )

    def _tunnelled(self, sender: Pod, packet: bytes, identity: int) -> Outcome:
        if self.six and not TURNS_TO_IPV6:
            pytest.skip("needs Linux 6.3")
        frame = packets.ethernet(packet, source=sender.mac, destination=sender.node_mac)
        body = struct.pack(">II", 0x08000000, identity << 8) + frame
        datagram = struct.pack(">HHHH", 40000, TUNNEL_PORT, 8 + len(body), 0) + body
        outer = packets.ipv4(datagram, source=UNDERLAY, destination=HERE, protocol=packets.UDP)
        return self.pipeline.run("from_underlay", packets.ethernet(outer, source=bytes(6), destination=bytes(6)))


def to_port(direction: Direction, port: int, protocol: int = packets.TCP, peer: int = ANY_PEER) -> PolicyKey:
    """The key of one port, or one type of ICMP."""
    return key_of(peer, direction, exactly(protocol, port))


def everything(direction: Direction, peer: int = ANY_PEER) -> PolicyKey:
    """The key of any protocol and port."""
    return key_of(peer, direction, ANY_SERVICE)


def allowing(*keys: PolicyKey) -> dict[PolicyKey, int]:
    """A table that allows these alone."""
    return dict.fromkeys(keys, ALLOW)
