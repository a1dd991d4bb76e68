"""What the data path does not let through: refused, counted, and shown by ``netctl monitor``."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from netloom.datapath.reasons import DropReason
from netloom.lab.topology import GATEWAY_V4
from support.cluster import Cluster, MonitorReader, PodView, frames_until, monitoring, receive
from support.packets import IPV4, UDP, VLAN, ethernet, ip, udp

pytestmark = pytest.mark.e2e

STRANGER_MAC = bytes.fromhex("02deadbeef01")
FORGED_V4, FORGED_V6 = IPv4Address("10.244.1.77"), IPv6Address("fd00:10:244:1::77")
UNUSED_V4, UNUSED_V6 = IPv4Address("10.244.1.200"), IPv6Address("fd00:10:244:1::200")
UNUSED_REMOTE_V4 = IPv4Address("10.244.2.200")
VXLAN_PORT = 8472
MARKER, FOLLOWER = b"must not arrive", b"does arrive"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A frame that a pod sends to another, and why it does not arrive."""

    reason: DropReason
    frame: Callable[[PodView, PodView], bytes]


def datagram(sender: PodView, receiver: PodView, version: int = 4, **change: Any) -> bytes:
    """A UDP datagram of one pod to another, in a frame; ``change`` names what is not as it should be."""
    packet = ip(
        udp(change.get("text", MARKER), destination_port=change.get("port", 7)),
        source=change.get("source", sender.address(version)),
        destination=change.get("destination", receiver.address(version)),
        protocol=UDP,
    )
    return ethernet(packet, source=change.get("mac", sender.mac), destination=sender.node_mac)


def tagged(sender: PodView, receiver: PodView) -> bytes:
    """The same with a VLAN tag."""
    plain = datagram(sender, receiver)
    return plain[:12] + struct.pack(">HH", VLAN, 42) + plain[12:]


REFUSALS = {
    "an IPv4 address that is not the pod's": Refusal(
        DropReason.INVALID_SOURCE_IP, lambda a, b: datagram(a, b, source=FORGED_V4)
    ),
    "an IPv6 address that is not the pod's": Refusal(
        DropReason.INVALID_SOURCE_IP, lambda a, b: datagram(a, b, 6, source=FORGED_V6)
    ),
    "the receiver's own address": Refusal(DropReason.INVALID_SOURCE_IP, lambda a, b: datagram(a, b, source=b.ipv4)),
    "a MAC address that is not the pod's": Refusal(
        DropReason.INVALID_SOURCE_MAC, lambda a, b: datagram(a, b, mac=STRANGER_MAC)
    ),
    "a VLAN tag": Refusal(DropReason.VLAN, tagged),
    "tunnel traffic to a node": Refusal(
        DropReason.ENCAP_PROHIBITED,
        lambda a, b: datagram(a, b, destination=IPv4Address("192.168.77.12"), port=VXLAN_PORT),
    ),
    "tunnel traffic to a pod": Refusal(DropReason.ENCAP_PROHIBITED, lambda a, b: datagram(a, b, port=VXLAN_PORT)),
    "an address of this node that no pod has": Refusal(
        DropReason.UNKNOWN_TARGET, lambda a, b: datagram(a, b, destination=UNUSED_V4)
    ),
    "an IPv6 address of this node that no pod has": Refusal(
        DropReason.UNKNOWN_TARGET, lambda a, b: datagram(a, b, 6, destination=UNUSED_V6)
    ),
    "a protocol that is neither IP nor ARP": Refusal(
        DropReason.UNSUPPORTED_L3,
        lambda a, _: ethernet(MARKER + bytes(40), source=a.mac, destination=a.node_mac, ethertype=0x88CC),
    ),
}


