"""One agent for each node: the kernel holds the lock, and lets go of it when the agent ends in whatever way."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netloom.edge.files import FileError
from netloom.model.errors import Conflict

LOCK_FILE = "lock"


@contextmanager
def node_lock(directory: Path, node: str) -> Iterator[None]:
    """Hold the node's lock during the block; makes the directory.

    The file holds our process id and stays afterwards: removing it would let two agents lock two files of one name.
    Raises Conflict naming the process that has the lock, FileError when the file cannot be used.
    """
    path = directory / LOCK_FILE
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise FileError(f'lock file "{path}" cannot be opened: {error.strerror}') from error
    try:
        _lock(fd, path, node)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, path: Path, node: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        raise Conflict(
            f'node "{node}" has an agent already, process {holder} (lock "{path}"); '
            "stop that one, or give this node another name"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
