"""What an agent does before the greater part of it is imported."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from netloom.agent import headstart
from netloom.agent.generation import Compiled
from netloom.agent.headstart import begin
from netloom.bpf.compiler import Compiler
from netloom.config.load import Loaded, load_text
from netloom.edge.lock import node_lock
from netloom.model.errors import Conflict
from netloom.plugins.manager import PluginManager
from netloom.plugins.owned import OwnedProgram

CONFIG = """
node: {{name: n1}}
paths: {{run_dir: {directory}/run, cache_dir: {directory}/objects}}
plugins:
  hostscope: {{pod_cidrs: [10.1.0.0/24]}}
  local: {{path: {directory}/store.db}}
"""
PATIENCE_S = 30.0


@pytest.fixture
def plugins() -> PluginManager:
    return PluginManager.discover()


@pytest.fixture
def config(plugins: PluginManager, tmp_path: Path) -> Loaded:
    return load_text(CONFIG.format(directory=tmp_path), "node.yaml", plugins.section_types())


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the programs of the plugins have come to the compiler."""
    asked = threading.Event()

    def compile_generation(_: Compiler, owned: Sequence[OwnedProgram]) -> Compiled:
        asked.set()
        return Compiled(objects=(), targets={item.program.target: item.program.name for item in owned})

    monkeypatch.setattr(headstart, "compile_generation", compile_generation)
    return asked


def test_it_loads_none_of_the_large_libraries() -> None:
    """They are what the compiler need not wait for."""
    code = "import sys, netloom.agent.main, netloom.agent.headstart; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert set() == loaded & {"aiohttp", "pyroute2", "netloom.agent.core"}


async def test_the_compiler_begins_while_the_event_loop_is_busy(
    config: Loaded, plugins: PluginManager, compiler: threading.Event
) -> None:
    """Busy with importing the agent: no task would be run before that is over."""
    async with AsyncExitStack() as stack:
        started = await begin(stack, config, plugins)
        assert compiler.wait(PATIENCE_S)
        compiled = await started.compiling
    assert sorted(compiled.targets.values()) == ["encap", "from_overlay", "from_underlay"]
    assert started.active.mode.tunnel is not None


async def test_a_node_that_another_agent_has_is_left_alone(
    config: Loaded, plugins: PluginManager, compiler: threading.Event, tmp_path: Path
) -> None:
    """Nothing is activated or compiled for it."""
    with node_lock(tmp_path / "run/n1", "n1"), pytest.raises(Conflict):
        async with AsyncExitStack() as stack:
            await begin(stack, config, plugins)
    assert not compiler.is_set()
    assert {record.state for record in plugins.records()} == {"available"}


async def test_the_node_is_given_back_when_the_agent_ends(
    config: Loaded, plugins: PluginManager, compiler: threading.Event, tmp_path: Path
) -> None:
    del compiler
    async with AsyncExitStack() as stack:
        started = await begin(stack, config, plugins)
        await asyncio.wait_for(started.compiling, PATIENCE_S)
    with node_lock(tmp_path / "run/n1", "n1"):
        pass
