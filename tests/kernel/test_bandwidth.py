"""Bandwidth limits of pods on one node: kept whatever the pod does, put back, and gone with the pod."""

from __future__ import annotations

import json
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from netloom.plan.shaping import LEAST_BURST_BYTES
from support import packets
from support.bulk import Moved, OpenSocket, flood, move
from support.controllers import runs_of
from support.netns import Namespace, NamespaceFactory
from support.node import NodeUnderTest, wait_until

pytestmark = pytest.mark.kernel

RATE_BPS = 20_000_000
BURST_BITS = 8 * LEAST_BURST_BYTES
BYTES = 2_000_000
"""Many times the burst, and no second's worth."""
INGRESS = {"ingressRate": RATE_BPS}
EGRESS = {"egressRate": RATE_BPS}
LIMIT = {"rate_bps": RATE_BPS, "burst_bits": BURST_BITS}
SLOW_BPS = 1_000_000
"""Slower than any machine can send."""
POLICED_BPS = SLOW_BPS * 1.05
POLICED_BURST_BITS = 2 * BURST_BITS + SLOW_BPS / 10
GATEWAY = "10.244.1.1"


@pytest.fixture
def node(node: NodeUnderTest) -> NodeUnderTest:
    """A node whose agent runs, and looks by itself once an hour."""
    node.write_config(resync_s=3600)
    node.start()
    return node


@pytest.fixture
def pod(make_netns: NamespaceFactory) -> Namespace:
    return make_netns("pod")


def limited(node: NodeUnderTest, pod: Namespace, limits: dict[str, int], container: str = "c1") -> dict[str, Any]:
    return node.attach(pod, container, runtimeConfig={"bandwidth": limits})


def sockets(netns: Namespace) -> OpenSocket:
    return lambda family, kind: netns.call(socket.socket, family, kind)


def root_queue(netns: Namespace, device: str) -> dict[str, Any]:
    """The root queueing discipline, with its counters."""
    found: list[dict[str, Any]] = json.loads(netns.run("tc", "-s", "-j", "qdisc", "show", "dev", device, "root"))
    return found[0]


def stopped(node: NodeUnderTest) -> int:
    """Packets the policer has dropped."""
    return sum(item["packets"] for item in node.get("/v1/counters") if item["name"] == "RATE_LIMITED")


