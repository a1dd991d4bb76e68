"""Routing plugins: what they announce for this node, and what they learn, into the kernel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from netloom.agent.kernel import KernelThread
from netloom.agent.learned import LearnedRoutes
from netloom.agent.repairs import Repair
from netloom.edge.learned_routes import LearnedTable, Outcome, Put
from netloom.model.address import Address
from netloom.model.errors import NetloomError
from netloom.model.node import Node
from netloom.plan.learned import Facts, Hops, Key
from netloom.plugins.contract import RouteChanges
from netloom.plugins.guarded_router import AnyRouter, GuardedRouter, GuardedWatcher


class LearnedThread:
    """The kernel's table of learnt routes, in a thread of its own: nobody else who asks the kernel waits for it."""

    def __init__(self, sources: Iterable[Address] = ()) -> None:
        """``sources``: as :class:`LearnedTable` takes them."""
        self._thread = KernelThread("learned-routes")
        self._table = LearnedTable(sources=sources)

    async def read(self) -> dict[Key, Hops]:
        """As :meth:`LearnedTable.read`."""
        return await self._thread.run(self._table.read)

    async def digest(self) -> bytes:
        """As :meth:`LearnedTable.digest`."""
        return await self._thread.run(self._table.digest)

    async def write(self, puts: Sequence[Put], deletes: Sequence[Key]) -> Outcome:
        """As :meth:`LearnedTable.write`."""
        return await self._thread.run(self._table.write, puts, deletes)

    def close(self) -> None:
        """Wait for what was begun, then end; the routes stay."""
        self._thread.close()
        self._table.close()


class Routing:
    """Drives every router. One that fails keeps the routes it gave, and harms no other."""

    def __init__(
        self, routers: Mapping[str, tuple[AnyRouter, ...]], node: Callable[[], Node], *, unheard: bool = False
    ) -> None:
        """``routers``: by plugin. ``unheard``: some plugin could not give its routers."""
        self._routers = dict(_named(routers))
        self._node = node
        self._kernel = LearnedThread(node().underlays)
        self.learned = LearnedRoutes(tuple(self._routers), self._kernel, lambda: facts_of(node()), unheard=unheard)

    def close(self) -> None:
        """Learn no more; the routes stay."""
        self._kernel.close()

    async def refresh(self) -> tuple[Repair, ...]:
        """Announce this node's pods where that was not done, hear who must be asked, compare with the kernel.

        Returns what had to be put right. Raises NetloomError.
        """
        for name, router in self._routers.items():
            await router.announce(self._node().pod_cidrs)
            if isinstance(router, GuardedRouter):
                # Its record says why it has nothing to say; what it said before stands.
                with suppress(NetloomError):
                    await self.learned.take(name, RouteChanges(routes=await router.learned(), complete=True))
        return await self.learned.resync()

    def loops(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        """What is to run on, by name: one loop that writes, and one for each router that tells by itself."""
        if self._routers:
            yield "learned-routes", self.learned.run
        for name, router in self._routers.items():
            if isinstance(router, GuardedWatcher):
                yield f"router-{name}", partial(self._follow, name, router)

    async def _follow(self, name: str, router: GuardedWatcher) -> None:
        async for changes in router.changes():
            await self.learned.take(name, changes)


def facts_of(node: Node) -> Facts:
    """What of a node decides which routes it takes."""
    return Facts(pod_cidrs=node.pod_cidrs, segments=node.segments, addresses=(*node.gateways, *node.underlays))


def _named(routers: Mapping[str, tuple[AnyRouter, ...]]) -> Iterator[tuple[str, AnyRouter]]:
    """By the names of their plugins, numbered where a plugin has several."""
    for plugin, found in sorted(routers.items()):
        for number, router in enumerate(found, 1):
            yield (f"{plugin}-{number}" if len(found) > 1 else plugin), router
