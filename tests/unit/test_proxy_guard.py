"""A parser's CPU is bounded, and nothing else is interrupted."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from netloom.proxy.guard import Guard, Overrun


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard(0.1)
    with made.watching():
        yield made


@pytest.fixture
def busy(guard: Guard) -> Guard:
    """With an event under way."""
    guard.event, guard.busy = 1, True
    return guard


def burn(seconds: float) -> None:
    """CPU of this process."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def careless() -> None:
    """As a parser that catches what it does not know."""
    with suppress(Exception):
        burn(5)


def test_an_event_that_takes_too_long_is_interrupted(busy: Guard) -> None:
    with pytest.raises(Overrun):
        burn(5)
    assert busy.overran


@pytest.mark.usefixtures("busy")
def test_a_regular_expression_that_explodes_is_interrupted() -> None:
    """It holds the interpreter's lock, and looks for signals only."""
    with pytest.raises(Overrun):
        re.match("(a+)+b", "a" * 40)


@pytest.mark.usefixtures("busy")
def test_an_exception_handler_does_not_hide_it() -> None:
    with pytest.raises(Overrun):
        careless()


def test_many_short_events_are_not_interrupted(guard: Guard) -> None:
    for _ in range(40):
        guard.event += 1
        guard.busy = True
        burn(0.01)
        guard.busy = False
    assert not guard.overran


def test_what_is_no_event_is_not_interrupted(guard: Guard) -> None:
    burn(0.4)
    assert not guard.overran
