"""One lab for all tests of this directory. A test that disturbs it puts it in order again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netloom.lab import lab as labs
from netloom.lab.topology import LabSpec
from support.cluster import Cluster
from support.leaks import MARK
from support.objects import given_objects_dir
from support.spare_pods import SparePods


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """Tests here restart processes of a lab they share; the end of the run is where all must be gone."""


@pytest.fixture(scope="session")
def cluster(_nothing_left_by_the_run: None) -> Iterator[Cluster]:
    """Two nodes with two pods each."""
    objects = given_objects_dir()
    lab = labs.up(LabSpec(name=MARK), {"paths": {"cache_dir": str(objects)}} if objects else None)
    try:
        yield Cluster(lab)
    finally:
        labs.down(MARK)


@pytest.fixture
def spare_pods(cluster: Cluster) -> Iterator[SparePods]:
    """Pods that end with the test."""
    pods = SparePods(cluster)
    yield pods
    pods.close()
