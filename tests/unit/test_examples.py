"""Node configs among the examples: each is one that an agent takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.netctl import Netctl

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["native.yaml", "hybrid.yaml"])
def test_an_example_passes_the_check(netctl: Netctl, name: str) -> None:
    assert netctl("config", "check", str(EXAMPLES / name)).status == 0
