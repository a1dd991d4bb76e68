"""Learnt routes on their way into the kernel: kept as routers tell them, written in chunks, looked after.

What routers tell is noted at once and written by a loop of its own: a change that is overtaken by the next one is never
written, and what concerns a route the kernel has goes before routes it does not have yet. Chunks bound how long
anybody waits: a hundred thousand routes stop neither the event loop nor whoever else asks the kernel.

Nothing that an earlier run left is removed before every router has told everything once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import structlog

from netloom.agent.repairs import Repair
from netloom.edge.learned_routes import Outcome, Put
from netloom.model.errors import NetloomError
from netloom.plan.learned import Book, Facts, Hops, Key, Rules, key_of, prefix_of
from netloom.plugins.contract import RouteChanges

T = TypeVar("T")

CHUNK = 1000
"""Routes in one visit to the kernel, and between two breaths of the event loop: some ten milliseconds."""
NAMED_REPAIRS = 3
"""Of more than so many, only their number is told."""
EARLIER = "earlier run"
"""Whose a route is that nobody has told of in this run."""
WRITTEN, WAITING = "written", "waiting"
"""What became of a route that is not refused."""


class LearnedDriver(Protocol):
    """The kernel's side. Methods raise NetloomError."""

    async def read(self) -> dict[Key, Hops]:
        """All learnt routes there are."""

    async def write(self, puts: Sequence[Put], deletes: Sequence[Key]) -> Outcome:
        """Write, then delete."""