@pytest.fixture(scope="module")
def monitor(cluster: Cluster) -> Iterator[MonitorReader]:
    """Drops of node1, from the program a user would run."""
    with monitoring(cluster, "node1", "--type", "drop") as reader:
        yield reader


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("target", ["busybox2", "busybox3"])
def test_a_pod_cannot_send(cluster: Cluster, monitor: MonitorReader, target: str, case: Refusal) -> None:
    """Nothing arrives; the counter of the reason moves; the monitor names the reason, the endpoint and the identity."""
    sender, receiver = cluster.pod("busybox1"), cluster.pod(target)
    before = cluster.drops("node1").get(case.reason.name, 0)
    with receiver.packet_socket("eth0") as sniffer:
        sender.inject(case.frame(sender, receiver))
        sender.inject(datagram(sender, receiver, text=FOLLOWER))
        assert [frame for frame in frames_until(sniffer, lambda frame: FOLLOWER in frame) if MARKER in frame] == []
    event = monitor.expect(lambda event: (event["code"], event["endpoint_id"]) == (case.reason, sender.endpoint_id))
    assert event["source_identity"] == sender.identity
    assert case.reason.text in event["summary"]
    assert cluster.drops("node1")[case.reason.name] == before + 1


def test_a_packet_for_an_unknown_pod_of_another_node_ends_there(cluster: Cluster) -> None:
    """Only the node that owns the prefix knows whether an address is in use."""
    sender = cluster.pod("busybox1")
    with monitoring(cluster, "node2", "--type", "drop") as monitor:
        sender.inject(datagram(sender, sender, destination=UNUSED_REMOTE_V4))
        event = monitor.expect(lambda event: event["code"] == DropReason.NO_LOCAL_ENDPOINT)
    assert event["packet"]["destination"] == str(UNUSED_REMOTE_V4)
    assert event["source_identity"] == sender.identity


def test_tunnel_traffic_from_an_address_that_is_no_node_is_dropped(cluster: Cluster) -> None:
    """Whoever reaches the underlay could claim any identity: only nodes are believed."""
    receiver = cluster.pod("busybox3")
    with monitoring(cluster, "node2", "--type", "drop") as monitor, receiver.packet_socket("eth0") as sniffer:
        send_tunnelled(cluster, receiver, GATEWAY_V4.ip)
        sender = cluster.pod("busybox1")
        sender.inject(datagram(sender, receiver, text=FOLLOWER))
        assert [frame for frame in frames_until(sniffer, lambda frame: FOLLOWER in frame) if MARKER in frame] == []
        event = monitor.expect(lambda event: event["code"] == DropReason.UNKNOWN_SENDER)
    assert event["packet"]["destination"] == str(receiver.ipv4)


def test_tunnel_traffic_from_a_node_is_delivered(cluster: Cluster) -> None:
    """The packet of the tests beside this one, from an address that is a node's: so it is refused for that alone."""
    receiver = cluster.pod("busybox3")
    with receiver.packet_socket("eth0") as sniffer:
        send_tunnelled(cluster, receiver, cluster.underlay("node1", 4))
        assert receive(sniffer, lambda frame: MARKER in frame) is not None


def test_a_node_cannot_claim_to_be_the_host_it_sends_to(cluster: Cluster) -> None:
    """Even from a known node: identity 1 is true on its own node only."""
    receiver = cluster.pod("busybox3")
    with monitoring(cluster, "node2", "--type", "drop") as monitor:
        send_tunnelled(cluster, receiver, cluster.underlay("node1", 4), vni=1)
        monitor.expect(lambda event: event["code"] == DropReason.INVALID_IDENTITY)


def send_tunnelled(cluster: Cluster, receiver: PodView, source: Any, vni: int = 4242) -> None:
    """A vxlan packet to node2 with a datagram for a pod in it, put on the underlay as if ``source`` had sent it."""
    inner_ip = ip(udp(MARKER), source=cluster.pod("busybox1").ipv4, destination=receiver.ipv4, protocol=UDP)
    inner = ethernet(inner_ip, source=STRANGER_MAC, destination=STRANGER_MAC)
    vxlan = struct.pack(">II", 0x08000000, vni << 8) + inner
    outer = ip(
        udp(vxlan, source_port=50000, destination_port=VXLAN_PORT),
        source=source,
        destination=cluster.underlay("node2", 4),
        protocol=UDP,
    )
    mac = cluster.node("node2").mac_of("eth0")
    cluster.outside.inject(ethernet(outer, source=STRANGER_MAC, destination=mac, ethertype=IPV4), device="node2")
