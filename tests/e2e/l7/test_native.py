"""Requests where packets travel without a tunnel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.lab.agents import wait_until
from netloom.lab.inside import program
from netloom.lab.topology import LabSpec
from support.cluster import WITHIN_S, Cluster, cluster_of
from support.given import Given
from support.judged import (
    NATIVE_RECEIVER,
    NATIVE_SENDER,
    NEAR,
    SERVER,
    proxies,
    status,
    talk,
    tell_ways_to_pods,
)
from support.leaks import MARK
from support.requests import DENIED, Talk, serving

pytestmark = pytest.mark.e2e


@pytest.fixture
def native(_nothing_left_by_the_run: None) -> Iterator[Cluster]:
    """Where packets for a pod come by another program; the service and a client on two nodes."""
    with cluster_of(LabSpec(name=f"{MARK}-l7n", pods_per_node=1), {"network_mode": "native"}) as cluster:
        tell_ways_to_pods(cluster)
        yield cluster
    assert proxies(cluster) == [], "a lab's end left them"


def test_in_native_mode_requests_are_judged_and_a_nodes_cleaning_ends_its_proxy(
    native: Cluster, tmp_path: Path
) -> None:
    server = native.pod(SERVER)
    with serving(server) as services:
        Given(native, tmp_path).put(f"{NATIVE_RECEIVER}---{NATIVE_SENDER}")
        for version in (4, 6):
            with Talk(native.pod(NEAR), server.address(version)) as connection:
                assert connection.ask("GET", "/healthz") == DENIED
                assert connection.ask("GET", "/jobs") == DENIED
                assert connection.ask().status == 200
                assert services[SERVER].peers[-1] == connection.end
            with talk(native, "world", version) as connection:
                assert connection.ask("GET", "/healthz") == DENIED
                assert connection.ask().status == 200
                assert services[SERVER].peers[-1] == connection.end
    here, there = (status(native, node)["pid"] for node in ("node1", "node2"))
    assert set(proxies(native)) == {here, there}
    native.lab.stop_agent("node1")
    config = str(native.lab.files.config("node1"))
    native.node("node1").run(str(program("netloom-agent")), "--config", config, "--clean")
    assert wait_until(lambda: proxies(native) == [there], WITHIN_S)
