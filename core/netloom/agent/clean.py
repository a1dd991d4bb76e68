"""Taking Netloom off a node: everything its agent made in the kernel and on disk, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from netloom.agent.generation import generations_in, remove_generation
from netloom.agent.node_maps import agents_pins
from netloom.config.settings import Settings
from netloom.edge.host import clean_host
from netloom.edge.lock import node_lock
from netloom.edge.netlink import Netlink
from netloom.model.errors import KernelError


def clean_node(settings: Settings, plugins: Iterable[str]) -> tuple[str, ...]:
    """Remove devices with the workloads' interfaces, routes, filters, firewall tables, pins and state; says what.

    ``plugins``: names of those whose maps go too. The cluster store and the cache stay: they belong to all nodes. So
    do pins that others put into the node's directory. Raises Conflict while an agent runs.
    """
    name, paths = settings.node.name, settings.paths
    with node_lock(paths.run_dir / name, name), Netlink(name) as netlink:
        removed = (*clean_host(netlink), *_unpin(paths.bpf_dir / name, plugins), *_remove(paths.state_dir / name))
    shutil.rmtree(paths.run_dir / name, ignore_errors=True)
    return removed


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
