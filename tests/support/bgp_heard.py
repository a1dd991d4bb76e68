"""A listener of the BGP plugin's watches that writes down what it hears, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from netloom.model.address import Address
from netloom_bgp.watching import PeerListener
from support.netns import Namespace

WITHIN_S = 15
"""How long to wait for a call that must come."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call; ``at_s`` is of the monotonic clock."""

    at_s: float
    what: str
    address: Address | None
    words: tuple[str, ...]


@dataclass
class Heard:
    """A PeerListener. Made in the event loop of the watch."""

    calls: list[Call] = field(default_factory=list)
    notes: dict[Address, dict[str, str]] = field(default_factory=dict)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def lost(self, address: Address, by: str, why: str) -> None:
        """Write it down."""
        self._add("lost", address, by, why)

    def back(self, address: Address, by: str) -> None:
        """Write it down."""
        self._add("back", address, by)

    def note(self, address: Address, **facts: str) -> None:
        """Keep the last value of each fact."""
        self.notes.setdefault(address, {}).update(facts)
        self._more.set()

    def event(self, kind: str, text: str, address: Address | None = None) -> None:
        """Write it down."""
        self._add(kind, address, text)

    def told(self, what: str, address: Address | None = None) -> list[Call]:
        """The calls of one kind so far, of one peer or of all."""
        return [call for call in self.calls if call.what == what and address in (None, call.address)]

    async def first(self, what: str, address: Address | None = None, count: int = 1) -> Call:
        """Wait for a call, or for the ``count``-th of its kind."""
        async with asyncio.timeout(WITHIN_S):
            while len(found := self.told(what, address)) < count:
                self._more.clear()
                await self._more.wait()
        return found[count - 1]

    async def noted(self, address: Address, **facts: str) -> None:
        """Wait until these facts are the last known ones."""
        async with asyncio.timeout(WITHIN_S):
            while not facts.items() <= self.notes.get(address, {}).items():
                self._more.clear()
                await self._more.wait()

    def _add(self, what: str, address: Address | None, *words: str) -> None:
        self.calls.append(Call(time.monotonic(), what, address, words))
        self._more.set()


class Watch(Protocol):
    """One of the plugin's watches."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


W = TypeVar("W", bound=Watch)


def heard_during(
    story: Callable[[W, Heard], Awaitable[None]], netns: Namespace, make: Callable[[PeerListener], W]
) -> Heard:
    """What a watch in a namespace tells while the story is told, in the watch's own loop."""

    async def run() -> Heard:
        heard = Heard()
        watching = make(heard)
        await watching.start()
        try:
            await story(watching, heard)
        finally:
            await watching.stop()
        return heard

    return netns.call(asyncio.run, run())
