"""A daemon that outlives the agent: its own session, found again by its pid file, watched by a pidfd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MAX_LOG_BYTES: Final = 4 << 20
STOP_S: Final = 3.0
"""Seconds a daemon is given to end before it is killed."""
_CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Daemon:
    """One process. Its pid file says pid and start time, so that a number given again names nobody else."""

    def __init__(self, argv: Sequence[str], pid_file: Path, log_file: Path) -> None:
        self._argv = tuple(argv)
        self._pid_file = pid_file
        self._log_file = log_file
        self.pid: int | None = None
        """None while none runs that is known."""

    def adopt(self) -> bool:
        """Whether the one that an earlier agent started runs still; it is ours from now on."""
        try:
            number, _, started = self._pid_file.read_text(encoding="ascii").strip().partition(" ")
            pid = int(number)
        except (OSError, ValueError):
            return False
        if _started_ticks(pid) != started:
            return False
        self.pid = pid
        return True

    def spawn(self) -> None:
        """Start it. Raises FileNotFoundError when it is not installed, OSError."""
        with self._log_file.open("ab") as log:
            if log.tell() > MAX_LOG_BYTES:
                log.truncate(0)
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                *((os.POSIX_SPAWN_DUP2, log.fileno(), fd) for fd in (1, 2)),
            ]
            self.pid = os.posix_spawnp(self._argv[0], self._argv, os.environ, file_actions=actions, setsid=True)
        temporary = self._pid_file.with_suffix(".new")
        temporary.write_text(f"{self.pid} {_started_ticks(self.pid)}\n", encoding="ascii")
        temporary.replace(self._pid_file)

    @property
    def age_s(self) -> float:
        """Seconds since it was started; 0 when it does not run."""
        started = _started_ticks(self.pid) if self.pid is not None else ""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / _CLOCK_TICKS if started else 0.0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.pid is not None and bool(_started_ticks(self.pid))

    async def ended(self) -> None:
        """Return as soon as it has ended."""
        if self.pid is None:
            return
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)
            self._reap()

    async def stop(self) -> None:
        """End it: asked first, killed when it does not listen."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive or self.pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self.ended()
        self._reap()
        self.pid = None
        self._pid_file.unlink(missing_ok=True)

    def trim_log(self) -> None:
        """Empty a log that has grown; the daemon appends, so it goes on at the beginning."""
        with contextlib.suppress(OSError):
            if self._log_file.stat().st_size > MAX_LOG_BYTES:
                os.truncate(self._log_file, 0)

    def _reap(self) -> None:
        """One that this agent started is its child; of an earlier agent's, somebody else takes care."""
        if self.pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)


def _started_ticks(pid: int) -> str:
    """When the process was started, in the kernel's ticks since boot; "" when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
