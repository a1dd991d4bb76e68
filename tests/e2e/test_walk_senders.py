"""What a sender's own stack makes of a packet before a program sees it, and that a walk says the same."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netloom.datapath.headers import header_fields
from netloom.lab.agents import wait_until
from netloom.lab.topology import OUTSIDE_V4, OUTSIDE_V6
from support.cluster import WITHIN_S, Cluster
from support.sightings import watching
from support.walked import answered, compare, is_sent, jumbo, ping, places, walk

pytestmark = pytest.mark.e2e

BOTH = pytest.mark.parametrize("version", [4, 6])
NEAR_AND_FAR = pytest.mark.parametrize("receiver", ["busybox2", "busybox3"])
SIZE = 2000
HEADERS = {4: 28, 6: 48}
"""Of IP and ICMP."""
CUT = "larger than MTU 1450: cut into 2 fragments by the pod; the first is walked"
REFUSED_SAYS = "message too long"
"""How ping tells of it."""
REFUSED = "the pod's own stack refuses it: larger than MTU 1450"


@pytest.mark.parametrize("target", ["own", "127.0.0.1", "127.9.9.9", "0.0.0.0", "own6", "::1", "::"])
def test_what_a_pod_sends_to_itself_never_leaves_it(cluster: Cluster, target: str) -> None:
    """Neither a program nor a device but its loopback sees it, and it is answered."""
    pod = cluster.pod("busybox1")
    address = pod.ipv4 if target == "own" else pod.ipv6 if target == "own6" else ip_address(target)
    walked = walk(cluster, "node1", pod.name, str(address))
    with watching(places(cluster), is_sent) as seen:
        said = ping(pod, address)
    assert ("1 received" in said, seen) == (True, [])
    assert (walked["outcome"]["fate"], walked["outcome"]["endpoint_id"]) == ("delivered", pod.endpoint_id)
    assert [hop["text"] for hop in walked["hops"]] == ["stays within the pod, by lo"]


def test_a_pod_named_twice_sends_to_itself(cluster: Cluster) -> None:
    walked = walk(cluster, "node1", "busybox1", "busybox1", "--reply")
    assert (walked["outcome"]["fate"], walked["reply"]["outcome"]["fate"]) == ("delivered", "delivered")


@pytest.mark.parametrize("target", ["underlay", "gateway", "127.0.0.1", "::1"])
def test_what_a_node_sends_to_itself_never_leaves_it(cluster: Cluster, target: str) -> None:
    own = {"underlay": cluster.underlay("node1", 4), "gateway": cluster.gateway("node1", 6)}
    address = own.get(target) or ip_address(target)
    walked = walk(cluster, "node1", "host", str(address))
    with watching(places(cluster), is_sent) as seen:
        said = ping(cluster.node("node1"), address)
    assert ("1 received" in said, seen) == (True, [])
    assert walked["outcome"]["text"] == "delivered to node node1 itself"
    assert [hop["text"] for hop in walked["hops"]] == ["stays within the node, by lo"]


GROUPS = {
    "ff02::1": "33:33:00:00:00:01",
    "ff0e::1:2:3": "33:33:00:02:00:03",
    "224.0.0.1": "01:00:5e:00:00:01",
    "239.129.2.3": "01:00:5e:01:02:03",
    "255.255.255.255": "ff:ff:ff:ff:ff:ff",
}


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_for_everybody_has_a_mac_address_nobody_is_asked_for(cluster: Cluster, group: str) -> None:
    """It leaves the pod with the group's, and is dropped by the first program."""
    pod, address = cluster.pod("busybox1"), ip_address(group)
    walked, before = walk(cluster, "node1", pod.name, group), cluster.drops("node1").get("MULTICAST", 0)
    with watching(places(cluster), is_sent) as seen:
        ping(pod, address, *(["-b"] if group == "255.255.255.255" else []))
    assert walked["outcome"]["drop"]["name"] == "MULTICAST"
    assert cluster.drops("node1")["MULTICAST"] == before + 1
    assert {header_fields(frame)["destination_mac"] for _, frame in seen} == {GROUPS[group]}
    compare(cluster, walked, seen)


def test_what_is_for_the_link_alone_is_dropped_for_the_reason_a_walk_tells(cluster: Cluster) -> None:
    """A pod sends it to its gateway, as its routes say."""
    pod, address = cluster.pod("busybox1"), ip_address("fe80::1")
    ping(pod, address)
    walked, before = walk(cluster, "node1", pod.name, str(address)), cluster.drops("node1")
    with watching(places(cluster), is_sent) as seen:
        ping(pod, address)
    counted = {name for name, packets in cluster.drops("node1").items() if packets > before.get(name, 0)}
    assert walked["outcome"]["drop"]["name"] in counted
    compare(cluster, walked, seen)


