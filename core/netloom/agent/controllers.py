"""Controllers: named loops that go on whatever happens, and say how they fare.

One of the two places where every exception is caught: a loop that failed is logged, counted, shown by
``netctl status``, and tried again after a growing pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

FIRST_PAUSE_S = 0.2
LAST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerState:
    """How one loop fares."""

    name: str
    runs: int = 0
    failures: int = 0
    failing: bool = False
    last_error: str = ""
    last_success_at: float | None = None
    """Seconds since the epoch."""


class Controllers:
    """The agent's background tasks."""

    def __init__(self) -> None:
        self._states: dict[str, ControllerState] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._log = structlog.get_logger()

    def states(self) -> tuple[ControllerState, ...]:
        """All of them, by name."""
        return tuple(self._states[name] for name in sorted(self._states))

    def every(self, name: str, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` now and then every ``interval_s`` seconds."""

        async def loop() -> None:
            while True:
                await self._attempt(name, work)
                await asyncio.sleep(interval_s if not self._states[name].failing else self._pause_s(name))

        self._spawn(name, loop())

    def forever(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work``, which should not return, and start it again when it does."""

        async def loop() -> None:
            while True:
                await self._attempt(name, work)
                await asyncio.sleep(self._pause_s(name))

        self._spawn(name, loop())

    def succeeded(self, name: str) -> None:
        """A long-running loop tells that it works."""
        state = self._states[name]
        if state.failing:
            self._log.info("controller.recovered", controller=name)
        self._states[name] = replace(state, runs=state.runs + 1, failing=False, last_success_at=time.time())

    async def stop(self) -> None:
        """Cancel every loop and wait until all have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def _spawn(self, name: str, loop: Awaitable[None]) -> None:
        self._states[name] = ControllerState(name=name)

        async def run() -> None:
            await loop

        self._tasks.append(asyncio.create_task(run(), name=name))

    async def _attempt(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a supervised boundary
            self._log.warning("controller.failed", controller=name, error=str(error) or repr(error))
            self._log.debug("controller.traceback", controller=name, exc_info=True)
            state = self._states[name]
            self._states[name] = replace(
                state,
                runs=state.runs + 1,
                failures=state.failures + 1,
                failing=True,
                last_error=str(error) or repr(error),
            )
        else:
            self.succeeded(name)

    def _pause_s(self, name: str) -> float:
        failures = min(self._states[name].failures, 10) if self._states[name].failing else 0
        return min(FIRST_PAUSE_S * 2.0**failures, LAST_PAUSE_S)
