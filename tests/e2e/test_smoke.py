"""The least a cluster must do on any kernel: pods reach each other, and go on while their agent ends and starts."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest

from support.cluster import Cluster, PodView, talking

pytestmark = pytest.mark.e2e

TARGETS = {"same-node": "busybox2", "cross-node": "busybox3"}
TRANSFER_BYTES = 256 << 10


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, cluster: Cluster) -> PodView:
    """Where busybox1's packets go."""
    return cluster.pod(TARGETS[request.param])


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_is_pinged(cluster: Cluster, target: PodView, version: int) -> None:
    assert "1 received" in cluster.pod("busybox1").ping(target.address(version))


@pytest.mark.parametrize("version", [4, 6])
def test_a_transfer_by_tcp_comes_whole(cluster: Cluster, target: PodView, version: int) -> None:
    """Many segments, each byte as it was sent."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sent = bytes(itertools.islice(itertools.cycle(range(251)), TRANSFER_BYTES))
    with (
        target.open_socket(family, socket.SOCK_STREAM) as listener,
        cluster.pod("busybox1").open_socket(family, socket.SOCK_STREAM) as client,
    ):
        listener.bind((str(target.address(version)), 0))
        listener.listen()
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        received = bytearray()
        with server:
            reader = threading.Thread(target=_read_all, args=(server, received))
            reader.start()
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            reader.join()
    assert bytes(received) == sent


def test_traffic_goes_on_while_the_agent_is_killed_and_started(cluster: Cluster) -> None:
    """Not one datagram is lost, on the node and between nodes."""
    alice = cluster.pod("busybox1")
    near, far = (cluster.pod(TARGETS[where]) for where in ("same-node", "cross-node"))
    with talking(alice, near) as lost_near, talking(alice, far) as lost_far:
        cluster.lab.kill_agent("node1")
        cluster.lab.start_agent("node1")
    assert (lost_near, lost_far) == ([], [])


def _read_all(server: socket.socket, received: bytearray) -> None:
    server.settimeout(60)
    while data := server.recv(1 << 16):
        received += data
