"""Routers as the agent holds them: what they announce and learn, whatever the plugin does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from netloom.model.address import Network
from netloom.model.errors import NetloomError
from netloom.plugins import accept
from netloom.plugins.contract import LearnedRoute, RouteChanges, Router, RouteWatcher
from netloom.plugins.guard import Guard, PluginFailure
from netloom.plugins.guarded import watched


class _Announcer:
    """Tells a router what to announce until it has taken it."""

    def __init__(self, guard: Guard, router: Router | RouteWatcher) -> None:
        self._guard = guard
        self._announce = router.announce
        self._announced: tuple[Network, ...] | None = None

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        """Announce exactly these. Never raises: call it again and again, it costs nothing once they are announced."""
        if prefixes == self._announced:
            return
        self._announced = None
        try:
            await self._guard.acall("Router.announce", partial(self._announce, prefixes), accept.nothing)
        except NetloomError:
            return
        self._announced = prefixes


class GuardedRouter(_Announcer):
    """A Router that is asked."""

    def __init__(self, guard: Guard, router: Router) -> None:
        super().__init__(guard, router)
        self._learned = router.learned

    async def learned(self) -> tuple[LearnedRoute, ...]:
        """What was learnt. Raises a NetloomError while the plugin fails."""
        return await self._guard.acall("Router.learned", self._learned, accept.learned)


class GuardedWatcher(_Announcer):
    """A RouteWatcher."""

    def __init__(self, guard: Guard, router: RouteWatcher) -> None:
        super().__init__(guard, router)
        self._changes: Callable[[], Any] = router.changes

    async def changes(self) -> AsyncIterator[RouteChanges]:
        """Batches as they come, for ever. Raises PluginFailure when the plugin fails, or ends them."""
        what = "RouteWatcher.changes"
        async with aclosing(watched(self._guard, what, self._changes, accept.route_changes)) as batches:
            async for batch in batches:
                yield batch
        text = "ended, expected it to go on until the agent stops"
        self._guard.fail(what, text)
        raise PluginFailure(self._guard.plugin, what, text)


AnyRouter = GuardedRouter | GuardedWatcher


def guarded_router(guard: Guard, router: Router | RouteWatcher) -> AnyRouter:
    """Either, by what the router can do."""
    if isinstance(router, RouteWatcher):
        return GuardedWatcher(guard, router)
    return GuardedRouter(guard, router)
