"""What ``netctl walk`` says of a packet is what becomes of a real one, captured on every device."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from netloom.cli.client import Client
from netloom.datapath.craft import Outer, encapsulate
from netloom.datapath.headers import header_fields
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from netloom.lab.underlay import BRIDGE
from netloom.model.address import Address
from support import packets
from support.cluster import Cluster, Place, monitoring
from support.sightings import watching
from support.walked import (
    PATTERN,
    VXLAN_PORT,
    captured_hops,
    compare,
    is_sent,
    jumbo,
    netctl_walk,
    ping,
    places,
    walk,
)

pytestmark = pytest.mark.e2e

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A packet: how the walk is asked for it, and how it is really sent."""

    source: str
    target: Callable[[Cluster, int], Address]
    options: tuple[str, ...] = ()
    ping: tuple[str, ...] = ()
    fate: str = "delivered"
    reason: str = ""
    """Name of the drop reason."""


def outside(_cluster: Cluster, version: int) -> Address:
    return OUTSIDE_V4 if version == 4 else OUTSIDE_V6


def nobody(node: int) -> Callable[[Cluster, int], Address]:
    return lambda _, version: ip_address(f"10.244.{node}.99" if version == 4 else f"fd00:10:244:{node}::99")


CASES = {
    "same node": Case("busybox1", lambda c, v: c.pod("busybox2").address(v)),
    "another node": Case("busybox1", lambda c, v: c.pod("busybox3").address(v)),
    "gateway": Case("busybox1", lambda c, v: c.gateway("node1", v)),
    "gateway of another node": Case("busybox1", lambda c, v: c.gateway("node2", v)),
    "another node itself": Case("busybox1", lambda c, v: c.underlay("node2", v)),
    "outside": Case("busybox1", outside, fate="world"),
    "nobody here": Case("busybox1", nobody(1), fate="dropped", reason="UNKNOWN_TARGET"),
    "nobody there": Case("busybox1", nobody(2), fate="dropped", reason="NO_LOCAL_ENDPOINT"),
    "hop limit": Case(
        "busybox1",
        lambda c, v: c.pod("busybox3").address(v),
        ("--ttl", "1"),
        ("-t", "1"),
        fate="dropped",
        reason="TTL_EXCEEDED",
    ),
    "node to its own pod": Case("host", lambda c, v: c.pod("busybox1").address(v)),
    "node to another's pod": Case("host", lambda c, v: c.pod("busybox3").address(v)),
}


def sender_of(cluster: Cluster, case: Case) -> Place:
    return cluster.node("node1") if case.source == "host" else cluster.pod(case.source)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_walk_tells_the_way_of_a_real_packet(cluster: Cluster, version: int, case: Case) -> None:
    """Device by device, with the headers it has there; and the same drop is counted where it is dropped."""
    sender, target = sender_of(cluster, case), case.target(cluster, version)
    ping(sender, target, *case.ping)  # neighbours are known from now on
    walked = walk(cluster, "node1", case.source, str(target), *case.options)
    last = walked["hops"][-1]["node"]
    before = cluster.drops(last)
    with watching(places(cluster), is_sent) as seen:
        ping(sender, target, *case.ping)
    assert (walked["outcome"]["fate"], (walked["outcome"]["drop"] or {}).get("name", "")) == (case.fate, case.reason)
    compare(cluster, walked, seen)
    counted = {name for name, packets_ in cluster.drops(last).items() if packets_ > before.get(name, 0)}
    assert case.reason in counted if case.reason else "UNKNOWN_TARGET" not in counted


