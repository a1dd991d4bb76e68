"""Taking Netloom off a node: everything its agent made in the kernel and on disk, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from netloom.agent.generation import generations_in, remove_generation
from netloom.agent.node_maps import agents_pins
from netloom.agent.proxy.process import end_all
from netloom.agent.proxy.wanted import DIRECTORY
from netloom.config.settings import Settings
from netloom.edge.host import clean_host
from netloom.edge.lock import node_lock
from netloom.edge.netlink import Netlink
from netloom.model.errors import KernelError
from netloom.plugins.cleaning import Cleaned
from netloom.plugins.manager import PluginManager


def clean_node(settings: Settings, plugins: PluginManager, sections: Mapping[str, Any]) -> Cleaned:
    """Remove devices with workloads' interfaces, routes, filters, firewall tables, pins, state, what plugins left.

    The cluster store and the cache stay: they belong to all nodes. So do pins that others put into the node's
    directory. Raises Conflict while an agent runs.
    """
    name, paths = settings.node.name, settings.paths
    owners = [record.name for record in plugins.records()]
    with node_lock(paths.run_dir / name, name), Netlink(name) as netlink:
        left = plugins.clean(settings, sections)
        removed = (
            *end_all(paths.run_dir / name / DIRECTORY),
            *left.removed,
            *clean_host(netlink),
            *_unpin(paths.bpf_dir / name, owners),
            *_remove(paths.state_dir / name),
        )
    if not left.problems:
        shutil.rmtree(paths.run_dir / name, ignore_errors=True)
    return Cleaned(removed, left.problems)


def _unpin(directory: Path, plugins: Iterable[str]) -> Iterator[str]:
    """Generations of programs and maps; directories as far as nothing is left in them."""
    for generation in generations_in(directory / "generations"):
        remove_generation(generation)
        yield f"programs in {generation}"
    for pin in agents_pins(directory / "maps", plugins):
        pin.unlink(missing_ok=True)
        yield f"pin {pin}"
    for path in (directory / "generations", directory / "maps", directory):
        with suppress(OSError):
            path.rmdir()


def _remove(directory: Path) -> Iterator[str]:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelError("remove", f"directory {directory}", error.errno or 0) from error
    yield f"directory {directory}"