class LearnedRoutes:
    """All routes that routers have learnt, and the kernel's table of them."""

    def __init__(
        self, routers: Sequence[str], driver: LearnedDriver, facts: Callable[[], Facts], *, unheard: bool = False
    ) -> None:
        """``routers``: their names, the one that wins first.

        ``unheard``: there are some that could not be had, for whom what an earlier run left is kept.
        """
        self.book = Book(routers)
        self._driver = driver
        self._facts = facts
        self._rules = Rules(Facts())
        self._silent = set(routers) | ({""} if unheard else set())
        """Routers that have not told everything yet."""
        self._held: dict[Key, Hops] = {}
        """What the kernel has."""
        self._earlier: set[Key] = set()
        """Of these, what nobody has told of in this run."""
        self._refused: dict[Key, str] = {}
        self._reduced: set[Key] = set()
        """Written without those next hops that cannot be reached now."""
        self._changed: dict[Key, None] = {}
        self._new: dict[Key, None] = {}
        self._adopted = False
        self._unsure = False
        """Whether the kernel may have something else: a write failed on its way."""
        self._due = asyncio.Event()
        self._lock = asyncio.Lock()
        self._named: frozenset[str] = frozenset()
        self._log = structlog.get_logger()

    async def take(self, router: str, changes: RouteChanges) -> None:
        """Note what a router tells; :meth:`run` or :meth:`flush` writes it."""
        before = self.book.keys_of(router) if changes.complete else set()
        for part in _parts(changes.routes):
            for route in part:
                key = self.book.hold(router, route)
                before.discard(key)
                self._earlier.discard(key)
                self._mark(key)
            self._due.set()
            await asyncio.sleep(0)
        for prefixes in _parts(changes.gone):
            await self._drop(router, map(key_of, prefixes))
        for keys in _parts(tuple(before)):
            await self._drop(router, keys)
        if changes.complete:
            self._silent.discard(router)
            self._forget_earlier()
        self._due.set()

    async def run(self) -> None:
        """Write whatever is due, for ever. Raises NetloomError when the kernel takes nothing; it is due again then."""
        while True:
            if not (self._changed or self._new):
                await self._due.wait()
            self._due.clear()
            if not self._adopted:
                await self._due.wait()
                continue
            await self.flush()

    async def flush(self) -> None:
        """Write all that is due now; nothing before the first :meth:`resync`. Raises NetloomError."""
        if not self._adopted:
            return
        async with self._lock:
            facts = self._facts()
            if facts != self._rules.facts:
                self._rules = Rules(facts)
                told = self.book.keys()
                for key in told:
                    self._mark(key)
            if self._unsure:
                for key in await self._look():
                    self._mark(key)
            while keys := self._next_keys():
                try:
                    await self._write(keys)
                except NetloomError:
                    # Some may be written all the same, and would be taken for a stranger's.
                    self._unsure = True
                    for key in keys:
                        self._mark(key)
                    raise
        self._tell()

    async def resync(self) -> tuple[Repair, ...]:
        """Compare with the kernel, and put right what differs; returns what that was. Raises NetloomError.

        The first time it takes up what an earlier run left. What was refused is tried again.
        """
        async with self._lock:
            differing = await self._look() - self._changed.keys() - self._new.keys()
            first, self._adopted = not self._adopted, True
            if first:
                self._earlier = self._held.keys() - self.book.keys()
                differing = self.book.keys()
            for key in (*differing, *self._refused, *self._reduced):
                self._mark(key)
            self._forget_earlier()
        await self.flush()
        self._due.set()
        return () if first else tuple(self._repairs(differing))

    def keys(self) -> set[Key]:
        """Of all routes that are told of, or that the kernel has."""
        return self.book.keys() | self._held.keys()

    def counts(self) -> dict[str, int]:
        """Routes by what became of them."""
        return {
            WRITTEN: len(self._held),
            "refused": len(self._refused),
            WAITING: len(self._changed) + len(self._new),
        }

    def route(self, key: Key) -> tuple[str, Hops, str] | None:
        """A route's router, its next hops, and ``written``, ``waiting`` or why it is refused; None without one."""
        hops = self.book.wanted(key) or self._held.get(key)
        if hops is None:
            return None
        state = self._refused.get(key) or (WRITTEN if key in self._held else WAITING)
        return self.book.owner(key) or EARLIER, hops, state

    async def _drop(self, router: str, keys: Iterable[Key]) -> None:
        for key in keys:
            self.book.drop(router, key)
            self._mark(key)
        self._due.set()
        await asyncio.sleep(0)

    async def _look(self) -> set[Key]:
        """See what the kernel has; where it is something else than was known."""
        actual = await self._driver.read()
        differing = {key for key, _ in self._held.items() ^ actual.items()}
        self._held, self._unsure = actual, False
        return differing

    def _mark(self, key: Key) -> None:
        (self._changed if key in self._held else self._new)[key] = None

    def _forget_earlier(self) -> None:
        if self._adopted and not self._silent:
            earlier, self._earlier = self._earlier, set()
            # Behind what is new, so that a prefix made of smaller ones is there before they go.
            self._new.update(dict.fromkeys(earlier))

    def _next_keys(self) -> list[Key]:
        # One may stand in both: the kernel had it when it changed, and lost it since.
        keys = dict.fromkeys(islice(self._changed, CHUNK))
        keys |= dict.fromkeys(islice(self._new, CHUNK - len(keys)))
        for key in keys:
            self._changed.pop(key, None)
            self._new.pop(key, None)
        return list(keys)

    async def _write(self, keys: Iterable[Key]) -> None:
        puts: list[Put] = []
        deletes: list[Key] = []
        for key in keys:
            wanted, held = self.book.wanted(key), self._held.get(key)
            refusal = self._rules.refusal(key, wanted) if wanted is not None else ""
            if refusal:
                self._refused[key] = refusal
            elif wanted is not None and wanted != held:
                puts.append(Put(key, wanted, held is not None))
                continue
            else:
                self._refused.pop(key, None)
            if held is not None and (refusal or wanted is None) and key not in self._earlier:
                deletes.append(key)
        outcome = await self._driver.write(puts, deletes)
        self._let_go(deletes)
        stale = [put.key for put in puts if not self._settle(put, outcome)]
        if stale:
            await self._driver.write((), stale)
            self._let_go(stale)

    def _let_go(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._held.pop(key, None)
            self._reduced.discard(key)

    def _settle(self, put: Put, outcome: Outcome) -> bool:
        """Note what became of a route; False when what stands in its place leads where nobody says any more."""
        if reason := outcome.refused.get(put.key):
            self._refused[put.key] = reason
            return not put.replace
        self._held[put.key] = outcome.reduced.get(put.key, put.hops)
        self._refused.pop(put.key, None)
        (self._reduced.add if put.key in outcome.reduced else self._reduced.discard)(put.key)
        return True

    def _repairs(self, keys: Iterable[Key]) -> Iterator[Repair]:
        """Of what differed, what is right now; what could not be put right is told as refused."""
        written, deleted = [], []
        for key in keys:
            if key in self._held:
                written.append(key)
            elif self.book.wanted(key) is None:
                deleted.append(key)
        for found, action in ((written, "written"), (deleted, "deleted")):
            if len(found) > NAMED_REPAIRS:
                yield Repair(kind="route", name=f"{len(found)} learnt routes", action=action)
            else:
                yield from (Repair(kind="route", name=f"learnt {prefix_of(key)}", action=action) for key in found)

    def _tell(self) -> None:
        """Name each reason for which routes are refused once, with one of them."""
        reasons = Counter(self._refused.values())
        for reason in reasons.keys() - self._named:
            key = next(key for key, text in self._refused.items() if text == reason)
            self._log.warning(
                "route.refused",
                prefix=str(prefix_of(key)),
                router=self.book.owner(key),
                reason=reason,
                routes=reasons[reason],
            )
        self._named = frozenset(reasons)


def _parts(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    return (whole[start : start + CHUNK] for start in range(0, len(whole), CHUNK))
