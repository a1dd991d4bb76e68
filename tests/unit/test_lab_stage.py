"""How the demo marks what matters in a command's output."""

from __future__ import annotations

import click
import pytest

from netloom.lab.stage import marked


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), "ttl=63 time"),
        (("63",), "ttl=[63] time"),
        (("ttl=63", "63"), "[ttl=63] time"),
        (("time", "ttl"), "[ttl]=63 [time]"),
        (("nothing",), "ttl=63 time"),
    ],
)
def test_every_match_is_marked_once(patterns: tuple[str, ...], expected: str) -> None:
    """Wherever patterns overlap, the first one counts; the text itself stays as it is."""
    text = marked("ttl=63 time", patterns)
    assert click.unstyle(text) == "ttl=63 time"
    assert text.replace("\x1b[33m", "[").replace("\x1b[0m", "]") == expected
