"""Every configuration of programs a node can have is taken by the kernel at hand, whichever that is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import product
from pathlib import Path

import pytest

from netloom.agent.generation import Generation, compile_generation
from netloom.agent.node_maps import NodeMaps
from netloom.bpf.compiler import Compiler
from netloom.datapath.registry import CallSlot
from netloom.plugins.contract import UNDERLAY, AttachPoint, BpfProgram
from netloom.plugins.owned import OwnedProgram
from support.emulated import EMULATED
from support.leaks import MARK

pytestmark = pytest.mark.bpf

CUSTOM = BpfProgram(
    name="custom",
    file="custom.bpf.c",
    source="int custom(struct __sk_buff *skb) {\nreturn 2;\n}\n",
    target=CallSlot.CUSTOM_FROM_CONTAINER,
)
"""Any program in the slot that changes how others are compiled."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What decides which programs a node loads."""

    plugin: str
    """Whose programs go with the core's."""
    underlay: str | None
    """Device of the direct way, or none."""
    custom: bool
    """Whether a plugin claims the custom stage."""

    def __str__(self) -> str:
        return f"{self.plugin}-{'direct' if self.underlay else 'tunnelled'}{'-custom' if self.custom else ''}"


def programs_of_plugins() -> dict[str, tuple[BpfProgram, ...]]:
    """Of every installed plugin of ours that brings any."""
    found = {}
    for entry in entry_points(group="netloom.plugins"):
        bring = getattr(entry.load()(), "netloom_bpf_programs", None)
        if bring is not None:
            found[entry.name] = tuple(bring())
    return found


PROGRAMS = programs_of_plugins()
CONFIGURATIONS = [
    Configuration(plugin, underlay, custom)
    for plugin, underlay, custom in product(sorted(PROGRAMS), ("eth0",) if EMULATED else ("eth0", None), (False, True))
]
"""Without the direct way some programs are left out: where loading takes long, all together are enough."""


@pytest.fixture
def directory() -> Iterator[Path]:
    """For pins."""
    made = Path("/sys/fs/bpf") / MARK
    made.mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_the_kernel_takes_every_program(configuration: Configuration, cache_dir: Path, directory: Path) -> None:
    """Loaded, in its slot and pinned, as the agent does it."""
    owned = [OwnedProgram(configuration.plugin, program) for program in PROGRAMS[configuration.plugin]]
    owned += [OwnedProgram("other", CUSTOM)] if configuration.custom else []
    compiled = compile_generation(Compiler(cache_dir), owned).at_underlay(
        [configuration.underlay] if configuration.underlay else [], direct=True
    )
    maps = NodeMaps(directory / "maps", owned, {})
    generation = Generation(directory / "generations/000001", compiled, maps.all)
    loaded = {program.name for program in generation.programs()}
    generation.close()
    maps.close()
    assert loaded == {item.name for item in compiled.objects}
    at_underlay = {
        program.name
        for program in PROGRAMS[configuration.plugin]
        if isinstance(program.target, AttachPoint) and program.target.device == UNDERLAY
    }
    assert loaded & at_underlay == (at_underlay if configuration.underlay else set())


def test_there_is_something_to_try() -> None:
    """At least what comes with Netloom."""
    assert {"vxlan", "native"} <= PROGRAMS.keys()
