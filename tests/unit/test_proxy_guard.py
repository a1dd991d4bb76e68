"""A parser's CPU is bounded, and nothing else is interrupted."""

from __future__ import annotations

import re
import time

import pytest

from netloom.proxy.guard import Guard, Overrun


def burn(seconds: float) -> None:
    """CPU of this process."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_an_event_that_takes_too_long_is_interrupted() -> None:
    guard = Guard(0.1)
    with guard.watching(), pytest.raises(Overrun):
        guard.event, guard.busy = 1, True
        burn(5)
    assert guard.overran


def test_a_regular_expression_that_explodes_is_interrupted() -> None:
    """It holds the interpreter's lock, and looks for signals only."""
    guard = Guard(0.1)
    with guard.watching(), pytest.raises(Overrun):
        guard.event, guard.busy = 1, True
        re.match("(a+)+b", "a" * 40)


def test_many_short_events_are_not() -> None:
    guard = Guard(0.1)
    with guard.watching():
        for _ in range(40):
            guard.event += 1
            guard.busy = True
            burn(0.01)
            guard.busy = False


def test_what_is_no_event_is_not() -> None:
    guard = Guard(0.1)
    with guard.watching():
        burn(0.4)


def test_an_exception_handler_does_not_hide_it() -> None:
    guard = Guard(0.1)
    with guard.watching():
        guard.event, guard.busy = 1, True
        with pytest.raises(Overrun):
            try:
                burn(5)
            except Exception:  # noqa: BLE001, S110 - what a careless parser does
                pass
    assert guard.overran