def policers(node: NodeUnderTest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.get("/v1/maps/policers")["entries"]
    return found


def past_the_queue(pod: Namespace) -> socket.socket:
    """Sends whole frames of the pod's interface, which no queue sees."""
    made = pod.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
    made.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
    made.bind(("eth0", 0))
    return made


def datagram(sender: dict[str, Any], receiver: dict[str, Any]) -> bytes:
    """A frame between two pods of the node."""
    source, destination = ip_address(sender["ipv4"]), ip_address(receiver["ipv4"])
    packet = packets.ip(packets.udp(bytes(1200)), source=source, destination=destination, protocol=packets.UDP)
    macs = (bytes.fromhex(sender[name].replace(":", "")) for name in ("mac", "node_mac"))
    return packets.ethernet(packet, source=next(macs), destination=next(macs))


def kept(moved: Moved) -> bool:
    """By a queue of the limit all of these tests have."""
    return moved.bytes == BYTES and moved.keeps(RATE_BPS, BURST_BITS)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_pod_is_kept_to_its_rate_by_a_queue(
    node: NodeUnderTest, pod: Namespace, make_netns: NamespaceFactory, direction: str, family: str
) -> None:
    """The same bytes go the other way at once; and the policer stands by."""
    free = make_netns("free")
    ours = limited(node, pod, {f"{direction}Rate": RATE_BPS})
    theirs = node.attach(free, "c2")
    assert wait_until(lambda: pod.attempt("ping", "-c1", "-W1", theirs[family]).returncode == 0)
    into = move(sockets(free), sockets(pod), ours[family], BYTES)
    out_of = move(sockets(pod), sockets(free), theirs[family], BYTES)
    slow, fast = (into, out_of) if direction == "ingress" else (out_of, into)
    assert (kept(slow), fast.bytes) == (True, BYTES)
    queue = root_queue(node.netns, ours["host_ifname"]) if direction == "ingress" else root_queue(pod, "eth0")
    assert (queue["kind"], queue["handle"], queue["overlimits"] > 0) == ("tbf", "4c:", True)
    assert stopped(node) == 0


def test_a_pod_is_kept_to_its_rate_towards_the_host_and_from_it(node: NodeUnderTest, pod: Namespace) -> None:
    """Those packets go other ways, to the same queues."""
    ours = limited(node, pod, INGRESS | EGRESS)
    assert kept(move(sockets(node.netns), sockets(pod), ours["ipv4"], BYTES))
    assert kept(move(sockets(pod), sockets(node.netns), GATEWAY, BYTES))
    assert stopped(node) == 0


def test_a_pod_that_sends_past_its_queue_meets_the_policer(
    node: NodeUnderTest, pod: Namespace, make_netns: NamespaceFactory
) -> None:
    """With the rights containers commonly have; those that may change their network can take the queue off, too."""
    free = make_netns("free")
    ours = limited(node, pod, {"egressRate": SLOW_BPS})
    theirs = node.attach(free, "c2")
    with past_the_queue(pod) as near, free.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind((theirs["ipv4"], 7))
        frame = datagram(ours, theirs)
        moved = flood(lambda: near.send(frame), far, until=lambda: stopped(node) > 1000)
    assert (stopped(node) > 1000, moved.bytes > 0, moved.keeps(POLICED_BPS, POLICED_BURST_BITS)) == (True,) * 3


def test_a_pod_without_limits_has_no_queue_and_is_not_measured(node: NodeUnderTest, pod: Namespace) -> None:
    ours = limited(node, pod, {"ingressRate": 0, "egressRate": 0})
    assert root_queue(node.netns, ours["host_ifname"])["kind"] == root_queue(pod, "eth0")["kind"] == "noqueue"
    (device,) = node.get("/v1/maps/devices")["entries"]
    (endpoint,) = [item for item in node.get("/v1/maps/endpoints")["entries"] if item["key"]["address"] == ours["ipv4"]]
    assert (device["value"]["flags"], endpoint["value"]["flags"], policers(node)) == (0, 0, [])


def test_limits_outlive_the_agent(node: NodeUnderTest, pod: Namespace) -> None:
    """Queues and policer work on meanwhile, and its successor finds nothing to put right."""
    ours = limited(node, pod, INGRESS | EGRESS)
    queues = root_queue(node.netns, ours["host_ifname"]), root_queue(pod, "eth0")
    node.stop()
    assert kept(move(sockets(node.netns), sockets(pod), ours["ipv4"], BYTES))
    node.start()
    (found,) = node.get("/v1/endpoints")
    assert found == ours
    assert found["bandwidth"] == {"ingress": LIMIT, "egress": LIMIT}
    assert kept(move(sockets(node.netns), sockets(pod), ours["ipv4"], BYTES))
    after = root_queue(node.netns, ours["host_ifname"]), root_queue(pod, "eth0")
    assert [item["options"] for item in after] == [item["options"] for item in queues]
    assert [item["packets"] > before["packets"] for item, before in zip(after, queues, strict=True)] == [True, True]
    assert node.get("/v1/status")["repairs"]["counts"] == {}


def test_a_queue_that_somebody_takes_off_the_node_is_put_back_at_once(node: NodeUnderTest, pod: Namespace) -> None:
    """The kernel gives notice; no resync is near."""
    device = limited(node, pod, INGRESS)["host_ifname"]
    node.netns.run("tc", "qdisc", "del", "dev", device, "root")
    assert wait_until(lambda: root_queue(node.netns, device)["kind"] == "tbf")
    node.netns.run("tc", "qdisc", "replace", "dev", device, "root", "pfifo")
    assert wait_until(lambda: root_queue(node.netns, device)["kind"] == "tbf")
    assert wait_until(lambda: node.get("/v1/status")["repairs"]["counts"] == {"queue": 2})


def test_a_queue_that_a_pod_takes_off_is_put_back_at_the_next_resync(node: NodeUnderTest, pod: Namespace) -> None:
    limited(node, pod, EGRESS)
    pod.run("tc", "qdisc", "del", "dev", "eth0", "root")
    node.stop()
    node.start()
    assert wait_until(lambda: root_queue(pod, "eth0")["kind"] == "tbf")


def test_a_resync_turns_no_clock_back(node: NodeUnderTest, pod: Namespace) -> None:
    """What the data path writes into its own entry is no damage."""
    node.stop()
    node.write_config(resync_s=1)
    node.start()
    limited(node, pod, EGRESS)

    def runs() -> int:
        return runs_of("resync", node.get("/v1/status"))

    pod.run("ping", "-c1", GATEWAY)
    before, (policer,) = runs(), policers(node)
    assert wait_until(lambda: runs() > before + 1)
    assert policers(node)[0]["value"]["clock_ns"] >= policer["value"]["clock_ns"] > 0
    assert node.get("/v1/status")["repairs"]["counts"] == {}


def test_a_detached_pod_leaves_no_policer_behind(node: NodeUnderTest, pod: Namespace) -> None:
    limited(node, pod, INGRESS | EGRESS)
    assert len(policers(node)) == 1
    node.detach()
    assert (policers(node), node.get("/v1/endpoints")) == ([], [])


def test_an_attachment_with_limits_that_fails_half_way_is_undone(node: NodeUnderTest, pod: Namespace) -> None:
    """The container has a default route already, which shows when its queue stands."""
    pod.run("ip", "link", "set", "lo", "up")
    pod.run("ip", "route", "add", "default", "dev", "lo")
    ended = node.cni("ADD", CNI_NETNS=pod.path, runtimeConfig={"bandwidth": INGRESS | EGRESS})
    assert (ended.status, policers(node), node.get("/v1/endpoints")) == (1, [], [])
    assert "lxc" not in node.netns.run("ip", "-br", "link")


def test_an_attachment_with_its_limits_passes_the_check(node: NodeUnderTest, pod: Namespace) -> None:
    asked = {"bandwidth": INGRESS | EGRESS}
    added = node.cni("ADD", CNI_NETNS=pod.path, runtimeConfig=asked)
    checked = node.cni("CHECK", CNI_NETNS=pod.path, runtimeConfig=asked, prevResult=added.output)
    assert (added.status, checked) == (0, (0, None))


def test_a_burst_of_ones_own_is_taken(node: NodeUnderTest, pod: Namespace) -> None:
    """In bytes, as the kernel shows it; one that would let no packet pass is that of one packet."""
    ours = limited(node, pod, INGRESS | EGRESS | {"ingressBurst": 8 * 300_000, "egressBurst": 8})
    assert root_queue(node.netns, ours["host_ifname"])["options"]["burst"] == pytest.approx(300_000, rel=1e-3)
    assert kept(move(sockets(pod), sockets(node.netns), GATEWAY, BYTES))
