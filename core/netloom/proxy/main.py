"""``netloom-proxy``: judges requests until it is told to stop, whether or not an agent runs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import structlog
import uvloop

from netloom import __version__
from netloom.config.load import Loaded
from netloom.edge import logs
from netloom.model.errors import ConfigError, NetloomError, Unsupported
from netloom.model.l7_messages import Hello
from netloom.plugins.manager import PluginManager
from netloom.plugins.protocols import L7Protocol
from netloom.proxy.access import AccessLog
from netloom.proxy.connection import Shared, Spoken
from netloom.proxy.control import Control
from netloom.proxy.ends import Identify, PinnedConnections
from netloom.proxy.guard import Guard
from netloom.proxy.rules import Rulebook
from netloom.proxy.server import Proxy, room_for
from netloom.proxy.sockets import Door, SockmapDoor

GC_THRESHOLD = 20_000
EXIT_FAILED = 1
EXIT_CONFIG = 2


def control_path(loaded: Loaded) -> Path:
    """Each process has a socket of its own, so that two can be talked to while one takes the other's place."""
    return loaded.settings.paths.run_dir / loaded.settings.node.name / "proxy" / f"{os.getpid()}.sock"


async def serve(
    loaded: Loaded, protocols: list[tuple[str, L7Protocol]], fingerprint: str, *, door: Door, identify: Identify
) -> None:
    """Until a signal comes, or a drained proxy has nothing left to do. Raises KernelError."""
    settings = replace(loaded.settings.proxy, connections=room_for(loaded.settings.proxy.connections))
    spoken = {protocol.name: Spoken(plugin=plugin, protocol=protocol) for plugin, protocol in protocols}
    shared = Shared(
        settings=settings,
        protocols=spoken,
        book=Rulebook({name: one.protocol for name, one in spoken.items()}),
        log=AccessLog(settings.records),
        guard=Guard(settings.event_timeout_s),
        identify=identify,
    )
    proxy = Proxy(shared, door)
    who = Hello(pid=os.getpid(), fingerprint=fingerprint, revision=0, protocols=tuple(sorted(spoken)), ports=())
    path = control_path(loaded)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, proxy.ended.set)
    control = Control(path, proxy, shared.log, who)
    await proxy.start()
    # What is there now stays; and requests leave no cycles, so looking for some after each few hundred is in vain.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    tasks: list[asyncio.Task[None]] = []
    try:
        with shared.guard.watching():
            server = await control.start()
            structlog.get_logger().info("proxy.started", version=__version__, protocols=who.protocols, socket=str(path))
            tasks = [asyncio.create_task(work) for work in (proxy.run(), control.run())]
            await asyncio.wait([*tasks, asyncio.create_task(proxy.ended.wait())], return_when=asyncio.FIRST_COMPLETED)
            server.close()
    finally:
        proxy.stop()
        path.unlink(missing_ok=True)
        await asyncio.sleep(0)  # resets are sent by the loop
        await _ended(tasks)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    """Raises what a task raised by itself."""
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _main(config: Path | None) -> None:
    plugins = PluginManager.discover()
    loaded = plugins.load(config)
    logs.configure(loaded.settings.log.level, loaded.settings.log.format)
    protocols = await plugins.spoken(loaded.settings, loaded.sections)
    pins = loaded.settings.paths.bpf_dir / loaded.settings.node.name / "maps"
    fingerprint = plugins.fingerprint(loaded)
    await serve(loaded, protocols, fingerprint, door=SockmapDoor(pins), identify=PinnedConnections(pins))


def main() -> None:
    """Exit status 0 after a signal or a drain, 1 when it cannot start or go on, 2 for an unusable configuration."""
    parser = argparse.ArgumentParser(prog="netloom-proxy", description="Judges requests of one node's connections.")
    parser.add_argument("--config", type=Path, help="node config; without one every setting has its default")
    parser.add_argument("--version", action="version", version=f"netloom-proxy {__version__}")
    arguments = parser.parse_args()
    try:
        if os.geteuid() != 0:
            raise Unsupported("running the proxy", needs="root (uid 0)", found=f"uid {os.geteuid()}")
        uvloop.run(_main(arguments.config))
    except ConfigError as error:
        sys.stderr.write(f"netloom-proxy: the configuration cannot be used:\n{error}\n")
        sys.exit(EXIT_CONFIG)
    except NetloomError as error:
        sys.stderr.write(f"netloom-proxy: {error}\n")
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
