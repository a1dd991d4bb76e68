"""Pins: names of programs and maps on a bpf file system, which keep them when no process holds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from netloom.bpf import libbpf
from netloom.model.errors import KernelError

Kind = Literal["map", "program"]

SCRATCH_SUFFIX = "_new"
"""Of a name that will take another's place; bpf file systems allow no dot."""
_LINKS: dict[str, Kind] = {"anon_inode:bpf-map": "map", "anon_inode:bpf-prog": "program"}
"""What /proc calls a file descriptor of each kind."""


def pin(fd: int, path: Path, obj: str) -> None:
    """Keep the object at ``path``, in place of what was there. ``obj`` names it in errors. Raises KernelError."""
    beside = path.with_name(path.name + SCRATCH_SUFFIX)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        libbpf.check(libbpf.library().bpf_obj_pin(fd, os.fsencode(beside)), "pin", f"{obj} at {path}")
        beside.replace(path)
    except OSError as error:
        raise KernelError("pin", f"{obj} at {path}", error.errno or 0) from error


def pinned_id(path: Path, kind: Kind) -> int | None:
    """The kernel's number of the object at ``path``; None when there is none, or none of that kind."""
    fd: int = libbpf.library().bpf_obj_get(os.fsencode(path))
    if fd < 0:
        return None
    try:
        if _LINKS.get(str(Path(f"/proc/self/fd/{fd}").readlink())) != kind:
            return None
        return int((libbpf.map_info if kind == "map" else libbpf.prog_info)(fd, f"pin {path}").id)
    finally:
        os.close(fd)
