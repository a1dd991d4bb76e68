"""Pods come and go through the CNI program."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface
from typing import Any

import pytest

from netloom.cni.errors import Code
from netloom.edge.netns import delete_named_netns
from netloom.lab.agents import wait_until
from netloom.lab.pods import CniCallError
from netloom.lab.topology import LabPod
from support.cluster import WITHIN_S, Cluster, Place, talking
from support.spare_pods import SparePods

pytestmark = pytest.mark.e2e


def everything_known(cluster: Cluster) -> str:
    """Of both nodes: entries of all maps that hold addresses or devices, links, pools, files."""
    found: dict[str, Any] = {}
    for node in ("node1", "node2"):
        for name in ("endpoints", "devices", "ipcache", "tunnels", "peers"):
            found[f"{node} {name}"] = entries(cluster, node, name)
        links = json.loads(cluster.node(node).run("ip", "-j", "link"))
        found[f"{node} links"] = sorted(link["ifname"] for link in links)
        found[f"{node} pools"] = cluster.lab.api(node, "/v1/status")["ipam"]
        found[f"{node} state"] = sorted(
            path.name for path in (cluster.lab.files.state_dir / node / "endpoints").iterdir()
        )
    return json.dumps(found, indent=1)


def entries(cluster: Cluster, node: str, name: str) -> list[str]:
    """Those of a map, as text."""
    return sorted(json.dumps(entry) for entry in cluster.lab.api(node, f"/v1/maps/{name}")["entries"])


def test_a_new_pod_is_reached_from_every_node(cluster: Cluster, spare_pods: SparePods) -> None:
    """As soon as the agents have heard of it."""
    pod = spare_pods.attached("node2")
    for name in ("busybox1", "busybox3"):
        for version in (4, 6):
            cluster.pod(name).ping(pod.address(version))


def test_the_result_of_add_is_what_stands_in_the_pod(cluster: Cluster, spare_pods: SparePods) -> None:
    """Interfaces with their MACs, addresses with their gateways."""
    pod = spare_pods.make()
    result = cluster.lab.attach(pod)
    host, inside = result["interfaces"]
    (link,) = json.loads(Place(name=pod.name, netns=pod.netns).run("ip", "-j", "address", "show", "eth0"))
    assert (inside["name"], inside["mac"], inside["sandbox"]) == ("eth0", link["address"], f"/run/netns/{pod.netns}")
    assert cluster.node("node1").mac_of(host["name"]).hex(":") == host["mac"]
    addresses = {(one["local"], one["prefixlen"]) for one in link["addr_info"] if one["scope"] == "global"}
    given = [ip_interface(ip["address"]) for ip in result["ips"]]
    assert addresses == {(str(address.ip), address.network.prefixlen) for address in given}


def test_del_removes_everything_that_add_made(cluster: Cluster, spare_pods: SparePods) -> None:
    """Map entries on every node, links, addresses, state; and a second DEL is no error."""
    before = everything_known(cluster)
    pod = spare_pods.make()
    cluster.lab.attach(pod)
    cluster.lab.wait_converged()
    assert everything_known(cluster) != before
    cluster.lab.detach(pod)
    cluster.lab.detach(pod)
    assert wait_until(lambda: everything_known(cluster) == before, WITHIN_S)
    assert "eth0" not in Place(name=pod.name, netns=pod.netns).run("ip", "-br", "link")


def test_del_after_the_pod_has_gone_leaves_nothing(cluster: Cluster, spare_pods: SparePods) -> None:
    """The runtime may remove the namespace first."""
    before = everything_known(cluster)
    pod = spare_pods.make()
    cluster.lab.attach(pod)
    delete_named_netns(pod.netns)
    cluster.lab.detach(pod)
    assert wait_until(lambda: everything_known(cluster) == before, WITHIN_S)


def test_a_second_add_is_refused_and_harms_nothing(cluster: Cluster, spare_pods: SparePods) -> None:
    """The interface is there already."""
    pod = spare_pods.make()
    cluster.lab.attach(pod)
    before = everything_known(cluster)
    with pytest.raises(CniCallError) as caught:
        cluster.lab.attach(pod)
    assert caught.value.code == Code.CONFLICT
    assert everything_known(cluster) == before
    Place(name=pod.name, netns=pod.netns).ping(cluster.pod("busybox3").ipv4)


def test_an_add_that_fails_leaves_nothing(cluster: Cluster) -> None:
    """A namespace that does not exist is known only after addresses were given."""
    before = everything_known(cluster)
    with pytest.raises(CniCallError, match="does not exist"):
        cluster.lab.attach(LabPod(name="ghost", netns="no-such-netns", node="node1", container_id="ghost"))
    assert everything_known(cluster) == before


def test_many_pods_at_once_get_addresses_of_their_own(cluster: Cluster, spare_pods: SparePods) -> None:
    """Attached side by side, all of them reachable."""
    pods = [spare_pods.make() for _ in range(8)]
    with ThreadPoolExecutor(max_workers=len(pods)) as workers:
        results = list(workers.map(cluster.lab.attach, pods))
    addresses = [ip_interface(ip["address"]).ip for result in results for ip in result["ips"]]
    assert len(set(addresses)) == 2 * len(pods)
    for address in addresses:
        cluster.pod("busybox1").ping(address)


def test_a_pods_traffic_goes_on_while_others_come_and_go(cluster: Cluster, spare_pods: SparePods) -> None:
    """Not one packet of a standing conversation is lost."""
    with talking(cluster.pod("busybox1"), cluster.pod("busybox3")) as lost:
        for _ in range(3):
            pod = spare_pods.make()
            cluster.lab.attach(pod)
            cluster.lab.detach(pod)
    assert lost == []
