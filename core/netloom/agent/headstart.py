"""What an agent does before the greater part of it is imported.

Importing the rest keeps one CPU busy for about as long as compiling a program does. So the node is taken and the
plugins are asked for their programs first, and the compiler's processes work meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from netloom.agent.generation import Compiled, compile_generation
from netloom.bpf.compiler import Compiler
from netloom.config.load import Loaded
from netloom.edge.lock import node_lock
from netloom.plugins.manager import Active, PluginManager


@dataclass(frozen=True, slots=True)
class HeadStart:
    """What is there already when an agent is built."""

    active: Active
    compiling: Awaitable[Compiled]
    """Gives the programs, or raises CompileError, Unsupported, PluginError or KernelError."""


async def begin(stack: AsyncExitStack, loaded: Loaded, plugins: PluginManager) -> HeadStart:
    """Take the node's lock, which ``stack`` gives back, activate plugins and begin to compile. Raises NetloomError."""
    settings = loaded.settings
    stack.enter_context(node_lock(settings.paths.run_dir / settings.node.name, settings.node.name))
    stack.callback(plugins.close)
    active = await plugins.activate(settings, loaded.sections)
    compiler = Compiler(settings.paths.cache_dir)
    # Not to_thread() in a task, which would begin only when the event loop is free again.
    compiling = asyncio.get_running_loop().run_in_executor(None, compile_generation, compiler, active.programs)
    return HeadStart(active, compiling)
