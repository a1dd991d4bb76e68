"""Undo: steps to take back, newest first, unless everything went well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

from netloom.model.errors import NetloomError


class Undo:
    """Async context manager; on an exception every recorded step is taken back, whatever fails on the way."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        self._log = structlog.get_logger()

    def add(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        """Record how to take back what was just done."""
        self._steps.append((name, step))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        while self._steps:
            name, step = self._steps.pop()
            try:
                await step()
            except NetloomError as failure:
                self._log.error("undo.failed", step=name, error=str(failure))
