"""One lab for all tests of this directory. A test that disturbs it puts it in order again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.lab.topology import LabSpec
from support.cluster import Cluster, cluster_of
from support.leaks import MARK
from support.spare_pods import SparePods


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """Tests here restart processes of a lab they share; the end of the run is where all must be gone."""


@pytest.fixture(scope="session")
def cluster(_nothing_left_by_the_run: None) -> Iterator[Cluster]:
    """Two nodes with two pods each."""
    with cluster_of(LabSpec(name=MARK)) as made:
        yield made


@pytest.fixture
def spare_pods(cluster: Cluster) -> Iterator[SparePods]:
    """Pods that end with the test."""
    pods = SparePods(cluster)
    yield pods
    pods.close()
