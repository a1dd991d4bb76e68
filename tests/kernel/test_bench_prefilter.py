"""The benchmark of the prefilter has every frame dropped by whoever should, in every way."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest
from bench import prefilter
from bench.prefilter import WAYS, Refused

from support.objects import objects_dir

pytestmark = pytest.mark.kernel

FEW = (
    Refused(name="1 range", count=1, bits=24),
    Refused(name="ranges", count=300, bits=24),
    Refused(name="addresses", count=300, bits=32),
)


def test_every_set_is_dropped_in_every_way(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measurement itself fails for a frame that was not counted; all namespaces are gone afterwards."""
    monkeypatch.setattr(prefilter, "SETS", FEW)
    mark = f"benchdrop{os.getpid()}"
    samples = list(prefilter.run(objects_dir(tmp_path_factory), mark, 1, 1000, lambda _: None))
    assert {(sample.refused, sample.way) for sample in samples} == set(product([each.name for each in FEW], WAYS))
    assert all(sample.drops_per_second > 0 for sample in samples)
    assert not [path for path in Path("/run/netns").iterdir() if path.name.startswith(mark)]
