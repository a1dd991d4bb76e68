"""Who reaches whom: pods, nodes, gateways and the world, over both IP versions."""

from __future__ import annotations

import json
import re
import socket
import struct

import pytest

from netloom.lab.agents import wait_until
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from netloom.model.address import Address
from support.cluster import WITHIN_S, Cluster, Place, PodView
from support.spare_pods import SparePods

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("version", [4, 6])]

NEIGHBOUR, REMOTE = "busybox2", "busybox3"
IP_RECVTTL = 12
"""From linux/in.h; Python has no name for it."""
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.mark.parametrize("target", [NEIGHBOUR, REMOTE])
def test_a_pod_reaches_another(cluster: Cluster, version: int, target: str) -> None:
    """On its own node, and on another."""
    cluster.pod("busybox1").ping(cluster.pod(target).address(version))


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_a_pod_reaches_a_gateway(cluster: Cluster, version: int, node: str) -> None:
    """That of its own node, and that of another."""
    cluster.pod("busybox1").ping(cluster.gateway(node, version))


@pytest.mark.parametrize("node", ["node1", "node2"])
def test_a_pod_reaches_a_nodes_own_address(cluster: Cluster, version: int, node: str) -> None:
    """Its own node, and another by way of the underlay."""
    cluster.pod("busybox1").ping(cluster.underlay(node, version))


@pytest.mark.parametrize("pod", ["busybox1", REMOTE])
def test_a_node_reaches_a_pod(cluster: Cluster, version: int, pod: str) -> None:
    """Its own pods, and those of another node."""
    cluster.node("node1").ping(cluster.pod(pod).address(version))


def test_a_node_reaches_the_other_nodes_gateway(cluster: Cluster, version: int) -> None:
    """Through the overlay, from gateway to gateway."""
    cluster.node("node1").ping(cluster.gateway("node2", version))


def test_a_pods_kernel_makes_sure_that_its_gateway_is_still_there(
    cluster: Cluster, spare_pods: SparePods, version: int
) -> None:
    """Of one it has not heard of for a while it asks, and is answered."""
    pod, gateway = spare_pods.attached(), str(cluster.gateway("node1", version))
    timers = (f"net.ipv{version}.neigh.eth0.{timer}" for timer in ("delay_first_probe_time=1", "retrans_time_ms=100"))
    pod.run("sysctl", "-qw", *timers)
    pod.run("ip", "neigh", "replace", gateway, "dev", "eth0", "lladdr", pod.node_mac.hex(":"), "nud", "stale")
    pod.ping(cluster.pod("busybox1").address(version))
    assert neighbour_state(pod, gateway) == "DELAY"
    assert wait_until(lambda: neighbour_state(pod, gateway) in ("REACHABLE", "FAILED"))
    assert neighbour_state(pod, gateway) == "REACHABLE"


def test_the_first_packet_after_a_long_silence_is_answered(
    cluster: Cluster, spare_pods: SparePods, version: int
) -> None:
    """Linux asks for an IPv6 router that was lost for so long before it sends it anything."""
    pod, gateway = spare_pods.attached(), str(cluster.gateway("node1", version))
    if version == 6:
        pod.run("sysctl", "-qw", "net.ipv6.conf.eth0.router_probe_interval=0")
    pod.run("ip", "neigh", "replace", gateway, "dev", "eth0", "lladdr", pod.node_mac.hex(":"), "nud", "failed")
    pod.ping(cluster.pod("busybox1").address(version), "-W", "0.9")


def neighbour_state(pod: PodView, address: str) -> str:
    (found,) = json.loads(pod.run("ip", "-j", "neigh", "show", "to", address))
    return str(found["state"][0])


def test_a_pod_reaches_the_world(cluster: Cluster, version: int) -> None:
    """And the answer finds its way back."""
    cluster.pod("busybox1").ping(OUTSIDE_V4 if version == 4 else OUTSIDE_V6)


@pytest.mark.parametrize("target", [NEIGHBOUR, REMOTE])
def test_large_data_arrives_whole_over_tcp(cluster: Cluster, version: int, target: str) -> None:
    """A megabyte there and back: segments of every size, with the offloads of real interfaces."""
    data = bytes(range(256)) * 4096
    assert echoed(cluster.pod("busybox1"), cluster.pod(target), cluster.pod(target).address(version), data) == data


@pytest.mark.parametrize("target", [NEIGHBOUR, REMOTE])
@pytest.mark.parametrize("size", [1400, 1500, 4000, 20000])
def test_packets_of_any_size_cross_in_fragments(cluster: Cluster, version: int, target: str, size: int) -> None:
    """IP takes apart what is larger than the overlay's MTU, and puts it together again."""
    assert f"{size + 8} bytes from" in cluster.pod("busybox1").ping(cluster.pod(target).address(version), f"-s{size}")