@pytest.mark.parametrize("version", [4, 6])
def test_a_walk_tells_who_answers_a_packet_that_is_too_big(cluster: Cluster, version: int) -> None:
    """It is dropped at its first hop, and what comes back is another packet's way."""
    pod, target = cluster.pod("busybox1"), cluster.pod("busybox3").address(version)
    assert "1 received" in ping(pod, target)
    size = 2000 - (28 if version == 4 else 48)
    with jumbo(pod):
        walked = walk(cluster, "node1", pod.name, str(target), "--size", "2000")
        before = cluster.drops("node1").get("TOO_BIG", 0)
        with watching(places(cluster), is_sent) as seen:
            said = ping(pod, target, "-M", "do", "-s", str(size))
    assert walked["outcome"]["drop"]["name"] == "TOO_BIG"
    assert cluster.drops("node1").get("TOO_BIG", 0) == before + 1, said
    too_big = "FragmentationNeeded" if version == 4 else "PacketTooBig"
    assert too_big in walked["outcome"]["answer"]
    compare(cluster, walked, seen)


@pytest.mark.parametrize("version", [4, 6])
def test_a_walk_tells_what_becomes_of_a_forged_source(cluster: Cluster, version: int) -> None:
    pod, target = cluster.pod("busybox1"), cluster.pod("busybox2").address(version)
    forged = ip_address("10.9.9.9" if version == 4 else "fd99::9")
    walked = walk(cluster, "node1", f"{pod.name}@{forged}", str(target))
    before = cluster.drops("node1").get("INVALID_SOURCE_IP", 0)
    with watching(places(cluster), is_sent) as seen:
        pod.inject(frame_between(forged, target, pod.mac, pod.node_mac))
    assert walked["outcome"]["drop"]["name"] == "INVALID_SOURCE_IP"
    assert cluster.drops("node1")["INVALID_SOURCE_IP"] == before + 1
    compare(cluster, walked, seen)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("target", ["busybox1", "busybox3"])
def test_a_walk_tells_how_a_packet_of_the_world_comes_in(cluster: Cluster, version: int, target: str) -> None:
    """By the node it was sent to, which need not be the one that has the workload."""
    source, destination = outside(cluster, version), cluster.pod(target).address(version)
    ping(cluster.node("node1"), cluster.pod(target).address(4))
    router = ip_address("192.168.77.1" if version == 4 else "fd00:77::1")
    ping(cluster.node("node1"), router)
    walked = walk(cluster, "node1", str(source), str(destination))
    macs = cluster.outside.mac_of(BRIDGE), cluster.node("node1").mac_of("eth0")
    with watching(places(cluster), is_sent) as seen:
        cluster.outside.inject(frame_between(source, destination, *macs), "node1")
    assert walked["outcome"]["fate"] == "delivered"
    compare(cluster, walked, seen)


def frame_between(source: Address, destination: Address, source_mac: bytes, destination_mac: bytes) -> bytes:
    """An echo request with the pattern, of the size a walk's has."""
    payload = PATTERN.ljust(56, b"\0")
    if source.version == 4:
        message, protocol = packets.icmp(8, payload=payload), packets.ICMP
    else:
        message, protocol = packets.icmp6(128, payload=payload, ends=(source, destination)), packets.ICMP6
    packet = packets.ip(message, source=source, destination=destination, protocol=protocol)
    return packets.ethernet(packet, source=source_mac, destination=destination_mac)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_walk_and_its_reply_come_back_to_the_sender(cluster: Cluster, version: int, protocol: str) -> None:
    """Both ways are delivered; ports and ends are exchanged on the way back."""
    target = cluster.pod("busybox3").address(version)
    walked = walk(cluster, "node1", "busybox1", str(target), "--proto", protocol, "--port", "80", "--reply")
    assert (walked["outcome"]["fate"], walked["reply"]["outcome"]["fate"]) == ("delivered", "delivered")
    fields = header_fields(bytes.fromhex(walked["reply"]["hops"][-1]["frame"]))
    assert (fields["source"], fields["source_port"], fields["protocol"]) == (str(target), "80", protocol)
    assert walked["reply"]["hops"][-1]["endpoint_id"] == cluster.pod("busybox1").endpoint_id


