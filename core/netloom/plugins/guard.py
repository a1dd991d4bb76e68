"""One plugin's own thread, where everything of it is called: it can raise, hang or return junk, and nobody else waits.

The thread runs an event loop of its own. Plain functions run in it one after another, coroutines side by side. A call
that takes too long is given up: a coroutine is cancelled and the plugin goes on; a function that blocks cannot be
ended, so until it returns every other call of that plugin fails at once. The thread never keeps the process alive.

This is one of the two places where any exception is caught: a plugin is somebody else's code.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import traceback
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from netloom.model.errors import NetloomError, PluginError

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 5.0
"""As ``hooks.timeout_s`` in the node config; holds until that was read."""
GRACE_S = 0.1
"""How long a loop is given to show that it goes on after a call was cancelled."""
MAX_TEXT = 500
"""Characters of a plugin's own words in a message."""


class PluginFailure(PluginError):
    """A plugin raised, took too long, or returned something else than it should."""

    def __init__(self, plugin: str, what: str, text: str) -> None:
        super().__init__(plugin, f"{what} {text}")
        self.what = what
        """Hook or method, for example ``netloom_ipam`` or ``Ipam.allocate``."""
        self.text = text


class Junk(Exception):
    """What a plugin returned cannot be used; the text begins with ``returned`` or ``gave``."""


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    value: T


@dataclass(frozen=True, slots=True)
class _Raised:
    """``error`` is set when it was raised on purpose and goes on to the caller."""

    text: str
    error: NetloomError | None = None


def anything(value: Any) -> Any:
    """The check of a result that nobody uses, or that was checked already."""
    return value


class Guard:
    """Calls one plugin. ``call`` blocks the calling thread, ``acall`` suspends the calling task."""

    def __init__(self, plugin: str, changed: Callable[[str, str], None] | None = None) -> None:
        """``changed`` hears of each hook that begins to fail, with the error, and that works again, with ""."""
        self.plugin = plugin
        self.timeout_s = DEFAULT_TIMEOUT_S
        self.changed = changed
        self._failures: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], object] = _no_thread
        self._freed: Future[None] | None = None
        self._busy_with = ""

    @property
    def error(self) -> str:
        """What fails at present; "" when nothing does."""
        return "; ".join(f"{what} {text}" for what, text in self._failures.copy().items())

    def call(self, what: str, work: Callable[[], Any], accept: Callable[[Any], T]) -> T:
        """Do ``work``; give what ``accept`` makes of its result. Raises PluginFailure, or work's own NetloomError."""
        future = self._submit(what, work, accept)
        try:
            outcome = future.result(self.timeout_s)
        except TimeoutError:
            freed = self._give_up(what, future)
            with contextlib.suppress(TimeoutError):
                freed.result(GRACE_S)
            raise self._fail(what, f"took longer than {self.timeout_s:g} s") from None
        return self._settle(what, outcome)

    async def acall(self, what: str, work: Callable[[], Any], accept: Callable[[Any], T]) -> T:
        """As :meth:`call`, for the agent's loop; ``work`` may give an awaitable."""
        future = self._submit(what, work, accept)
        try:
            async with asyncio.timeout(self.timeout_s):
                outcome = await asyncio.wrap_future(future)
        except TimeoutError:
            freed = self._give_up(what, future)
            await asyncio.wait({asyncio.wrap_future(freed)}, timeout=GRACE_S)
            raise self._fail(what, f"took longer than {self.timeout_s:g} s") from None
        return self._settle(what, outcome)

    async def wait(self, what: str, work: Callable[[], Awaitable[Any]], accept: Callable[[Any], T]) -> T:
        """As :meth:`acall`, for something that takes as long as it takes, such as the next change in a store."""
        return self._settle(what, await asyncio.wrap_future(self._submit(what, work, accept)))

    def post(self, work: Callable[[], Any]) -> None:
        """Do ``work`` some time, for nobody who waits; used to clean up after a call that was given up."""
        if self._loop is not None and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(_run(work, anything), self._loop)

    def close(self) -> None:
        """End the thread, unless plugin code blocks it; later calls start another one."""
        self._stop()
        self._loop = None
        self._freed = None

    def fail(self, what: str, text: str) -> None:
        """Record a failure that was found outside a call."""
        self._fail(what, text)

    def _submit(self, what: str, work: Callable[[], Any], accept: Callable[[Any], T]) -> Future[_Done[T] | _Raised]:
        if self._freed is not None and not self._freed.done():
            raise self._fail(what, f"was not called: the plugin is still busy with {self._busy_with}")
        loop = self._loop if self._loop is not None and not self._loop.is_closed() else self._start()
        coroutine = _run(work, accept)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:
            coroutine.close()
            raise self._fail(what, "was not called: the plugin stopped its own event loop") from None

    def _give_up(self, what: str, future: Future[Any]) -> Future[None]:
        """Cancel, and learn by the returned future when the plugin's loop goes on."""
        future.cancel()
        freed: Future[None] = Future()
        self._busy_with, self._freed = what, freed
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(freed.set_result, None)
        return freed

    def _settle(self, what: str, outcome: _Done[T] | _Raised) -> T:
        if isinstance(outcome, _Raised) and outcome.error is None:
            raise self._fail(what, outcome.text)
        if self._failures.pop(what, "") and self.changed:
            self.changed(what, "")
        if isinstance(outcome, _Raised):
            raise outcome.error or AssertionError(outcome.text)
        return outcome.value

    def _fail(self, what: str, text: str) -> PluginFailure:
        before = self._failures.get(what)
        self._failures[what] = text
        if before != text and self.changed:
            self.changed(what, text)
        return PluginFailure(self.plugin, what, text)

    def _start(self) -> asyncio.AbstractEventLoop:
        started: Future[asyncio.AbstractEventLoop] = Future()
        name = f"plugin-{self.plugin}"[:15]
        threading.Thread(target=_serve, args=(started, weakref.ref(self)), name=name, daemon=True).start()
        self._loop = started.result()
        self._stop = weakref.finalize(self, _stop, self._loop)
        return self._loop


def _serve(started: Future[asyncio.AbstractEventLoop], owner: weakref.ref[Guard]) -> None:
    """Body of the thread. Holds no reference to the guard, so that a forgotten guard ends its thread."""

    def stray(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        guard, error = owner(), context.get("exception")
        if guard is not None:
            guard.fail("background task", describe(error) if error else str(context.get("message"))[:MAX_TEXT])

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(stray)
        started.set_result(loop)
        loop.run_forever()


def _no_thread() -> None:
    """What ends a thread that was never started."""


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)


async def _run(work: Callable[[], Any], accept: Callable[[Any], T]) -> _Done[T] | _Raised:
    """The supervised boundary: whatever happens in here becomes a value."""
    try:
        value = work()
        if inspect.isawaitable(value):
            value = await value
        return _Done(accept(value))
    except asyncio.CancelledError:
        raise
    except Junk as junk:
        return _Raised(str(junk))
    except NetloomError as error:
        return _Raised(describe(error), error)
    except BaseException as error:  # noqa: BLE001 - SystemExit of a plugin is no reason to exit either
        return _Raised(describe(error))


def describe(error: BaseException) -> str:
    """``raised ValueError: text (plugin.py:12 in allocate)``, even when the error cannot be printed."""
    try:
        text = " ".join(str(error).split())[:MAX_TEXT]
    except Exception:  # noqa: BLE001 - the same boundary: __str__ is the plugin's code too
        text = "an error that cannot be printed"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"raised {type(error).__name__}{': ' if text else ''}{text}{where}"
