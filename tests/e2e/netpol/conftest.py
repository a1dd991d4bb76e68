"""The pods that Kubernetes' own tests of NetworkPolicy look at, on two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pytest

from support.cluster import Cluster
from support.netpol import World, server

NAMESPACES = ("x", "y", "z")
PODS = ("a", "b", "c")


@pytest.fixture(scope="package")
def nine_pods(cluster: Cluster) -> Iterator[World]:
    """Three pods in each of three namespaces; of each pod's peers, some are on its node and some are not."""
    nodes = cycle(node.name for node in cluster.lab.topology.nodes)
    pods = [server(f"{space}/{pod}", next(nodes), {"pod": pod}) for space in NAMESPACES for pod in PODS]
    world = World(cluster, pods)
    yield world
    world.close()


@pytest.fixture
def world(nine_pods: World) -> Iterator[World]:
    """The nine pods without any policy; each test may do with them what it wants."""
    yield nine_pods
    nine_pods.reset()
