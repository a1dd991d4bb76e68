"""The data path, compiled and loaded once for all tests, with fresh tables for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.netns import Namespace
from support.pipeline import Pipeline
from support.wire import WireNode, wire_node


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    pipeline = Pipeline.build(tmp_path_factory.mktemp("bpf"))
    yield pipeline
    pipeline.close()


@pytest.fixture
def pipeline(loaded: Pipeline) -> Pipeline:
    """A node with the workloads ALICE and BOB, and the neighbour of CAROL and DAVE."""
    loaded.reset()
    return loaded


@pytest.fixture
def wire(pipeline: Pipeline, make_netns: Callable[[str], Namespace]) -> Iterator[WireNode]:
    """A node with real devices, and no workloads yet."""
    with wire_node(pipeline, make_netns) as node:
        yield node
