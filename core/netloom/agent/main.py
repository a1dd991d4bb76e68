"""``netloom-agent``: reads the configuration, runs the agent until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from netloom import __version__
from netloom.edge import logs
from netloom.model.errors import ConfigError, NetloomError, Unsupported

if TYPE_CHECKING:
    from netloom.config.load import Loaded
    from netloom.plugins.manager import PluginManager

DEFAULT_CONFIG = Path("/etc/netloom/node.yaml")
EXIT_FAILED = 1
EXIT_CONFIG = 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="netloom-agent", description="The Netloom agent of one node.")
    parser.add_argument("--config", type=Path, help=f"node config (default {DEFAULT_CONFIG} if it exists)")
    parser.add_argument(
        "--clean", action="store_true", help="remove everything the agent made on this node, say what, and exit"
    )
    parser.add_argument("--version", action="version", version=f"netloom-agent {__version__}")
    return parser.parse_args()


def _load(config: Path | None) -> tuple[PluginManager, Loaded]:
    from netloom.plugins.manager import PluginManager

    plugins = PluginManager.discover()
    loaded = plugins.load(config)
    logs.configure(loaded.settings.log.level, loaded.settings.log.format)
    return plugins, loaded


def _clean(config: Path | None) -> None:
    from netloom.agent.clean import clean_node

    plugins, loaded = _load(config)
    cleaned = clean_node(loaded.settings, plugins, loaded.sections)
    for removed in cleaned.removed:
        sys.stdout.write(f"removed {removed}\n")
    if cleaned.problems:
        raise NetloomError("; ".join(cleaned.problems))


async def _serve(config: Path | None) -> None:
    gc.disable()  # until the agent is ready: nearly all that is made meanwhile stays, so looking for garbage is in vain
    from netloom.agent.headstart import begin

    plugins, loaded = _load(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        started = await begin(stack, loaded, plugins)
        from netloom.agent.core import Agent  # not before: it takes a while, in which the compiler is at work

        await Agent(loaded, plugins, started).run(stop)


def main() -> None:
    """Exit status 0 after a signal, 1 when the agent cannot start or go on, 2 for an unusable configuration."""
    arguments = _arguments()
    config = arguments.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    try:
        if os.geteuid() != 0:
            raise Unsupported("running the agent", needs="root (uid 0)", found=f"uid {os.geteuid()}")
        if arguments.clean:
            _clean(config)
        else:
            asyncio.run(_serve(config))
    except ConfigError as error:
        sys.stderr.write(f"netloom-agent: the configuration cannot be used:\n{error}\n")
        sys.exit(EXIT_CONFIG)
    except NetloomError as error:
        sys.stderr.write(f"netloom-agent: {error}\n")
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
