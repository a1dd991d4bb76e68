"""Taking Netloom off a node: everything its agent made in the kernel and on disk, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from netloom.config.settings import Settings
from netloom.edge.host import clean_host
from netloom.edge.lock import node_lock
from netloom.edge.netlink import Netlink
from netloom.model.errors import KernelError


def clean_node(settings: Settings) -> tuple[str, ...]:
    """Remove devices with the workloads' interfaces, routes, filters, firewall table, pins and state; says what.

    The cluster store and the cache stay: they belong to all nodes. Raises Conflict while an agent runs.
    """
    name, paths = settings.node.name, settings.paths
    with node_lock(paths.run_dir / name, name), Netlink(name) as netlink:
        removed = (*clean_host(netlink), *_remove(paths.bpf_dir / name, paths.state_dir / name))
    shutil.rmtree(paths.run_dir / name, ignore_errors=True)
    return removed


def _remove(*directories: Path) -> Iterator[str]:
    for directory in directories:
        try:
            shutil.rmtree(directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise KernelError("remove", f"directory {directory}", error.errno or 0) from error
        yield f"directory {directory}"
