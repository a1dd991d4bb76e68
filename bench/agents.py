"""What an agent costs: time until it is ready, memory, and whether an attachment costs more on a fuller node."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from statistics import median

from bench.attach import call, ours, pods
from bench.nodes import node

STARTS = 5
FULL = 250
"""Endpoints of a full node."""
WINDOW = 20
"""Attachments whose median is compared: the first so many, and the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Medians of several starts, and one node filled."""

    cold_s: float
    """Until ready, with every program to compile."""
    warm_s: float
    resident_bytes: tuple[tuple[int, int], ...]
    """Number of endpoints, and the agent's memory with them."""
    first_ns: float
    """Median of the first attachments."""
    last_ns: float
    """Median of the last ones of a full node."""

    @property
    def bytes_per_endpoint(self) -> float:
        """Between the least and the most endpoints measured."""
        (few, least), *_, (many, most) = self.resident_bytes
        return (most - least) / (many - few)


def measure(driver: Path, mark: str, say: Callable[[str], None], full: int = FULL) -> Cost:
    """Starts agents on a node of its own, then fills the node."""
    with ExitStack() as stack:
        home = stack.enter_context(node(mark))
        cold, warm = [], []
        for number in range(STARTS):
            say(f"starting, {number + 1} of {STARTS}")
            rmtree(home.cache, ignore_errors=True)
            cold.append(home.start())
            home.stop()
            warm.append(home.start())
            home.stop()
        prefix = stack.enter_context(pods(mark, full))
        candidate = stack.enter_context(ours(home))
        call(driver, candidate, "ADD", prefix, range(1))
        call(driver, candidate, "DEL", prefix, range(1))
        resident = [(0, home.resident_bytes)]
        took: list[int] = []
        for start, end in ((0, min(100, full // 2)), (min(100, full // 2), full)):
            say(f"filling a node, to {end} endpoints")
            took += call(driver, candidate, "ADD", prefix, range(start, end))
            resident.append((end, home.resident_bytes))
        call(driver, candidate, "DEL", prefix, range(full))
    return Cost(
        cold_s=median(cold),
        warm_s=median(warm),
        resident_bytes=tuple(resident),
        first_ns=median(took[:WINDOW]),
        last_ns=median(took[-WINDOW:]),
    )
