"""What fuzzing begins with holds: the harnesses work, and everything that they have found stays repaired."""

from __future__ import annotations

import pytest
from tools.fuzz.__main__ import NAMES

from support.fuzzing import HARNESSES
from support.fuzzing_seeds import SEEDS, WORDS


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in HARNESSES for seed in SEEDS[name]], ids=repr)
def test_seeds_hold(name: str, seed: bytes) -> None:
    HARNESSES[name](seed)


def test_every_harness_is_run_and_has_words() -> None:
    assert set(NAMES) == set(HARNESSES) == set(SEEDS) == set(WORDS)
