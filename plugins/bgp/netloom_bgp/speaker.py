"""The gobgpd that speaks for this node: one that somebody runs, or our own, which outlives the agent."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from netloom.model.errors import Unsupported
from netloom_bgp.client import Gobgp, SpeakerGone
from netloom_bgp.supervise import Daemon
from netloom_bgp.words import Said, said

NAME: Final = "gobgpd"
START_S: Final = 10.0
"""Seconds a new gobgpd is given to answer; usually it takes 50 ms."""
_POLL_S: Final = 0.05


class Speaker:
    """Makes sure that a gobgpd answers. ``directory`` holds our own one's socket, pid file and log."""

    def __init__(self, directory: Path, external: Path | None) -> None:
        self.own = external is None
        self.socket = external or directory / f"{NAME}.sock"
        self._log_file = directory / f"{NAME}.log"
        argv = (NAME, "--api-hosts", f"unix://{self.socket}", "--pprof-disable", "--log-level", "info")
        self._daemon = Daemon(argv, directory / f"{NAME}.pid", self._log_file)
        self._read = 0
        self._version = ""

    @property
    def pid(self) -> int | None:
        """Of our own."""
        return self._daemon.pid

    @property
    def age_s(self) -> float:
        """Seconds for which our own one has run; somebody else's does not say, and may have been started just now."""
        return self._daemon.age_s if self.own else 0.0

    def running(self) -> bool:
        """Whether our own one runs, started by this agent or by an earlier one."""
        return self._daemon.alive or self._daemon.adopt()

    async def ensure(self) -> Gobgp:
        """A connection to a gobgpd that answers. Raises SpeakerGone; Unsupported: none is installed, or too new."""
        if self.own and not self.running():
            self._start()
        connection = Gobgp(self.socket)
        try:
            await self._answering(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def ended(self) -> None:
        """Return when our own one has ended; never for somebody else's, whose end the connection shows."""
        if self.own:
            await self._daemon.ended()
        else:
            await asyncio.Event().wait()

    async def stop(self) -> None:
        """End our own one."""
        if self.own and self.running():
            await self._daemon.stop()
            self.socket.unlink(missing_ok=True)

    async def version(self) -> str:
        """Of the program; for somebody else's only what its API shows."""
        if not self.own:
            return "3"
        if not self._version:
            # One that runs may have been uninstalled.
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                done = await asyncio.to_thread(
                    subprocess.run, [NAME, "--version"], capture_output=True, text=True, check=False, timeout=2
                )
                self._version = done.stdout.strip().rpartition(" ")[2]
        return self._version

    def said(self) -> list[Said]:
        """What our own one has written of peers since this was asked last, or since it was found."""
        if not self.own:
            return []
        try:
            size = self._log_file.stat().st_size
            if size < self._read:
                self._read = 0
            with self._log_file.open("rb") as log:
                log.seek(self._read)
                whole, _, _ = log.read().rpartition(b"\n")
        except OSError:
            return []
        self._read += len(whole) + 1 if whole else 0
        self._daemon.trim_log()
        return [found for line in whole.decode(errors="replace").splitlines() if (found := said(line)) is not None]

    def skip_said(self) -> None:
        """What stands in the log already was said to somebody else."""
        if self._log_file.exists():
            self._read = self._log_file.stat().st_size

    def _start(self) -> None:
        if shutil.which(NAME) is None:
            raise Unsupported(
                "the BGP speaker gobgpd",
                needs="Debian package gobgpd (apt install gobgpd), or plugins.bgp.speaker.socket of a running one",
                found=f"no program {NAME}",
            )
        # A socket that a dead one left behind would make it exit at once.
        self.socket.unlink(missing_ok=True)
        self._daemon.spawn()

    async def _answering(self, connection: Gobgp) -> None:
        deadline = time.monotonic() + (START_S if self.own else 0)
        while True:
            try:
                await connection.running()
            except SpeakerGone:
                if time.monotonic() > deadline or (self.own and not self._daemon.alive):
                    raise
                await asyncio.sleep(_POLL_S)
            else:
                return
