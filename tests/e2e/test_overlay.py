"""What travels between nodes, seen on the wire."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from netloom.model.address import Address
from netloom.model.identity import Reserved
from support.cluster import WITHIN_S, Cluster, Place, PodView, frames_until, receive
from support.packets import ETHERNET_BYTES, IPV4, IPV6

pytestmark = pytest.mark.e2e

VXLAN_PORT = 8472
OTHERS: dict[str, Callable[[Cluster], Address]] = {
    "eth0": lambda cluster: cluster.pod("busybox3").ipv4,
    "loom_vxlan": lambda cluster: cluster.pod("busybox3").ipv4,
    "loom_host": lambda cluster: cluster.gateway("node1", 4),
}
"""Devices of a node, and something a pod can ping whose packets pass there."""
_OUTER_BYTES = ETHERNET_BYTES + 20 + 8
"""Ethernet, IPv4 without options, UDP."""


class Tunnelled(NamedTuple):
    """A packet of the overlay."""

    source: bytes
    destination: bytes
    checksum: int
    vni: int
    inner: bytes
    """IP packet."""


def tunnelled(frame: bytes) -> Tunnelled | None:
    """What a frame of the underlay carries, or None when it is no vxlan over IPv4."""
    if frame[12:14] != struct.pack(">H", IPV4) or frame[23] != 17:
        return None
    port, _, checksum = struct.unpack_from(">HHH", frame, ETHERNET_BYTES + 22)
    if port != VXLAN_PORT:
        return None
    (word,) = struct.unpack_from(">I", frame, _OUTER_BYTES + 4)
    inner = frame[_OUTER_BYTES + 8 + ETHERNET_BYTES :]
    return Tunnelled(frame[26:30], frame[30:34], checksum, word >> 8, inner)


def seen_on_the_wire(cluster: Cluster, send: Callable[[], object], towards: str) -> Tunnelled:
    """The first packet of the overlay that reaches a node while ``send`` runs."""

    def wanted(frame: bytes) -> bool:
        packet = tunnelled(frame)
        return packet is not None and packet.destination == cluster.underlay(towards, 4).packed

    with cluster.node(towards).packet_socket("eth0") as sniffer:
        send()
        frame = receive(sniffer, wanted)
    assert frame is not None
    packet = tunnelled(frame)
    assert packet is not None
    return packet


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("pod", "target", "towards"), [("busybox1", "busybox3", "node2"), ("busybox4", "busybox2", "node1")]
)
def test_the_vni_is_the_senders_identity(cluster: Cluster, version: int, pod: str, target: str, towards: str) -> None:
    """In either direction and IP version; the identity is the one netctl shows."""
    sender, address = cluster.pod(pod), cluster.pod(target).address(version)
    packet = seen_on_the_wire(cluster, lambda: sender.ping(address), towards)
    assert packet.vni == sender.identity
    assert packet.source == cluster.underlay(sender.node, 4).packed
    assert packet.inner[0] >> 4 == version


def test_a_node_is_a_remote_node_to_others(cluster: Cluster) -> None:
    """Identity 1, host, is true on its own node only."""
    address = cluster.pod("busybox3").ipv4
    packet = seen_on_the_wire(cluster, lambda: cluster.node("node1").ping(address), "node2")
    assert packet.vni == Reserved.REMOTE_NODE


def test_a_pod_knows_who_its_peer_is_on_another_node(cluster: Cluster) -> None:
    """All nodes give one label set one number: the identity a packet arrives with is the one its own node shows."""
    for name in ("busybox1", "busybox3"):
        pod = cluster.pod(name)
        for node in ("node1", "node2"):
            listed = cluster.netctl(node, "identity", "list")
            (line,) = [line for line in listed.splitlines() if f"app={name}" in line]
            assert line.split()[0] == str(pod.identity)


@pytest.mark.parametrize("device", OTHERS)
def test_packets_between_pods_of_one_node_never_meet_its_stack(cluster: Cluster, device: str) -> None:
    """They go from one interface straight to the other: no other device of the node sees them."""
    near, far = bytes.fromhex("feedc0de"), bytes.fromhex("0ddba115")
    pod = cluster.pod("busybox1")
    with cluster.node("node1").packet_socket(device) as sniffer:
        pod.ping(cluster.pod("busybox2").ipv4, "-p", near.hex())
        # What the device does see: packets for another node, or for this one. By the tunnel device they go while the
        # neighbour is not known.
        cluster.node("node1").run("ip", "neigh", "flush", "dev", "eth0")
        pod.ping(OTHERS[device](cluster), "-p", far.hex())
        assert [frame for frame in frames_until(sniffer, lambda frame: far in frame) if near in frame] == []


def test_neither_pods_packets_nor_their_addresses_leave_untunnelled(cluster: Cluster) -> None:
    """Between nodes nothing but the overlay carries them."""
    pattern = bytes.fromhex("feedc0de")
    addresses = [cluster.pod("busybox1").ipv4.packed, cluster.pod("busybox1").ipv6.packed]

    def bare(frame: bytes) -> bool:
        ends = {IPV4: (26, 34), IPV6: (22, 54)}.get(struct.unpack_from(">H", frame, 12)[0])
        return ends is not None and any(address in frame[ends[0] : ends[1]] for address in addresses)

    node: Place = cluster.node("node2")
    with node.packet_socket("eth0") as sniffer:
        for version in (6, 4):
            cluster.pod("busybox1").ping(cluster.pod("busybox3").address(version), "-p", pattern.hex())
        before = frames_until(sniffer, lambda frame: pattern in frame and frame[_OUTER_BYTES + 8 + 14] >> 4 == 4)
    assert [frame for frame in before if pattern in frame] != []
    assert [frame for frame in before if bare(frame)] == []


STREAM_BYTES = 1 << 21
"""Of each test's stream: many full segments, and a rest."""


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("longest", [65536, 2000], ids=["whole", "cut-by-the-node"])
def test_a_stream_arrives_as_it_was_sent(cluster: Cluster, version: int, longest: int) -> None:
    """Be it that the underlay takes segments put together, or that the node must cut them before they leave."""
    node, client, server = cluster.node("node1"), cluster.pod("busybox1"), cluster.pod("busybox3")
    sent = random.Random(version * longest).randbytes(STREAM_BYTES)  # noqa: S311 - a pattern, not a secret
    node.run("ip", "link", "set", "eth0", "gso_max_size", str(longest))
    try:
        assert streamed(client, server, version, sent) == sent
    finally:
        node.run("ip", "link", "set", "eth0", "gso_max_size", "65536")


