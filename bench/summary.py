"""From samples to what can be said: medians, and ratios formed within a round. Pure.

Two networks measured a second apart meet the same machine; two rounds may not. So the ratio of two networks is formed
in each round, and its median taken, rather than the ratio of two medians.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles

from bench.measure import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is measured, and how it is written."""

    name: str
    title: str
    unit: str
    scale: float
    """A measured value times this is in ``unit``."""
    digits: int
    less_is_better: bool


METRICS = (
    Metric(name="rr_p50_ns", title="round trip, median", unit="µs", scale=1e-3, digits=1, less_is_better=True),
    Metric(name="rr_p99_ns", title="round trip, 99th percentile", unit="µs", scale=1e-3, digits=1, less_is_better=True),
    Metric(name="stream_bits_per_second", title="stream", unit="Gbit/s", scale=1e-9, digits=1, less_is_better=False),
    Metric(name="connect_per_second", title="connections", unit="1/s", scale=1, digits=0, less_is_better=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One network in one metric."""

    value: float
    """Median of all rounds, as measured."""
    ratio: float
    """To the base, median of the rounds."""
    low: float
    """First quartile of the rounds' ratios: half of the rounds lie between it and ``high``."""
    high: float


Key = tuple[str, int, str]
"""Network, server CPU, metric."""


def summarise(samples: Iterable[Sample], bases: dict[str, str]) -> dict[Key, Figure]:
    """Figures by key; ``bases`` names the network each network is compared with (itself, for a base)."""
    rounds: dict[Key, dict[int, float]] = {}
    for sample in samples:
        rounds.setdefault((sample.network, sample.server_cpu, sample.metric), {})[sample.round] = sample.value
    figures = {}
    for (network, cpu, metric), values in rounds.items():
        base = rounds[bases[network], cpu, metric]
        ratios = [value / base[number] for number, value in values.items()]
        low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        figures[network, cpu, metric] = Figure(value=median(values.values()), ratio=middle, low=low, high=high)
    return figures
