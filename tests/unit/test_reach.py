"""Who should reach whom, written and drawn."""

from __future__ import annotations

import pytest

from support.reach import Reach

EVERYBODY = Reach.everybody(("x/a", "x/b", "y/a"))


def test_a_pod_a_namespace_or_everybody_is_meant() -> None:
    assert EVERYBODY.cut("*", "x").pairs == {("x/a", "y/a"), ("x/b", "y/a")}
    assert EVERYBODY.cut("x", "y/a").pairs == EVERYBODY.pairs - {("x/a", "y/a"), ("x/b", "y/a")}
    assert EVERYBODY.cut("*", "*").join("y", "x/b").pairs == {("y/a", "x/b")}


def test_nobody_is_never_meant() -> None:
    """A misspelt name would make a test that tests nothing."""
    with pytest.raises(AssertionError, match="nobody is meant by z to x"):
        EVERYBODY.cut("z", "x")


def test_a_picture_marks_what_is_not_as_expected() -> None:
    expected = EVERYBODY.cut("y", "x/a")
    found = EVERYBODY.pairs - {("x/a", "x/b")}
    assert [line.split() for line in expected.picture(found).splitlines()] == [
        ["x/a", "x/b", "y/a"],
        ["x/a", "-", "!no", "yes"],
        ["x/b", "yes", "-", "yes"],
        ["y/a", "!yes", "yes", "-"],
    ]
