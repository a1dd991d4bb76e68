"""Has one proxy at work, and sees that one is.

It takes over what an earlier agent started, starts it again when it ends, and replaces what is another program or has
other settings. A proxy's end is never the agent's: redirected ports are closed meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from netloom.agent.proxy import process
from netloom.agent.proxy.life import Life
from netloom.agent.proxy.report import Totals, summary
from netloom.model.l7 import L7Table
from netloom.model.l7_messages import Access, Tables

FIRST_PAUSE_S: Final = 0.2
LAST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""Who lived so long is started again without a long pause."""
GREETING_S: Final = 10.0
"""Until one that is taken over must have said who it is."""
APPLY_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which proxy is to run."""

    argv: Sequence[str]
    directory: Path
    """Of control sockets and the log."""
    fingerprint: str
    """As :func:`netloom.plugins.spoken.fingerprint` gives it."""
    drain_timeout_s: float


class ProxySupervisor:
    """The node's proxy, as the rest of the agent knows it."""

    def __init__(self, wanted: Wanted, heard: Callable[[Access], None]) -> None:
        """``heard`` is called with each record of the access log, in the agent's loop."""
        self._wanted = wanted
        self._heard = heard
        self._tables: dict[int, L7Table] = {}
        # Beyond those of an earlier agent, so that a proxy's answer to it is none to us.
        self._revision = time.time_ns() // 1_000_000
        self._lives: dict[int, Life] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._started = False
        self._totals = Totals()
        self._restarts = 0
        self._trouble = ""
        self._serving: Life | None = None
        """The one that takes new connections, or is about to."""
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Take over what runs; without any, one is started with the first tables.

        Call it when all tables were told: whatever is taken over forgets the others.
        """
        self._wanted.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for pid in process.found(self._wanted.directory):
            self._watch(pid)
        for life in tuple(self._lives.values()):
            await self._greet(life)
        self._started = True
        if self._tables or self._lives:
            self._begin()

    def _begin(self) -> None:
        """See from now on that one runs."""
        if self._started and self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="proxy")

    async def stop(self, *, leave_running: bool = True) -> None:
        """Look after it no longer; it goes on by the last tables, unless it is to end."""
        tasks = [task for task in (self._keeping, *self._tasks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not leave_running:
            for life in self._lives.values():
                process.end(life.pid)
                await process.ended(life.pid)

    def tell(self, change: Mapping[int, L7Table | None]) -> None:
        """Have requests judged by other tables, by subject; None: it has none any more. The first starts a proxy.

        A proxy that cannot be told at the moment gets all of them before its first connection.
        """
        changed = tuple(table for subject, table in change.items() if table and self._tables.get(subject) != table)
        gone = tuple(sorted(subject for subject, table in change.items() if table is None and subject in self._tables))
        self._tables |= {table.subject: table for table in changed}
        for subject in gone:
            del self._tables[subject]
        if changed or gone:
            self._revision += 1
            for life in self._lives.values():
                life.tell(Tables(revision=self._revision, tables=changed, gone=gone))
        if self._tables:
            self._begin()

    async def at_work(self) -> bool:
        """Wait until requests are judged by all that was told; False: no proxy is at work that could say so."""
        return await self._is_at(self._revision)

    def summary(self) -> dict[str, Any]:
        """For ``netctl status`` and metrics."""
        return summary(
            self._serving,
            self._lives.values(),
            self._totals,
            restarts=self._restarts,
            trouble=self._trouble,
            off=self._keeping is None,
        )

    async def _is_at(self, revision: int) -> bool:
        """Every proxy that lives has them, those included that drain: their connections are judged too."""
        lives = [life for life in self._lives.values() if life.hello is not None]
        try:
            async with asyncio.timeout(APPLY_S):
                done = [await life.until(lambda life=life: life.is_at(revision)) for life in lives]  # type: ignore[misc]
        except TimeoutError:
            self._log.error("proxy.slow", revision=revision, seconds=APPLY_S)
            return False
        return any(done)

    # --- keeping one alive ---------------------------------------------------------------------------

    async def _keep(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            current = self._serving = self._fitting() or self._spawn()
            if current is not None:
                await self._serve_by(current)
                self._serving = None
                self._restarts += 1
                self._log.error("proxy.ended", pid=current.pid)
                self._trouble = "it ended, and is started again; redirected ports are closed meanwhile"
            failures = 0 if time.monotonic() - began > STEADY_S else failures + 1
            await asyncio.sleep(min(FIRST_PAUSE_S * 2.0**failures, LAST_PAUSE_S))

    async def _serve_by(self, current: Life) -> None:
        """Until it ends; the others drain as soon as it has taken their place."""
        revision = self._revision
        if not await current.until(lambda: current.is_at(revision)):
            return
        self._trouble = ""
        self._log.info("proxy.at_work", pid=current.pid)
        for life in self._lives.values():
            if life is not current:
                life.drain(self._wanted.drain_timeout_s)
        await current.until(lambda: False)

    def _fitting(self) -> Life | None:
        """One that is what is wanted, and does not drain."""
        for life in self._lives.values():
            is_draining = life.counters is not None and life.counters.draining
            if life.hello and life.hello.fingerprint == self._wanted.fingerprint and not is_draining:
                return life
        return None

    def _spawn(self) -> Life | None:
        try:
            pid = process.spawn(self._wanted.argv, self._wanted.directory / "proxy.log")
        except OSError as error:
            self._trouble = f"{self._wanted.argv[0]} cannot be started: {error}"
            self._log.error("proxy.not_started", error=str(error))
            return None
        self._log.info("proxy.spawned", pid=pid)
        return self._watch(pid)

    def _watch(self, pid: int) -> Life:
        life = Life(pid, self._wanted.directory, whole=self._whole, heard=self._heard)
        self._lives[pid] = life
        self._tasks[pid] = asyncio.create_task(self._live(life), name=f"proxy {pid}")
        return life

    async def _live(self, life: Life) -> None:
        await life.run()
        if life.counters is not None:
            self._totals.add(life.counters)
        del self._lives[life.pid], self._tasks[life.pid]

    async def _greet(self, life: Life) -> None:
        """Hear who it is. Who has the number of one that ended, and says nothing, is nobody of ours."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GREETING_S):
                await life.until(lambda: life.hello is not None)
        if life.hello is None and (task := self._tasks.pop(life.pid, None)):
            task.cancel()
            self._lives.pop(life.pid, None)
            process.socket_of(self._wanted.directory, life.pid).unlink(missing_ok=True)

    def _whole(self) -> Tables:
        return Tables(revision=self._revision, whole=True, tables=tuple(self._tables.values()))
