"""Twins of an agent: made for the first walk, kept while they fit, gone when nobody walks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest

from netloom.agent.walk import walker as walk_module
from netloom.agent.walk.node import NodeFacts, NodeSurroundings
from netloom.agent.walk.walker import SaidWords, Sources, Walker, WalkRequest
from netloom.bpf.compiler import Compiler
from netloom.bpf.objects import ProgramObject
from netloom.bpf.twin import Twins
from netloom.datapath.craft import Probe
from netloom.datapath.registry import CallSlot
from netloom.model.connection import Connection
from netloom.model.errors import Unavailable
from netloom.model.node import Node
from netloom.model.walk import Fate
from netloom.policy.l7_trace import RequestTrace
from support.emulated import EMULATED
from support.pipeline import SLOTS, Pipeline
from support.walking import OBJECTS
from support.wire import WireNode

pytestmark = [pytest.mark.bpf, pytest.mark.skipif(EMULATED, reason="is the same under any kernel")]

HERE = ip_address("127.0.0.1")
REQUEST = WalkRequest(
    start="host", endpoint=0, probe=Probe(source=HERE, destination=HERE), source=None, frame=b"", is_reply=False
)
FACTS = NodeFacts(
    node=Node(name="n1", underlay_ipv4=None, underlay_ipv6=None, pod_cidrs=(), gateways=(), mode="vxlan"),
    endpoints=(),
    others=(),
    unmasqueraded=(),
    uplinks=("lo",),
    doors=(),
    tunnel=None,
    masquerade=False,
    programs={},
    specs={},
)


class CountedTwins(Twins):
    """Real ones that say how many there are."""

    open = 0
    made = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        CountedTwins.open += 1
        CountedTwins.made += 1

    def close(self) -> None:
        CountedTwins.open -= 1
        super().close()


@dataclass(frozen=True, slots=True)
class Programs:
    """What a walker reads of a generation."""

    objects: tuple[ProgramObject, ...]

    def slots(self) -> Mapping[CallSlot, str]:
        return SLOTS

    def live_slots(self) -> Mapping[CallSlot, str]:
        return SLOTS


@pytest.fixture(scope="module")
def objects(cache_dir: Path) -> tuple[ProgramObject, ...]:
    return Compiler(cache_dir).compile_all(OBJECTS)


@pytest.fixture
def generations(
    pipeline: Pipeline, objects: tuple[ProgramObject, ...], monkeypatch: pytest.MonkeyPatch
) -> list[Programs]:
    """The last one is at work."""
    del pipeline
    monkeypatch.setattr(walk_module, "Twins", CountedTwins)
    monkeypatch.setattr(CountedTwins, "open", 0)
    monkeypatch.setattr(CountedTwins, "made", 0)
    return [Programs(objects)]


@pytest.fixture
def walker(pipeline: Pipeline, generations: list[Programs]) -> Walker:
    return Walker(
        Sources(
            generation=lambda: cast("Any", generations[-1]),
            maps=lambda: pipeline.maps,
            facts=lambda: FACTS,
            judge=_nobody,
        )
    )


async def _nobody(connection: Connection, said: SaidWords) -> tuple[RequestTrace, ...]:
    """No packet goes to a proxy here."""
    raise AssertionError((connection, said))


async def test_twins_are_made_once_for_many_walks(walker: Walker) -> None:
    """Even for walks that are asked for at the same time."""
    parts = await asyncio.gather(*(walker.walk(REQUEST) for _ in range(3)))
    assert [part.ending.fate for part in parts] == [Fate.DELIVERED] * 3
    assert (CountedTwins.made, CountedTwins.open) == (1, 1)
    await walker.close()
    assert CountedTwins.open == 0


async def test_new_programs_have_new_twins_and_the_old_ones_go(walker: Walker, generations: list[Programs]) -> None:
    await walker.walk(REQUEST)
    generations.append(Programs(generations[0].objects))
    await walker.walk(REQUEST)
    assert (CountedTwins.made, CountedTwins.open) == (2, 1)
    await walker.close()


async def test_twins_go_when_nobody_walks_any_more(walker: Walker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "IDLE_S", 0.0)
    await walker.walk(REQUEST)
    await asyncio.sleep(0.01)
    assert (CountedTwins.made, CountedTwins.open) == (1, 0)


async def test_a_walker_that_never_walked_closes_too(walker: Walker) -> None:
    await walker.close()
    assert CountedTwins.made == 0


@contextmanager
def surroundings(
    wire: WireNode, objects: tuple[ProgramObject, ...], names: Mapping[int, str]
) -> Iterator[NodeSurroundings]:
    """A node with devices, whose agent knows programs by ``names``."""
    with Twins(objects, wire.pipeline.maps, SLOTS) as twins:
        made = wire.netns.call(NodeSurroundings, replace(FACTS, programs=names), twins)
        try:
            yield made
        finally:
            made.close()


def test_the_program_on_a_device_is_known_by_number_and_hash(
    wire: WireNode, objects: tuple[ProgramObject, ...]
) -> None:
    with surroundings(wire, objects, {wire.pipeline.programs["from_host"].id: "from_host"}) as around:
        assert around.program_on(wire.links.host, "egress") == "from_host"
        assert around.program_on(wire.links.host, "ingress") is None


@pytest.mark.parametrize("known_as", ["", "from_container"], ids=["unknown", "other instructions"])
def test_a_program_that_is_not_the_twins_is_never_walked_in_its_place(
    wire: WireNode, objects: tuple[ProgramObject, ...], known_as: str
) -> None:
    """One of another generation, or of a name that stands for something else now."""
    number = wire.pipeline.programs["from_host"].id
    names = {number: known_as} if known_as else {}
    with surroundings(wire, objects, names) as around, pytest.raises(Unavailable, match="just being replaced"):
        around.program_on(wire.links.host, "egress")
