"""The data path, compiled and loaded once for all tests, with fresh tables for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netloom.bpf.compiler import Compiler
from netloom.bpf.objects import ProgramObject
from netloom.bpf.twin import Twins
from netloom.policy.table import Direction
from support.emulated import FAMILIES
from support.netns import Namespace
from support.objects import objects_dir
from support.packets import TCP, UDP
from support.pipeline import ALICE, BOB, SLOTS, Pipeline
from support.talk import Talk, allowing, to_port
from support.walking import OBJECTS
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


@pytest.fixture(scope="session")
def objects(cache_dir: Path) -> tuple[ProgramObject, ...]:
    return Compiler(cache_dir).compile_all(OBJECTS)


@pytest.fixture(scope="session")
def loaded_twins(loaded: Pipeline, objects: tuple[ProgramObject, ...]) -> Iterator[Twins]:
    with Twins(objects, loaded.maps, SLOTS) as made:
        yield made


@pytest.fixture
def twins(pipeline: Pipeline, loaded_twins: Twins) -> Twins:
    """Of the programs of ``pipeline``."""
    del pipeline
    return loaded_twins


@pytest.fixture
def wire(loaded_for_devices: Pipeline, make_netns: Callable[[str], Namespace]) -> Iterator[WireNode]:
    """A node with real devices, and no workloads yet."""
    loaded_for_devices.reset()
    with wire_node(loaded_for_devices, make_netns) as node:
        yield node


IN, OUT = Direction.INGRESS, Direction.EGRESS
GRE = 47


@pytest.fixture(params=FAMILIES, ids=lambda six: "ipv6" if six else "ipv4")
def talk(pipeline: Pipeline, request: pytest.FixtureRequest) -> Talk:
    """ALICE may ask anybody at TCP port 80 and UDP port 53, BOB be asked there; neither may do anything else."""
    ports = [(80, TCP), (53, UDP), (0, GRE)]
    pipeline.write_policy(ALICE.identity, allowing(*(to_port(OUT, *port) for port in ports)))
    pipeline.write_policy(BOB.identity, allowing(*(to_port(IN, *port) for port in ports)))
    return Talk(pipeline, request.param)


@pytest.fixture
def pinging(talk: Talk) -> Talk:
    """ALICE may only ping, and BOB be pinged."""
    ask, _ = talk.echo()
    talk.pipeline.write_policy(ALICE.identity, allowing(to_port(OUT, ask, talk.icmp_protocol)))
    talk.pipeline.write_policy(BOB.identity, allowing(to_port(IN, ask, talk.icmp_protocol)))
    return talk