@BOTH
@NEAR_AND_FAR
def test_a_packet_that_is_too_large_is_cut_by_its_sender(cluster: Cluster, version: int, receiver: str) -> None:
    """Unless it is forbidden: the first fragment is the one that is walked."""
    pod, target = cluster.pod("busybox1"), cluster.pod(receiver).address(version)
    ping(pod, target)
    walked = walk(cluster, "node1", pod.name, str(target), "--size", str(SIZE))
    seen = answered(cluster, pod, target, "-s", str(SIZE - HEADERS[version]))
    assert walked["outcome"]["fate"] == "delivered"
    assert walked["hops"][0]["notes"][0].startswith(CUT)
    compare(cluster, walked, seen)


@BOTH
def test_fragments_leave_for_the_world_as_they_were_cut(cluster: Cluster, version: int) -> None:
    """The node puts them together for its masquerading, and takes them apart again."""
    pod, outside = cluster.pod("busybox1"), OUTSIDE_V4 if version == 4 else OUTSIDE_V6
    large = f"-s{SIZE - HEADERS[version]}"
    ping(pod, outside, large)  # who answers is told that its fragments are too big for the overlay, and learns
    walked = walk(cluster, "node1", pod.name, str(outside), "--size", str(SIZE))
    seen = answered(cluster, pod, outside, large)
    assert walked["outcome"]["fate"] == "world"
    compare(cluster, walked, seen)


@BOTH
def test_a_packet_that_must_not_be_cut_is_refused_by_its_sender(cluster: Cluster, version: int) -> None:
    """No device sees anything of it."""
    pod, target = cluster.pod("busybox1"), cluster.pod("busybox3").address(version)
    ping(pod, target)
    walked = walk(cluster, "node1", pod.name, str(target), "--size", str(SIZE), "--df")
    with watching(places(cluster), is_sent) as seen:
        said = ping(pod, target, "-M", "do", "-s", str(SIZE - HEADERS[version]))
    assert (REFUSED_SAYS in said.lower(), seen) == (True, []), said
    assert (walked["outcome"]["fate"], walked["outcome"]["text"]) == ("dropped", REFUSED)


@BOTH
def test_what_a_sender_has_learnt_of_its_path_counts(cluster: Cluster, version: int) -> None:
    """A pod with a larger MTU, after it was told once that its packets are too big."""
    pod, target = cluster.pod("busybox1"), cluster.pod("busybox3").address(version)
    uncut = ("-M", "do", "-s", str(SIZE - HEADERS[version]))
    # A walk cannot know what the node has not asked its neighbour yet.
    cluster.node("node1").ping(cluster.underlay("node2", 4))
    with jumbo(pod):
        # Told by its gateway first, and by its own stack as soon as that has learnt.
        assert wait_until(lambda: REFUSED_SAYS in ping(pod, target, *uncut).lower(), WITHIN_S)
        # What the kernel does every half minute: forget what was learnt by a gateway that is no router.
        pod.run("sysctl", "-qw", "net.ipv6.route.flush=0")
        refused = walk(cluster, "node1", pod.name, str(target), "--size", str(SIZE), "--df")
        walked = walk(cluster, "node1", pod.name, str(target), "--size", str(SIZE))
        seen = answered(cluster, pod, target, "-s", str(SIZE - HEADERS[version]))
    assert refused["outcome"]["text"] == REFUSED
    assert walked["hops"][0]["notes"][0].startswith(CUT)
    compare(cluster, walked, seen)


@BOTH
def test_tcp_sends_no_segment_that_is_too_large(cluster: Cluster, version: int) -> None:
    target = cluster.pod("busybox3").address(version)
    options = ("--proto", "tcp", "--port", "80", "--size", str(SIZE), "--df")
    walked = walk(cluster, "node1", "busybox1", str(target), *options)
    assert walked["outcome"]["fate"] == "delivered"
    assert "TCP sends it in 2 segments" in walked["hops"][0]["notes"][0]
    assert header_fields(bytes.fromhex(walked["hops"][0]["frame"]))["bytes"] == "1450"


def test_a_walk_to_an_address_nobody_has_on_the_underlay_says_so(cluster: Cluster) -> None:
    """Once the kernel has asked; before that, it is not known."""
    pod, node, nobody = cluster.pod("busybox1"), cluster.node("node1"), ip_address("192.168.77.99")
    before = walk(cluster, "node1", pod.name, str(nobody))["outcome"]
    ping(pod, nobody)
    assert wait_until(lambda: "FAILED" in node.run("ip", "neigh", "show", str(nobody)), WITHIN_S)
    after = walk(cluster, "node1", pod.name, str(nobody))["outcome"]
    assert (before["fate"], after["fate"]) == ("world", "dropped")
    assert before["text"].endswith("if anybody answers for 192.168.77.99 there: that is not known")
    assert after["text"] == "nobody answers for 192.168.77.99 on eth0: the kernel has asked in vain"


def test_a_loopback_address_from_outside_is_refused_by_its_name(cluster: Cluster) -> None:
    walked = walk(cluster, "node1", "world", "127.0.0.1")
    assert "a loopback address is nobody's but the sender's own" in walked["outcome"]["text"]
