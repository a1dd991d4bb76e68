"""Running netctl in the test's own process, through the function its executable calls."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from netloom.cli.main import main


class Ended(NamedTuple):
    """How a run ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Netctl:
    """``netctl("status", "-o", "json")``."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ended:
        """Run to the end."""
        self.monkeypatch.setattr("sys.argv", ["netctl", *arguments])
        self.capsys.readouterr()
        status = main()
        out, err = self.capsys.readouterr()
        return Ended(status, out, err)


def text(block: str) -> str:
    """A block of text as it stands in a test, without its indentation and first newline."""
    return textwrap.dedent(block).removeprefix("\n")
