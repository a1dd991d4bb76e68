"""A routing plugin in surroundings that its author makes: what the kit's tests see and do of both."""

# ruff: noqa: S101 - these are tests, wherever they are kept

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from netloom.model.address import Family, Network
from netloom.model.errors import NetloomError
from netloom.plugins import accept
from netloom.plugins.contract import Context, LearnedRoute, RouteChanges, Router, RouteWatcher
from netloom.plugins.discovery import hooks_of
from netloom.plugins.guard import DEFAULT_TIMEOUT_S, Junk

T = TypeVar("T")
LOOK_S = 0.02
"""Between two looks at what is waited for."""


class RouterWorld:
    """A node and those outside who speak with its router. Methods may block: they are called beside the plugin."""

    families: tuple[Family, ...] = (4, 6)
    """IP versions that the router serves here."""
    patience_s: float = 10.0
    """After which what has not happened is taken not to happen."""
    outlives: bool = False
    """Whether what the plugin announces stands while no agent runs."""

    def make_plugin(self) -> object:
        """What the entry point names; a second one made in a test is the one of the agent's next run."""
        raise NotImplementedError

    def context(self) -> Context:
        """Of this node, with settings; the same in every run. Nobody else has files in its ``run_dir``."""
        raise NotImplementedError

    def heard(self) -> Collection[Network]:
        """What they outside have heard of this node, and hold to now."""
        raise NotImplementedError

    def spread(self, prefixes: Collection[Network]) -> None:
        """Have them outside announce exactly these from now on; nothing at first."""
        raise NotImplementedError

    def cut(self) -> None:
        """Keep node and outside from hearing each other."""
        raise NotImplementedError

    def mend(self) -> None:
        """Undo :meth:`cut`."""
        raise NotImplementedError

    def run(self, life: Callable[[], None]) -> None:
        """Have ``life`` happen where the plugin lives, in a namespace, say."""
        life()


class Life:
    """One run of an agent, as its router sees it: it starts the plugin, listens, and ends without a word."""

    def __init__(self, world: RouterWorld) -> None:
        self.world = world
        self.context = world.context()
        self.hooks = hooks_of("under test", world.make_plugin())
        self.learned: dict[Network, LearnedRoute] = {}
        self.gone: set[Network] = set()
        """Whatever was told to be gone since :meth:`listen`, or since a test has cleared it."""
        self.complete = 0
        """Batches that held everything."""
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """As the agent does: the plugin, then its one router."""
        await self.ask("netloom_start", accept.nothing)
        found = await self.ask("netloom_routers", accept.routers) or ()
        assert len(found) == 1, f"netloom_routers gave {len(found)} routers, expected one in the world of a test"
        self._router: Router | RouteWatcher = found[0]
        await self.listen()

    async def ask(self, hook: str, check: Callable[[Any], T], context: Context | None = None) -> T | None:
        """What a hook gives, checked as the agent would; None of a plugin that has no such hook."""
        if hook not in self.hooks:
            return None
        call = self.hooks[hook]
        return await in_time(hook, lambda: call(context=context or self.context), check)

    async def announce(self, prefixes: Collection[Network]) -> None:
        """As the agent does: again while the plugin says that it cannot."""
        deadline = self._deadline()
        while error := await self.try_to_announce(prefixes):
            self._check(deadline, f"announce goes on to raise: {error}")
            await asyncio.sleep(LOOK_S)

    async def try_to_announce(self, prefixes: Collection[Network]) -> NetloomError | None:
        """Once; why the plugin says that it cannot."""
        try:
            await in_time("announce", lambda: self._router.announce(tuple(prefixes)), accept.nothing)
        except NetloomError as error:
            return error
        return None

    async def listen(self) -> None:
        """Hear the router, from its beginning, and forget what was heard before."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        self.learned.clear()
        self.gone.clear()
        self.complete = 0
        self._listening = asyncio.create_task(self._listen())

    async def until_heard(self, prefixes: Collection[Network], always: Iterable[Network] = ()) -> None:
        """Wait for them outside to hold to exactly these; ``always`` were never missing meanwhile."""
        deadline, kept = self._deadline(), set(always)
        while (heard := set(await asyncio.to_thread(self.world.heard))) != set(prefixes):
            assert kept <= heard, f"outside, {_list(kept - heard)} was missing meanwhile, though it is announced"
            self._check(deadline, f"outside, {_list(heard)} is known, expected {_list(prefixes)}")
            await asyncio.sleep(LOOK_S)

    async def until_learned(self, prefixes: Collection[Network]) -> None:
        """Wait for the agent to know everything: exactly these."""
        deadline = self._deadline()
        while not self.complete or self.learned.keys() != set(prefixes):
            told = f"{self.complete} batches were complete, {_list(self.learned)} is learnt"
            self._check(deadline, f"{told}, expected one at least, and {_list(prefixes)}")
            await asyncio.sleep(LOOK_S)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.world.patience_s

    def _check(self, deadline: float, text: str) -> None:
        """Fail when the router does, or too late."""
        if self._listening is not None and self._listening.done():
            self._listening.result()
        assert asyncio.get_running_loop().time() < deadline, f"after {self.world.patience_s:g} s: {text}"

    async def _listen(self) -> None:
        """As the agent does: what was told stands while the plugin says that it cannot go on."""
        while True:
            with suppress(NetloomError):
                await self._hear()
            await asyncio.sleep(LOOK_S)

    async def _hear(self) -> None:
        if not isinstance(self._router, RouteWatcher):
            routes = await in_time("learned", self._router.learned, accept.learned)
            return self._take(RouteChanges(routes=routes, complete=True))
        changes: AsyncIterator[RouteChanges] = accept.iterator(self._router.changes())
        try:
            async for batch in changes:
                self._take(_checked("changes", batch, accept.route_changes))
        finally:
            if inspect.isasyncgen(changes):
                await changes.aclose()
        raise AssertionError("changes ended, expected it to go on until the agent stops")

    def _take(self, batch: RouteChanges | None) -> None:
        assert batch is not None, "changes gave None, expected RouteChanges"
        told = {route.prefix: route for route in batch.routes}
        assert not told.keys() & set(batch.gone), f"one batch tells {_list(told.keys() & set(batch.gone))} both ways"
        gone = {*batch.gone, *(self.learned.keys() - told.keys() if batch.complete else ())}
        self.gone |= gone & self.learned.keys()
        for prefix in gone:
            self.learned.pop(prefix, None)
        self.learned |= told
        self.complete += batch.complete


async def in_time(what: str, work: Callable[[], Awaitable[Any] | Any], check: Callable[[Any], T]) -> T:
    """What the agent would make of it; AssertionError where the agent would call it a failure."""
    try:
        async with asyncio.timeout(DEFAULT_TIMEOUT_S):
            value = work()
            return _checked(what, await value if inspect.isawaitable(value) else value, check)
    except TimeoutError as error:
        raise AssertionError(f"{what} took longer than {DEFAULT_TIMEOUT_S:g} s") from error


def _checked(what: str, value: Any, check: Callable[[Any], T]) -> T:
    try:
        return check(value)
    except Junk as junk:
        raise AssertionError(f"{what} {junk}") from junk


def _list(prefixes: Iterable[Network]) -> str:
    return ", ".join(sorted(map(str, prefixes))) or "nothing"