@pytest.mark.parametrize("target", [NEIGHBOUR, REMOTE])
def test_the_way_between_pods_is_one_hop(cluster: Cluster, version: int, target: str) -> None:
    """Whether it leads to another node or not: the TTL that arrives is one less."""
    receiver, address = cluster.pod(target), cluster.pod(target).address(version)
    level, want, got = {
        4: (socket.IPPROTO_IP, IP_RECVTTL, socket.IP_TTL),
        6: (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, socket.IPV6_HOPLIMIT),
    }[version]
    with (
        receiver.open_socket(FAMILIES[version], socket.SOCK_DGRAM) as server,
        cluster.pod("busybox1").open_socket(FAMILIES[version], socket.SOCK_DGRAM) as client,
    ):
        server.setsockopt(level, want, 1)
        server.bind((str(address), 0))
        client.sendto(b"x", server.getsockname())
        _, ancillary, _, _ = server.recvmsg(16, 256)
    assert [struct.unpack("i", data)[0] for _, kind, data in ancillary if kind == got] == [63]


@pytest.mark.parametrize("target", [NEIGHBOUR, REMOTE])
def test_a_traceroute_shows_the_gateway_and_then_the_pod(cluster: Cluster, version: int, target: str) -> None:
    """The gateway answers for the hop that the data path takes."""
    address = cluster.pod(target).address(version)
    out = cluster.pod("busybox1").run("traceroute", "-n", "-q1", "-w2", "-m3", str(address))
    hops = re.findall(r"^ *\d+ +(\S+)", out, re.MULTILINE)
    assert hops[-2:] == [str(cluster.gateway("node1", version)), str(address)]


@pytest.mark.parametrize("target", [NEIGHBOUR, REMOTE])
@pytest.mark.parametrize("payload_bytes", [1424, 1452, 8000])
def test_a_packet_too_big_for_the_overlay_is_answered(
    cluster: Cluster, version: int, target: str, payload_bytes: int
) -> None:
    """A pod that raised its own MTU learns the path's from its gateway, and obeys."""
    pod, address = cluster.pod("busybox1"), cluster.pod(target).address(version)
    pod.run("ip", "link", "set", "eth0", "mtu", "9000")
    try:
        told = pod.attempt(
            "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", str(payload_bytes), str(address)
        ).stdout
        assert re.search(rf"From {cluster.gateway('node1', version)} .*mtu ?= ?1450", told), told
        assert f"mtu {1450}" in pod.run("ip", "route", "get", str(address))
    finally:
        pod.run("ip", "link", "set", "eth0", "mtu", "1450")
        for flushed in ("-4", "-6"):
            pod.run("ip", flushed, "route", "flush", "cache")


def test_the_world_sees_the_node_and_not_the_pod(cluster: Cluster, version: int) -> None:
    """Masquerading: addresses of pods mean nothing outside the cluster."""
    assert source_seen_outside(cluster, version) == cluster.underlay("node1", version)


def source_seen_outside(cluster: Cluster, version: int) -> Address:
    """The address from which a datagram of busybox1 comes to the world."""
    outside = OUTSIDE_V4 if version == 4 else OUTSIDE_V6
    with (
        cluster.outside.open_socket(FAMILIES[version], socket.SOCK_DGRAM) as server,
        cluster.pod("busybox1").open_socket(FAMILIES[version], socket.SOCK_DGRAM) as client,
    ):
        server.bind((str(outside), 0))
        client.sendto(b"x", server.getsockname())
        _, source = server.recvfrom(16)
    return type(outside)(source[0])


def echoed(client_place: Place, server_place: Place, address: Address, data: bytes) -> bytes:
    """What comes back from an echo server."""
    family = FAMILIES[address.version]
    with server_place.open_socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((str(address), 0))
        listener.listen()
        with client_place.open_socket(family, socket.SOCK_STREAM) as client:
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            with server:
                server.settimeout(WITHIN_S)
                return pump(client, server, data)


def pump(client: socket.socket, server: socket.socket, data: bytes) -> bytes:
    """Send in pieces that fit the sockets' buffers, each sent back before the next."""
    back = bytearray()
    for start in range(0, len(data), 65536):
        piece = data[start : start + 65536]
        client.sendall(piece)
        server.sendall(exactly(server, len(piece)))
        back += exactly(client, len(piece))
    return bytes(back)


def exactly(source: socket.socket, count: int) -> bytes:
    """That many bytes."""
    got = bytearray()
    while len(got) < count:
        got += source.recv(count - len(got))
    return bytes(got)
