"""What a test may leave behind, and how to see that it did not.

Several test runs may share this machine, so namespaces, pins and processes count only when they carry this run's
mark. Links and firewall tables of our own namespace count in full: no test may touch it.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, fields
from pathlib import Path

from netloom.edge.netns import NAMED_DIR

MARK = f"loomtest{os.getpid()}"
"""Begins the name of every namespace of this run, and is part of the name of every pin directory."""
MARK_VARIABLE = "NETLOOM_TEST_RUN"
"""Environment variable that every process of this run inherits."""
SETTLE_S = 3.0
"""How long a leftover must last to be one."""
_BPFFS = Path("/sys/fs/bpf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Everything that could be left behind, at one moment."""

    namespaces: frozenset[str]
    links: frozenset[str]
    tables: frozenset[str]
    pins: frozenset[str]
    processes: frozenset[str]

    def since(self, earlier: Leftovers) -> dict[str, list[str]]:
        """What is there now and was not there earlier, by kind."""
        new = {field.name: sorted(getattr(self, field.name) - getattr(earlier, field.name)) for field in fields(self)}
        return {kind: names for kind, names in new.items() if names}


def look() -> Leftovers:
    """Everything that is there now."""
    return Leftovers(
        namespaces=frozenset(name for name in _names(NAMED_DIR) if MARK in name),
        links=frozenset(_names(Path("/sys/class/net"))),
        tables=_tables(),
        pins=frozenset(str(path) for path in _pins()),
        processes=frozenset(_processes()),
    )


def remains(earlier: Leftovers) -> dict[str, list[str]]:
    """What is there and stays there. A child that an agent of a shared lab runs for a moment is nothing left behind."""
    deadline = time.monotonic() + SETTLE_S
    while (found := look().since(earlier)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()] if directory.is_dir() else []


def _tables() -> frozenset[str]:
    if os.geteuid() != 0:
        return frozenset()
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    return frozenset(done.stdout.splitlines())


def _pins() -> list[Path]:
    """Not ``rglob``: another run may remove a directory while we look."""
    walk = ((Path(directory), [*below, *files]) for directory, below, files in os.walk(_BPFFS))
    return [path for directory, names in walk for name in names if MARK in str(path := directory / name)]


def _processes() -> list[str]:
    wanted = f"{MARK_VARIABLE}={MARK}".encode()
    found = []
    for pid in (int(name) for name in _names(Path("/proc")) if name.isdigit()):
        if pid == os.getpid():
            continue
        try:
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{pid} {command}")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found
