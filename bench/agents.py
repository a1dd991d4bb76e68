"""What an agent costs: time until it is ready, memory, and whether an attachment costs more on a fuller node.

One filling of a node takes two seconds, in which a machine may become faster or slower than all that is measured. So
the node is filled several times, and the ratio of its last attachments to its first is formed within each filling.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from statistics import median

from bench.attach import Candidate, call, ours, pods
from bench.nodes import Node, node

STARTS = 5
FILLINGS = 7
FULL = 250
"""Endpoints of a full node."""
WINDOW = 20
"""Attachments whose median is compared: the first so many, and the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Medians of several starts, and of a node filled several times."""

    cold_s: float
    """Until ready, with every program to compile."""
    warm_s: float
    resident_bytes: tuple[tuple[int, int], ...]
    """Number of endpoints, and the agent's memory with them."""
    first_ns: float
    """Median of the first attachments."""
    last_ns: float
    """Median of the last ones of a full node."""
    full_ratio: float
    """Of the last to the first."""

    @property
    def bytes_per_endpoint(self) -> float:
        """Between the least and the most endpoints measured."""
        (few, least), *_, (many, most) = self.resident_bytes
        return (most - least) / (many - few)


def measure(driver: Path, mark: str, say: Callable[[str], None], full: int = FULL, fillings: int = FILLINGS) -> Cost:
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
        filled = []
        for number in range(fillings):
            say(f"filling a node with {full} endpoints, {number + 1} of {fillings}")
            took, sizes = _fill(driver, candidate, prefix, home, full)
            filled.append((median(took[:WINDOW]), median(took[-WINDOW:])))
            resident += [] if number else sizes
            call(driver, candidate, "DEL", prefix, range(full))
    return Cost(
        cold_s=median(cold),
        warm_s=median(warm),
        resident_bytes=tuple(resident),
        first_ns=median(first for first, _ in filled),
        last_ns=median(last for _, last in filled),
        full_ratio=median(last / first for first, last in filled),
    )


def _fill(
    driver: Path, candidate: Candidate, prefix: str, home: Node, full: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """Nanoseconds of each attachment, and the agent's memory with some of the endpoints and with all."""
    took: list[int] = []
    sizes = []
    for start, end in ((0, min(100, full // 2)), (min(100, full // 2), full)):
        took += call(driver, candidate, "ADD", prefix, range(start, end))
        sizes.append((end, home.resident_bytes))
    return took, sizes
