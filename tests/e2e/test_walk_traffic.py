"""Walks of TCP and UDP beside real connections; what a walk leaves as it was; and stages that somebody took away."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netloom.cli.errors import EXIT_FAILED
from netloom.datapath.craft import SOURCE_PORT, decapsulate
from netloom.datapath.headers import header_fields
from netloom.datapath.packets import read_packet
from netloom.datapath.registry import CALLS, NODE_CONFIG, CallSlot
from support.cluster import Cluster, PodView
from support.sightings import watching
from support.walked import PATTERN, VXLAN_PORT, compare, netctl_walk, ping, places, walk

pytestmark = pytest.mark.e2e

PORT = 7777
SYN_BYTES = {4: 60, 6: 80}
"""With the options Linux sends."""
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
ROUNDS = 5
UNLISTED = {"events", "calls", "connections_tcp", "connections_any"}
"""A ring, and programs: other tests here look at these. Connections have a list of their own."""


def is_syn(frame: bytes) -> bool:
    """Not what comes after it."""
    inner = decapsulate(frame, VXLAN_PORT)
    found = read_packet(inner.frame if inner else frame)
    return (found.destination_port, found.detail) == (PORT, "SYN")


def is_datagram(frame: bytes) -> bool:
    return PATTERN in frame and header_fields(frame, VXLAN_PORT)["destination_port"] == str(PORT)


def connect(client: PodView, server: PodView, version: int) -> None:
    """From the port a walk sends from, to a port that is open."""
    address = str(server.address(version))
    with (
        server.open_socket(FAMILIES[version], socket.SOCK_STREAM) as far,
        client.open_socket(FAMILIES[version], socket.SOCK_STREAM) as near,
    ):
        for each in (far, near):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        far.bind((address, PORT))
        far.listen()
        near.bind((str(client.address(version)), SOURCE_PORT))
        near.connect((address, PORT))
        # An end without a farewell leaves nothing in the way of the next one from that port.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def send(client: PodView, server: PodView, version: int) -> None:
    address = str(server.address(version))
    with (
        server.open_socket(FAMILIES[version], socket.SOCK_DGRAM) as far,
        client.open_socket(FAMILIES[version], socket.SOCK_DGRAM) as near,
    ):
        far.bind((address, PORT))
        near.bind((str(client.address(version)), SOURCE_PORT))
        near.sendto(PATTERN, (address, PORT))
        assert far.recv(64) == PATTERN


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("receiver", ["busybox2", "busybox3"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_walk_tells_the_way_of_tcp_and_udp(cluster: Cluster, protocol: str, receiver: str, version: int) -> None:
    """A connection's first segment, and a datagram."""
    client, server = cluster.pod("busybox1"), cluster.pod(receiver)
    ping(client, server.address(version))
    size = ("--size", str(SYN_BYTES[version])) if protocol == "tcp" else ()
    words = (client.name, str(server.address(version)), "--proto", protocol, "--port", str(PORT), *size)
    walked = walk(cluster, "node1", *words)
    with watching(places(cluster), is_syn if protocol == "tcp" else is_datagram) as seen:
        (connect if protocol == "tcp" else send)(client, server, version)
    assert walked["outcome"]["fate"] == "delivered"
    compare(cluster, walked, seen)


def state_of(cluster: Cluster) -> dict[str, Any]:
    """What a packet leaves traces in: tables of the data path, neighbours and counters of devices, everywhere."""
    found: dict[str, Any] = {}
    for node in ("node1", "node2"):
        for name in {view["name"] for view in cluster.lab.api(node, "/v1/maps")} - UNLISTED:
            found[f"{node} map {name}"] = cluster.lab.api(node, f"/v1/maps/{name}")
        connections = cluster.lab.api(node, "/v1/connections")["connections"]
        found[f"{node} connections"] = sorted(
            json.dumps({key: value for key, value in one.items() if key != "expires_in_s"}) for one in connections
        )
    for place in places(cluster):
        neighbors = json.loads(place.run("ip", "-j", "neigh", "show", "nud", "all") or "[]")
        found[f"{place.name} neighbours"] = sorted((item["dst"], item["dev"], item.get("lladdr")) for item in neighbors)
        links = json.loads(place.run("ip", "-j", "-s", "link"))
        found[f"{place.name} links"] = {link["ifname"]: link["stats64"] for link in links}
    return found


def test_walks_leave_everything_as_it_was(cluster: Cluster) -> None:
    """Something else may send meanwhile, so it is enough that once in several rounds nothing changes at all."""
    targets = ("busybox2", "busybox3", "10.244.1.99", "10.244.2.99", "world", "host", "busybox1", "224.0.0.1")
    assert any(_unchanged_by(cluster, targets) for _ in range(ROUNDS)), _differences(cluster, targets)


