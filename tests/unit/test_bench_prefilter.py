"""The benchmark of the prefilter: what it measures is spread, summed up within rounds, and written."""

from __future__ import annotations

from math import gcd

import pytest
from bench.prefilter import GENERIC, NATIVE, NFTABLES, SETS, WAYS, Refused, Sample, summarise
from bench.prefilter_report import section


@pytest.mark.parametrize("refused", SETS, ids=lambda refused: refused.name)
def test_frames_come_from_every_prefix_before_one_comes_again(refused: Refused) -> None:
    """And within each prefix."""
    plan = refused.plan
    assert (plan.count, plan.step) == (len(set(refused.cidrs)), 1 << 32 - refused.bits)
    assert plan.count == 1 or gcd(plan.stride, plan.count) == 1
    assert refused.cidrs[0] == f"100.0.0.0/{refused.bits}"


def samples(rates: dict[str, tuple[float, ...]]) -> list[Sample]:
    return [
        Sample(refused=refused.name, way=way, round=number, drops_per_second=rate)
        for refused in SETS
        for way, found in rates.items()
        for number, rate in enumerate(found)
    ]


def test_ratios_are_formed_within_a_round() -> None:
    """A slow round is slow for all."""
    figures = summarise(samples({NFTABLES: (1e6, 2e6, 4e6), GENERIC: (1e6, 2e6, 4e6), NATIVE: (3e6, 6e6, 20e6)}))
    found = figures[SETS[0].name, NATIVE]
    assert (found.drops_per_second, found.ratio, found.low, found.high) == (6e6, 3.0, 3.0, 4.0)


def test_one_round_is_its_own_quartiles() -> None:
    figures = summarise(samples({NFTABLES: (1e6,), GENERIC: (2e6,), NATIVE: (3e6,)}))
    assert (figures[SETS[0].name, NATIVE].low, figures[SETS[0].name, NATIVE].high) == (3.0, 3.0)


def test_the_section_has_a_line_for_each_set_and_a_column_for_each_way() -> None:
    figures = summarise(samples({NFTABLES: (2e6,), GENERIC: (3e6,), NATIVE: (8e6,)}))
    lines = section(figures, rounds=1, count=1000)
    assert f"| refused | {' | '.join(WAYS)} |" in lines
    row = "| 1 range | 2.00 M/s | 3.00 M/s, **1.5** (1.5 to 1.5) | 8.00 M/s, **4.0** (4.0 to 4.0) |"
    assert row in lines
    assert len([line for line in lines if line.startswith("| 1")]) == len(SETS)
