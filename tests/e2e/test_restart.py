"""Agents end, crash and come back; nodes leave and return. The data path goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from netloom.cni.errors import Code
from netloom.edge.netns import delete_named_netns
from netloom.lab import underlay
from netloom.lab.agents import wait_until
from netloom.lab.inside import netns_path, program
from netloom.lab.pods import CniCallError
from netloom.lab.processes import is_running
from support.attached import ours_on, strip
from support.cluster import WITHIN_S, Cluster, Place, talking
from support.spare_pods import SparePods

pytestmark = pytest.mark.e2e


@pytest.fixture
def ended(cluster: Cluster) -> Iterator[Callable[[str, str], None]]:
    """Ends a node's agent in some manner; it runs again after the test."""
    gone: set[str] = set()

    def end(node: str, manner: str) -> None:
        gone.add(node)
        (cluster.lab.kill_agent if manner == "killed" else cluster.lab.stop_agent)(node)

    yield end
    for node in gone:
        record = cluster.lab.agent(node)
        if record is None or not is_running(record):
            cluster.lab.start_agent(node)
    cluster.lab.wait_converged()


class Conversation:
    """A standing TCP connection between two pods."""

    def __init__(self, cluster: Cluster, client: str, server: str) -> None:
        address = (str(cluster.pod(server).ipv4), 0)
        with cluster.pod(server).open_socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen()
            self._client = cluster.pod(client).open_socket(socket.AF_INET, socket.SOCK_STREAM)
            self._client.connect(listener.getsockname())
            self._server, _ = listener.accept()
            self._server.settimeout(WITHIN_S)

    def goes_on(self) -> bool:
        """Whether a word comes back."""
        self._client.sendall(b"word")
        self._server.sendall(self._server.recv(16))
        return self._client.recv(16) == b"word"

    def close(self) -> None:
        """End it."""
        self._client.close()
        self._server.close()


@pytest.fixture(params=["busybox2", "busybox3"])
def conversation(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Conversation]:
    """Of busybox1, with a pod of its node and with one of another."""
    made = Conversation(cluster, "busybox1", request.param)
    yield made
    made.close()


def knowing(cluster: Cluster, address: str) -> list[str]:
    """Nodes that have an address in their ipcache."""
    return [name for name in ("node1", "node2") if address in json.dumps(cluster.lab.api(name, "/v1/maps/ipcache"))]


def fingerprint(cluster: Cluster, node: str) -> str:
    """What must be the same after a restart: endpoints, and every entry of every table."""
    tables = ("endpoints", "devices", "ipcache", "tunnels", "peers")
    found = {name: cluster.lab.api(node, f"/v1/maps/{name}")["entries"] for name in tables}
    sets = {name: sorted(json.dumps(entry) for entry in entries) for name, entries in found.items()}
    return json.dumps({"endpoints": cluster.lab.api(node, "/v1/endpoints"), "maps": sets}, indent=1)


@pytest.mark.parametrize("manner", ["killed", "stopped"])
def test_a_connection_outlives_the_agents_of_both_nodes(
    cluster: Cluster, ended: Callable[[str, str], None], conversation: Conversation, manner: str
) -> None:
    """It goes on while no agent runs, and after they are back."""
    for node in ("node1", "node2"):
        ended(node, manner)
    assert conversation.goes_on()
    for node in ("node1", "node2"):
        cluster.lab.start_agent(node)
    assert conversation.goes_on()


@pytest.mark.parametrize("manner", ["killed", "stopped"])
def test_new_connections_work_without_an_agent(
    cluster: Cluster, ended: Callable[[str, str], None], manner: str
) -> None:
    """Programs and tables stay; ARP is theirs to answer too."""
    ended("node1", manner)
    cluster.pod("busybox1").run("ip", "neigh", "flush", "all")
    for target in ("busybox2", "busybox3"):
        cluster.pod("busybox1").ping(cluster.pod(target).ipv6)


@pytest.mark.parametrize("manner", ["killed", "stopped"])
def test_a_restarted_agent_takes_up_what_stands(
    cluster: Cluster, ended: Callable[[str, str], None], manner: str
) -> None:
    """The same endpoints with the same numbers, addresses and identities; every table as it was."""
    before = fingerprint(cluster, "node1")
    ended("node1", manner)
    cluster.lab.start_agent("node1")
    assert fingerprint(cluster, "node1") == before


