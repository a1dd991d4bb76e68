"""The data path, compiled and loaded once for all tests, with fresh tables for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.netns import Namespace
from support.objects import objects_dir
from support.pipeline import Pipeline
from support.wire import WireNode, wire_node


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return objects_dir(tmp_path_factory)


@pytest.fixture(scope="session")
def loaded(cache_dir: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline.build(cache_dir)
    yield pipeline
    pipeline.close()


@pytest.fixture(scope="session")
def loaded_for_devices(cache_dir: Path) -> Iterator[Pipeline]:
    """With maps of its own: a real device says good-bye to its groups while it goes, some time after its test."""
    pipeline = Pipeline.build(cache_dir)
    yield pipeline
    pipeline.close()


@pytest.fixture
def pipeline(loaded: Pipeline) -> Pipeline:
    """A node with the workloads ALICE and BOB, and the neighbour of CAROL and DAVE."""
    loaded.reset()
    return loaded


@pytest.fixture
def wire(loaded_for_devices: Pipeline, make_netns: Callable[[str], Namespace]) -> Iterator[WireNode]:
    """A node with real devices, and no workloads yet."""
    loaded_for_devices.reset()
    with wire_node(loaded_for_devices, make_netns) as node:
        yield node
