"""Processes that outlive the agent: found again by their control sockets, watched by a pidfd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

MAX_LOG_BYTES: Final = 4 << 20
SUFFIX: Final = ".sock"


def spawn(argv: Sequence[str], log_file: Path) -> int:
    """Start a program in a session of its own; its pid. What it says is appended to the file. Raises OSError."""
    with log_file.open("ab") as log:
        if log.tell() > MAX_LOG_BYTES:
            log.truncate(0)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            *((os.POSIX_SPAWN_DUP2, log.fileno(), fd) for fd in (1, 2)),
        ]
        return os.posix_spawnp(argv[0], list(argv), os.environ, file_actions=actions, setsid=True)


def socket_of(directory: Path, pid: int) -> Path:
    """Where the proxy of that number is talked to."""
    return directory / f"{pid}{SUFFIX}"


def found(directory: Path) -> Iterator[int]:
    """Numbers that sockets in the directory are named by; whether anybody is there is another question."""
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        if path.stem.isdigit():
            yield int(path.stem)


async def ended(pid: int) -> None:
    """Return as soon as the process has ended, whoever started it."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
        _reap(pid)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # an earlier agent's is no child of ours
        os.waitpid(pid, os.WNOHANG)


def end_all(directory: Path) -> tuple[str, ...]:
    """End every proxy that answers by a socket of the directory; says which. A number alone proves nothing."""
    ended = []
    for named in found(directory):
        with socket.socket(socket.AF_UNIX) as asking, contextlib.suppress(OSError):
            asking.connect(os.fspath(socket_of(directory, named)))
            credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            pid = int(struct.unpack("3i", credentials)[0])
            end(pid)
            ended.append(f"proxy {pid}")
    return tuple(ended)


def end(pid: int) -> None:
    """Have it end, with all its connections."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
