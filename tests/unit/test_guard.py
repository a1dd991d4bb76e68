"""A plugin's own thread: whatever plugin code does, the caller gets an answer, and the next caller too."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from netloom.model.errors import Conflict
from netloom.plugins.guard import Guard, Junk, PluginFailure, anything

LONG_S = 30
"""Never waited for when all is well."""


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard("p")
    made.timeout_s = 0.2
    yield made
    made.close()


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Ends what hangs."""
    event = threading.Event()
    yield event
    event.set()


def failing() -> None:
    raise ValueError("first line\nsecond   line")


def text_of(guard: Guard, work: object) -> str:
    with pytest.raises(PluginFailure) as caught:
        guard.call("hook", work, anything)  # type: ignore[arg-type]
    return caught.value.text


def plugin_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "plugin-p"]


def test_work_is_done_in_the_plugins_thread_which_has_a_loop(guard: Guard) -> None:
    """And never keeps the process alive."""
    thread, loop = guard.call("hook", lambda: (threading.current_thread(), asyncio.get_running_loop()), anything)
    assert (thread.name, thread.daemon) == ("plugin-p", True)
    assert loop.is_running()


def test_an_awaitable_is_awaited(guard: Guard) -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 3

    assert guard.call("hook", work, anything) == 3
    assert asyncio.run(guard.acall("hook", work, anything)) == 3


def test_a_raise_becomes_a_failure_on_one_line_with_its_place(guard: Guard) -> None:
    text = text_of(guard, failing)
    assert text.startswith("raised ValueError: first line second line (test_guard.py:")
    assert text.endswith(" in failing)")


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration(3), MemoryError()]
)
def test_no_exception_ends_the_thread(guard: Guard, error: BaseException) -> None:
    def work() -> None:
        raise error

    assert f"raised {type(error).__name__}" in text_of(guard, work)
    assert guard.call("hook", lambda: 1, anything) == 1


def test_an_error_on_purpose_passes_and_is_no_failure(guard: Guard) -> None:
    def work() -> None:
        raise Conflict("somebody has it")

    with pytest.raises(Conflict, match="somebody has it"):
        guard.call("hook", work, anything)
    assert guard.error == ""


def test_what_the_check_refuses_is_a_failure(guard: Guard) -> None:
    def refuse(_value: object) -> None:
        raise Junk("returned int, expected str")

    with pytest.raises(PluginFailure, match='plugin "p": hook returned int, expected str'):
        guard.call("hook", lambda: 1, refuse)


def test_a_coroutine_that_takes_too_long_is_cancelled_and_the_plugin_goes_on(guard: Guard) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert text_of(guard, work) == "took longer than 0.2 s"
    assert cancelled.wait(LONG_S)
    assert guard.call("hook", lambda: 1, anything) == 1


def test_while_a_function_blocks_other_calls_fail_at_once(guard: Guard, release: threading.Event) -> None:
    assert text_of(guard, lambda: release.wait(LONG_S)) == "took longer than 0.2 s"
    with pytest.raises(PluginFailure, match="other was not called: the plugin is still busy with hook"):
        guard.call("other", failing, anything)


def test_when_it_returns_calls_are_made_again(guard: Guard, release: threading.Event) -> None:
    text_of(guard, lambda: release.wait(LONG_S))
    release.set()
    guard.timeout_s = LONG_S
    for _ in range(1000):
        try:
            assert guard.call("hook", lambda: 1, anything) == 1
            break
        except PluginFailure:
            threading.Event().wait(0.001)
    assert guard.call("hook", lambda: 1, anything) == 1


async def test_the_agents_loop_goes_on_while_a_plugin_blocks(guard: Guard, release: threading.Event) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(PluginFailure, match="took longer"):
        await guard.acall("hook", lambda: release.wait(LONG_S), anything)
    ticking.cancel()
    assert ticks > 3


async def test_cancelling_the_caller_cancels_the_plugins_work(guard: Guard) -> None:
    guard.timeout_s = LONG_S
    begun, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    call = asyncio.create_task(guard.acall("hook", work, anything))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.wait(LONG_S)


def test_failures_are_told_when_they_begin_change_and_end() -> None:
    told: list[tuple[str, str]] = []
    guard = Guard("p", lambda what, error: told.append((what, error.partition(" (")[0])))
    for divisor in (0, 0, 1):
        with contextlib.suppress(PluginFailure):
            guard.call("hook", partial(divmod, 1, divisor), anything)
    guard.close()
    assert told == [("hook", "raised ZeroDivisionError: integer division or modulo by zero"), ("hook", "")]
    assert guard.error == ""


def test_a_background_task_that_fails_is_a_failure_of_the_plugin(guard: Guard) -> None:
    """Even though nobody waits for it."""

    async def work() -> None:
        async def stray() -> None:
            failing()

        task = asyncio.create_task(stray())
        await asyncio.wait({task})
        del task
        gc.collect()

    guard.timeout_s = LONG_S
    guard.call("hook", work, anything)
    assert "background task raised ValueError" in guard.error


def test_a_plugin_that_stops_its_own_loop_is_named_and_served_again(guard: Guard) -> None:
    text_of(guard, lambda: asyncio.get_running_loop().close())
    guard.call("hook", lambda: asyncio.get_running_loop().stop(), anything)
    guard.timeout_s = LONG_S
    for thread in plugin_threads():
        thread.join(LONG_S)
    assert guard.call("hook", lambda: 1, anything) == 1


def test_closing_or_forgetting_a_guard_ends_its_thread() -> None:
    for end in (Guard.close, lambda _guard: None):
        guard = Guard("p")
        guard.call("hook", lambda: 1, anything)
        threads = plugin_threads()
        end(guard)
        del guard
        gc.collect()
        for thread in threads:
            thread.join(LONG_S)
        assert plugin_threads() == []