def _unchanged_by(cluster: Cluster, targets: tuple[str, ...]) -> bool:
    return _differences(cluster, targets) == {}


def _differences(cluster: Cluster, targets: tuple[str, ...]) -> dict[str, Any]:
    before = state_of(cluster)
    for target in targets:
        walk(cluster, "node1", "busybox1", target)
    walk(cluster, "node1", "host", "busybox3")
    walk(cluster, "node1", "busybox1", "busybox3", "-6", "--size", "2000")
    after = state_of(cluster)
    # Connections end by themselves; that one begins or goes on is a difference.
    for name in before:
        if name.endswith("connections"):
            before[name] = [one for one in before[name] if one in after[name]]
    return {name: (before[name], after.get(name)) for name in before if before[name] != after.get(name)}


@contextmanager
def stage_changed(cluster: Cluster, slot: CallSlot, *change: str) -> Iterator[None]:
    """A slot of node1's pipeline, as a stranger changes it; put back afterwards."""
    (generation,) = (cluster.lab.files.bpf_dir / "node1/generations").iterdir()
    node, calls, key = cluster.node("node1"), str(generation / CALLS.pin_name), f"{slot:02x}"
    words = ("pinned", calls, "key", "hex", key, "00", "00", "00")
    cluster.await_resync("node1")
    node.run("bpftool", "map", change[0], *words, *change[1:])
    try:
        yield
    finally:
        pinned = str(generation / slot.name.lower())
        node.run("bpftool", "map", "update", *words, "value", "pinned", pinned)


def test_a_stage_that_somebody_took_away_is_missing_in_a_walk_too(cluster: Cluster) -> None:
    pod, target = cluster.pod("busybox1"), cluster.pod("busybox3").ipv4
    before = cluster.drops("node1").get("MISSED_TAIL_CALL", 0)
    with stage_changed(cluster, CallSlot.ENCAP, "delete"):
        ping(pod, target)
        walked = walk(cluster, "node1", pod.name, str(target))
        after = cluster.drops("node1").get("MISSED_TAIL_CALL", 0)
    assert (walked["outcome"]["drop"] or {}).get("name") == "MISSED_TAIL_CALL"
    assert after == before + 1
    assert walk(cluster, "node1", pod.name, str(target))["outcome"]["fate"] == "delivered"


def test_a_strangers_stage_is_refused_and_not_guessed(cluster: Cluster) -> None:
    """Another node's program has the same instructions, and other tables."""
    (other,) = (cluster.lab.files.bpf_dir / "node2/generations").iterdir()
    with stage_changed(cluster, CallSlot.ENCAP, "update", "value", "pinned", str(other / "encap")):
        done = netctl_walk(cluster, "node1", "busybox1", "busybox3")
    assert (done.returncode, "slot ENCAP" in done.stderr) == (EXIT_FAILED, True), done.stderr


def test_a_node_that_is_not_ready_is_not_ready_in_a_walk_too(cluster: Cluster) -> None:
    """What programs read about the node is what the live table says."""
    pod, target = cluster.pod("busybox1"), cluster.pod("busybox3").ipv4
    node, pin = cluster.node("node1"), str(cluster.lab.files.bpf_dir / "node1/maps" / NODE_CONFIG.pin_name)
    held = json.loads(node.run("bpftool", "-j", "map", "lookup", "pinned", pin, "key", "0", "0", "0", "0"))["value"]
    write = ("bpftool", "map", "update", "pinned", pin, "key", "0", "0", "0", "0", "value")
    cluster.await_resync("node1")
    node.run(*write, *["0"] * len(held))
    try:
        walked = walk(cluster, "node1", pod.name, str(target))
    finally:
        node.run(*write, *held)
    assert (walked["outcome"]["drop"] or {}).get("name") == "NOT_READY"


def test_a_walk_is_true_with_programs_that_hang_on_filters(cluster: Cluster) -> None:
    """As on kernels without tcx."""
    client, server = cluster.pod("busybox1"), cluster.pod("busybox3")
    _restart(cluster, {"datapath": {"attach": "clsact"}})
    try:
        ping(client, server.ipv4)
        walked = walk(cluster, "node1", client.name, server.name, "--proto", "udp", "--port", str(PORT))
        with watching(places(cluster), is_datagram) as seen:
            send(client, server, 4)
    finally:
        _restart(cluster, {})
    compare(cluster, walked, seen)


def _restart(cluster: Cluster, settings: dict[str, Any]) -> None:
    for node in ("node1", "node2"):
        cluster.lab.stop_agent(node)
        cluster.lab.configure(node, settings)
        cluster.lab.start_agent(node)
    cluster.lab.wait_converged()