def test_walks_are_neither_counted_nor_reported(cluster: Cluster) -> None:
    """A monitor that watches drops and traces sees the real packet that comes after them, and none of theirs."""
    walked, real = ip_address("10.244.1.177"), ip_address("10.244.1.178")
    seen: list[View] = []

    def is_real(event: View) -> bool:
        seen.append(event)
        return bool(event["packet"]["destination"] == str(real))

    with monitoring(cluster, "node1") as monitor:
        before = cluster.drops("node1").get("UNKNOWN_TARGET", 0)
        assert walk(cluster, "node1", "busybox1", str(walked))["outcome"]["fate"] == "dropped"
        walk(cluster, "node1", "busybox1", "busybox3")
        assert cluster.drops("node1").get("UNKNOWN_TARGET", 0) == before
        ping(cluster.pod("busybox1"), real)
        monitor.expect(is_real)
    destinations = [event["packet"]["destination"] for event in seen]
    assert str(walked) not in destinations
    assert str(cluster.pod("busybox3").ipv4) not in destinations


def test_a_walk_ends_honestly_where_the_next_agent_is_away(cluster: Cluster) -> None:
    """It says which node the packet goes to, and that nobody there can be asked."""
    cluster.lab.stop_agent("node2")
    try:
        done = netctl_walk(cluster, "node1", "busybox1", str(cluster.pod("busybox3").ipv4))
    finally:
        cluster.lab.start_agent("node2")
        cluster.lab.wait_converged()
    found = json.loads(done.stdout)
    assert (done.returncode, found["outcome"]["fate"], found["outcome"]["node"]) == (3, "unknown", "node2")
    assert "node2, whose agent cannot be asked from here" in found["outcome"]["text"]


def test_a_walk_asks_the_tunnel_device_where_the_programs_leave_a_packet_to_it(cluster: Cluster) -> None:
    """While the other node's MAC address is not known, the kernel's device wraps; what unwraps is the same."""
    pod, target, node = cluster.pod("busybox1"), cluster.pod("busybox3").ipv4, cluster.node("node1")
    ping(pod, target)
    node.run("ip", "neigh", "flush", "dev", "eth0")
    walked = walk(cluster, "node1", pod.name, str(target))
    with watching(places(cluster), is_sent) as seen:
        # Whoever else sends by that device makes it known again.
        node.run("ip", "neigh", "flush", "dev", "eth0")
        ping(pod, target)
    assert any("not known yet" in note for hop in walked["hops"] for note in hop["notes"])
    expected = captured_hops(cluster, walked)
    assert sorted(where for where, _ in seen) == sorted(where for where, _ in expected)


def test_a_walk_follows_a_tunnel_packet_that_the_kernel_unwraps(cluster: Cluster) -> None:
    """Over the IPv6 underlay: up through the stack, the tunnel device, and the program behind it."""
    sender, receiver = cluster.pod("busybox1"), cluster.pod("busybox3")
    inner = frame_between(sender.ipv4, receiver.ipv4, sender.mac, sender.node_mac)
    outer = Outer(
        source=cluster.underlay("node1", 6),
        destination=cluster.underlay("node2", 6),
        source_mac=cluster.node("node1").mac_of("eth0"),
        destination_mac=cluster.node("node2").mac_of("eth0"),
        port=VXLAN_PORT,
        vni=sender.identity,
    )
    frame = encapsulate(inner, outer)
    client = Client(cluster.lab.files.socket("node2"))
    walked = client.post({"start": "wire", "frame": frame.hex()}, "walk")
    with watching(places(cluster), is_sent) as seen:
        cluster.outside.inject(frame, "node2")
    assert [hop["program"] for hop in walked["hops"] if hop["device"] == "loom_vxlan"] == ["from_overlay"]
    assert walked["ending"]["endpoint_id"] == receiver.endpoint_id
    compare(cluster, walked, seen, frame)