def test_not_one_packet_is_lost_while_an_agent_restarts(cluster: Cluster, ended: Callable[[str, str], None]) -> None:
    """Programs are replaced, tables compared: traffic of its pods never notices."""
    with talking(cluster.pod("busybox1"), cluster.pod("busybox3")) as lost:
        ended("node1", "killed")
        cluster.lab.start_agent("node1")
    assert lost == []


def test_a_second_agent_of_a_node_is_refused(cluster: Cluster) -> None:
    """It says which process is there already, and harms nothing."""
    record = cluster.lab.agent("node1")
    assert record is not None
    config = str(cluster.lab.files.config("node1"))
    done = cluster.node("node1").attempt(str(program("netloom-agent")), "--config", config)
    assert done.returncode == 1
    assert str(record.pid) in done.stderr
    cluster.pod("busybox1").ping(cluster.pod("busybox3").ipv4)
    assert cluster.lab.api("node1", "/v1/status")["state"] == "ok"


def test_an_add_without_an_agent_asks_to_come_again(
    cluster: Cluster, ended: Callable[[str, str], None], spare_pods: SparePods
) -> None:
    """Code 11 of the specification: a runtime tries again later."""
    ended("node1", "stopped")
    pod = spare_pods.make()
    try:
        with pytest.raises(CniCallError) as caught:
            cluster.lab.attach(pod)
        assert caught.value.code == Code.TRY_AGAIN_LATER
    finally:
        cluster.lab.start_agent("node1")
    cluster.lab.attach(pod)
    Place(name=pod.name, netns=pod.netns).ping(cluster.pod("busybox3").ipv4)


def test_pods_that_went_while_the_agent_was_away_are_cleaned_up(
    cluster: Cluster, ended: Callable[[str, str], None], spare_pods: SparePods
) -> None:
    """Their namespace is gone, so the restarted agent lets go of their addresses, here and on other nodes."""
    pod = spare_pods.attached()
    ended("node1", "killed")
    delete_named_netns(pod.netns)
    node = cluster.node("node1")
    assert wait_until(lambda: pod.host_ifname not in node.run("ip", "-br", "link"), WITHIN_S)
    cluster.lab.start_agent("node1")
    assert pod.name not in cluster.lab.endpoints()
    assert wait_until(lambda: not knowing(cluster, str(pod.ipv4)), WITHIN_S)


def test_what_a_stranger_changed_is_put_right_at_the_next_start(
    cluster: Cluster, ended: Callable[[str, str], None]
) -> None:
    """A route that was deleted, a filter that was removed: both stand again."""
    node, device = cluster.node("node1"), cluster.pod("busybox1").host_ifname
    ended("node1", "stopped")
    node.run("ip", "route", "delete", "10.244.2.0/24")
    strip(netns_path(node.netns), device, "ingress")
    cluster.lab.start_agent("node1")
    cluster.pod("busybox1").ping(cluster.pod("busybox3").ipv4)
    node.ping(cluster.pod("busybox3").ipv4)
    assert ours_on(netns_path(node.netns), device, "ingress")


def test_a_node_that_is_cut_off_is_reached_again_when_it_returns(cluster: Cluster) -> None:
    """Nothing has to be done for it."""
    pod, target = cluster.pod("busybox1"), cluster.pod("busybox3").ipv4
    away = cluster.lab.topology.node("node2")
    underlay.unplug(cluster.lab.topology, away)
    try:
        assert pod.answers_nothing(target)
    finally:
        underlay.plug(cluster.lab.topology, away)
    assert wait_until(lambda: not pod.answers_nothing(target), WITHIN_S)


def test_a_forgotten_node_leaves_no_trace_and_comes_back_by_itself(
    cluster: Cluster, ended: Callable[[str, str], None]
) -> None:
    """Its tunnels and addresses go; when its agent starts again, they return."""
    before = fingerprint(cluster, "node1")
    ended("node2", "stopped")
    cluster.netctl("node1", "node", "forget", "node2")
    assert wait_until(lambda: cluster.lab.api("node1", "/v1/maps/tunnels")["entries"] == [], WITHIN_S)
    assert "192.168.77.12" not in cluster.netctl("node1", "bpf", "ipcache", "list")
    assert "10.244.2.0/24" not in cluster.node("node1").run("ip", "route")
    assert cluster.pod("busybox1").answers_nothing(cluster.pod("busybox3").ipv4)
    cluster.lab.start_agent("node2")
    assert wait_until(lambda: fingerprint(cluster, "node1") == before, WITHIN_S)
    cluster.pod("busybox1").ping(cluster.pod("busybox3").ipv4)
