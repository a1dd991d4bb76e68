"""A lab whose pods have policies about requests, and a service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.lab.topology import LabSpec
from support.cluster import Cluster, cluster_of
from support.judged import (
    SERVER,
    Standing,
    tell_ways_to_pods,
)
from support.leaks import MARK
from support.requests import Service, serving


@pytest.fixture(scope="module")
def served(_nothing_left_by_the_run: None) -> Iterator[tuple[Cluster, Service]]:
    """Two nodes with two pods each, one of which serves; the world knows the way to pods."""
    with cluster_of(LabSpec(name=f"{MARK}-l7")) as cluster, serving(cluster.pod(SERVER)) as services:
        tell_ways_to_pods(cluster)
        yield cluster, services[SERVER]


@pytest.fixture
def lab(served: tuple[Cluster, Service]) -> Cluster:
    return served[0]


@pytest.fixture
def service(served: tuple[Cluster, Service]) -> Service:
    return served[1]


@pytest.fixture(scope="module")
def policies(served: tuple[Cluster, Service], tmp_path_factory: pytest.TempPathFactory) -> Standing:
    return Standing(served[0], tmp_path_factory.mktemp("policies"))
