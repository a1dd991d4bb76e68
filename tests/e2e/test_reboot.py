"""A node that was rebooted: state and store are there, everything in the kernel is gone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab.agents import wait_until
from netloom.lab.inside import ip_batch
from netloom.lab.lab import Lab
from netloom.lab.topology import LabSpec
from support.cluster import WITHIN_S, Cluster, PodView, cluster_of, pod_view
from support.leaks import MARK

pytestmark = pytest.mark.e2e

NAME = f"{MARK}-boot"
"""A lab of its own: what happens to it here would spoil any other."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_of(LabSpec(name=NAME)) as made:
        yield made


def reboot(cluster: Cluster, node: str) -> None:
    """Everything a boot takes: processes, pods, links, routes, firewall and pins."""
    lab, place = cluster.lab, cluster.node(node)
    lab.kill_agent(node)
    for pod in lab.topology.node(node).pods:
        delete_named_netns(pod.netns)
    for device in ("loom_host", "loom_vxlan"):
        place.run("ip", "link", "delete", device)
    for line in place.run("ip", "-br", "link").splitlines():
        if line.startswith("lxc"):
            place.attempt("ip", "link", "delete", line.split("@")[0])
    place.run("tc", "qdisc", "replace", "dev", "eth0", "clsact")
    place.run("nft", "flush", "ruleset")
    place.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    shutil.rmtree(lab.files.bpf_dir / node)


def pods_again(lab: Lab, node: str) -> list[PodView]:
    """The runtime makes its containers anew."""
    for pod in lab.topology.node(node).pods:
        create_named_netns(pod.netns)
        ip_batch(pod.netns, ["link set lo up"])
        lab.attach(pod)
    lab.wait_converged()
    return [pod_view(lab.endpoints()[pod.name], pod.netns, node) for pod in lab.topology.node(node).pods]


def addresses_of(cluster: Cluster, node: str) -> set[str]:
    """Of node2's pods, those that a node's ipcache holds."""
    entries = cluster.lab.api(node, "/v1/maps/ipcache")["entries"]
    prefixes = {entry["key"]["prefix"].split("/")[0] for entry in entries}
    return prefixes & {
        str(cluster.pod(name).address(version)) for name in ("busybox3", "busybox4") for version in (4, 6)
    }


def test_a_node_that_was_rebooted_is_as_new_and_the_others_know(cluster: Cluster) -> None:
    """Nobody has the addresses of pods that are gone; new pods are attached and reached, in both families."""
    assert len(addresses_of(cluster, "node1")) == 4
    reboot(cluster, "node2")
    cluster.lab.start_agent("node2")
    assert cluster.lab.api("node2", "/v1/endpoints") == []
    assert [pool["used"] for pool in cluster.lab.api("node2", "/v1/status")["ipam"]] == [0, 0]
    assert wait_until(lambda: addresses_of(cluster, "node1") == set(), WITHIN_S)
    client = cluster.pod("busybox1")
    for pod in pods_again(cluster.lab, "node2"):
        client.ping(pod.ipv4)
        client.ping(pod.ipv6)


def test_a_node_that_lost_its_pins_alone_takes_its_pods_up_again(cluster: Cluster) -> None:
    """Somebody unmounted the bpf file system while no agent ran: maps and programs are made anew."""
    before = cluster.lab.api("node2", "/v1/endpoints")
    cluster.lab.kill_agent("node2")
    shutil.rmtree(cluster.lab.files.bpf_dir / "node2")
    cluster.lab.start_agent("node2")
    assert cluster.lab.api("node2", "/v1/endpoints") == before
    for version in (4, 6):
        cluster.pod("busybox1").ping(cluster.pod("busybox3").address(version))
        cluster.pod("busybox4").ping(cluster.pod("busybox3").address(version))


def test_a_reboot_of_the_whole_cluster_is_survived(cluster: Cluster) -> None:
    """Nobody was there to tell anybody anything."""
    for node in ("node1", "node2"):
        reboot(cluster, node)
    for node in ("node1", "node2"):
        cluster.lab.start_agent(node)
    first, second = pods_again(cluster.lab, "node1"), pods_again(cluster.lab, "node2")
    for version in (4, 6):
        first[0].ping(second[0].address(version))
        first[0].ping(first[1].address(version))
