"""Learnt routes for tests: routers that say what a test wants, a table in memory, one in a namespace."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Sequence
from ipaddress import ip_address, ip_network

from netloom.edge.learned_routes import LearnedTable, Outcome, Put
from netloom.edge.rtnl import RtnlSocket
from netloom.model.address import Network
from netloom.plan.learned import Hops, Key
from netloom.plugins.contract import LearnedRoute, RouteChanges
from support.netns import Namespace


def route(prefix: str, via: str, *more: str) -> LearnedRoute:
    """A learnt route from its texts."""
    return LearnedRoute(prefix=ip_network(prefix), via=ip_address(via), more=tuple(map(ip_address, more)))


class MemoryRoutes:
    """A table that keeps what is written, and refuses what it is told to."""

    def __init__(self, routes: dict[Key, Hops] | None = None) -> None:
        self.routes = dict(routes or {})
        self.refuses: dict[Key, str] = {}
        self.writes = 0

    async def read(self) -> dict[Key, Hops]:
        """All there are."""
        return dict(self.routes)

    async def write(self, puts: Sequence[Put], deletes: Sequence[Key]) -> Outcome:
        """Write, then delete; a route there may only be replaced."""
        outcome = Outcome()
        for put in puts:
            self.writes += 1
            if put.key in self.refuses:
                outcome.refused[put.key] = self.refuses[put.key]
            else:
                assert put.replace or put.key not in self.routes
                self.routes[put.key] = put.hops
        for key in deletes:
            self.writes += 1
            self.routes.pop(key, None)
        return outcome


class NamespaceRoutes:
    """The kernel's table of a namespace."""

    def __init__(self, netns: Namespace, *sources: str) -> None:
        """``sources``: addresses of the node that its own packets are to come from."""
        self._netns = netns
        self._socket = netns.call(RtnlSocket)
        self._table = netns.call(LearnedTable, self._socket, list(map(ip_address, sources)))

    async def read(self) -> dict[Key, Hops]:
        """All there are."""
        return self._netns.call(self._table.read)

    async def write(self, puts: Sequence[Put], deletes: Iterable[Key]) -> Outcome:
        """Write, then delete."""
        return self._netns.call(self._table.write, puts, deletes)

    def deafen(self, *, deaf: bool) -> None:
        """Leave the kernel no room for answers and notices, or the usual room again."""
        for each in (self._socket._socket, self._table._strangers._notices._socket):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 if deaf else 1 << 18)

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self._netns.call(self._table.close)


class ScriptedWatcher:
    """A RouteWatcher that tells what is put into its queue; an exception is raised, None ends the iterator."""

    def __init__(self) -> None:
        self.announced: list[tuple[Network, ...]] = []
        self.batches: asyncio.Queue[RouteChanges | Exception | None] = asyncio.Queue()

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        """Noted."""
        self.announced.append(prefixes)

    async def changes(self) -> AsyncIterator[RouteChanges]:
        """What the test says."""
        while (batch := await self.batches.get()) is not None:
            if isinstance(batch, Exception):
                raise batch
            yield batch
