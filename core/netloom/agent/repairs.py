"""Repairs: what was not as it should be and was put right, told in the log, counted, and kept for ``netctl status``."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

KEPT = 10
"""Repairs that ``netctl status`` can still show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One thing put right."""

    kind: str
    """``device``, ``setting``, ``filter``, ``queue``, ``route``, ``map entry``, ``pin`` or ``firewall``: few, for
    metrics."""
    name: str
    action: str
    """What was done about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedRepair:
    """A repair and when it was made."""

    repair: Repair
    at: float
    """Seconds since the epoch."""


class RepairJournal:
    """All repairs of this run of the agent."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._last: deque[NotedRepair] = deque(maxlen=KEPT)
        self._log = structlog.get_logger()

    def note(self, repairs: Iterable[Repair]) -> None:
        """Tell of each."""
        for repair in repairs:
            self._log.warning("node.repaired", kind=repair.kind, name=repair.name, action=repair.action)
            self._counts[repair.kind] += 1
            self._last.append(NotedRepair(repair=repair, at=time.time()))

    def counts(self) -> Mapping[str, int]:
        """So far, by kind."""
        return dict(self._counts)

    def last(self) -> tuple[NotedRepair, ...]:
        """The newest, oldest first."""
        return tuple(self._last)
