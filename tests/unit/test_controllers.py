"""Loops that go on whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from netloom.agent import controllers
from netloom.agent.controllers import Controllers
from netloom.agent.undo import Undo
from netloom.model.errors import NotFound


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controllers, "FIRST_PAUSE_S", 0.0)


async def test_a_loop_that_fails_is_tried_again_and_recovers() -> None:
    """Two failures, then success: counted, and no longer failing."""
    done, runs = asyncio.Event(), 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise NotFound("not yet")
        done.set()

    loops = Controllers()
    loops.every("w", 3600, work)
    await done.wait()
    await asyncio.sleep(0)
    state = loops.states()[0]
    await loops.stop()
    assert (state.runs, state.failures, state.failing, state.last_error) == (3, 2, False, "not yet")


async def test_any_exception_is_survived() -> None:
    """Also one nobody thought of."""
    seen = asyncio.Event()

    async def work() -> None:
        if loops.states()[0].failures:
            seen.set()
        raise ZeroDivisionError

    loops = Controllers()
    loops.forever("w", work)
    await seen.wait()
    await loops.stop()
    assert loops.states()[0].failing


async def test_stop_ends_a_loop_in_the_middle_of_its_work() -> None:
    """Cancelled and awaited."""
    loops = Controllers()
    loops.every("w", 1, asyncio.Event().wait)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await loops.stop()
    assert [task.get_name() for task in asyncio.all_tasks()].count("w") == 0


async def test_undo_takes_back_newest_first_and_goes_past_a_failure() -> None:
    """Every step is tried."""
    taken: list[str] = []

    async def step(name: str, fails: bool = False) -> None:
        taken.append(name)
        if fails:
            raise NotFound(name)

    with pytest.raises(ValueError, match="boom"):  # noqa: PT012 - the block is what is tested
        async with Undo() as undo:
            undo.add("one", lambda: step("one"))
            undo.add("two", lambda: step("two", fails=True))
            raise ValueError("boom")
    assert taken == ["two", "one"]


async def test_undo_takes_nothing_back_when_all_went_well() -> None:
    """The recorder is silent on success."""
    taken: list[str] = []

    async def step() -> None:
        taken.append("x")

    async with Undo() as undo:
        undo.add("x", step)
    assert taken == []