def streamed(client: PodView, server: PodView, version: int, sent: bytes) -> bytes:
    """What a server reads of what a client sends it over TCP."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with (
        server.open_socket(family, socket.SOCK_STREAM) as listener,
        client.open_socket(family, socket.SOCK_STREAM) as near,
    ):
        listener.bind((str(server.address(version)), 0))
        listener.listen()
        near.connect(listener.getsockname())
        far, _ = listener.accept()
        with far, ThreadPoolExecutor(1) as sender:
            far.settimeout(WITHIN_S)
            sending = sender.submit(send_all, near, sent)
            received = b"".join(iter(lambda: far.recv(1 << 16), b""))
            sending.result()
    return received


def send_all(connection: socket.socket, sent: bytes) -> None:
    """Everything, and its end."""
    connection.sendall(sent)
    connection.shutdown(socket.SHUT_WR)


def test_pods_of_two_nodes_talk_past_the_tunnel_device(cluster: Cluster) -> None:
    """Once the nodes are neighbours, and it is no stream that was put together on its way."""
    client, server = cluster.pod("busybox1"), cluster.pod("busybox3")
    client.ping(server.ipv4)
    before = [tunnelled_packets(cluster, name) for name in ("node1", "node2")]
    client.ping(server.ipv4)
    assert [tunnelled_packets(cluster, name) for name in ("node1", "node2")] == before


def tunnelled_packets(cluster: Cluster, node: str) -> tuple[int, int]:
    """What the tunnel device of a node has received and sent."""
    (found,) = json.loads(cluster.node(node).run("ip", "-j", "-s", "link", "show", "loom_vxlan"))
    return found["stats64"]["rx"]["packets"], found["stats64"]["tx"]["packets"]
