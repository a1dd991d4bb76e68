"""The proxy as a whole: listeners, the connections they took, the tables they are judged by, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket

import structlog

from netloom.model.l7_messages import Counters, Tables
from netloom.proxy import sockets
from netloom.proxy.connection import LIMIT, TICK_S, Connection, Shared

CLOSING_S = 1.0
"""Between the moment another proxy's listeners stand in the door and the end of ours: who had begun gets in."""
FULL_EVERY_S = 60.0
"""Between two lines of the log about connections beyond the limit."""
_FILES_APART = 64
"""File descriptors that are no connection's."""


class Proxy:
    """One per process."""

    def __init__(self, shared: Shared, door: sockets.Door) -> None:
        """The door is opened with the first tables: before, every connection would be refused."""
        self._shared = shared
        self._door = door
        self._listeners: tuple[socket.socket, ...] = ()
        self._servers: list[asyncio.Server] = []
        self._ends_at: float | None = None
        """On the loop's clock, of a proxy that drains."""
        self._refused = 0
        """Connections beyond the limit, as far as the log tells of them."""
        self._tells_at = 0.0
        """On the loop's clock: not again before."""
        self.ended = asyncio.Event()
        """Set when a drained proxy has nothing to do any more."""

    async def start(self) -> None:
        """Listen. Raises KernelError."""
        settings = self._shared.settings
        self._listeners = tuple(
            sockets.listen(family, settings.port, settings.keepalive_s) for family in (socket.AF_INET, socket.AF_INET6)
        )
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            server = await loop.create_server(
                lambda: Connection(self._shared).client, sock=listener, backlog=sockets.BACKLOG
            )
            self._servers.append(server)

    async def run(self) -> None:
        """Look after connections until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            for connection in tuple(self._shared.open):
                connection.tick()
            self._tell_when_full()
            self._end_when_drained()

    def _tell_when_full(self) -> None:
        refused, now = self._shared.log.closings(LIMIT), asyncio.get_running_loop().time()
        if refused > self._refused and now >= self._tells_at:
            connections = len(self._shared.open)
            structlog.get_logger().warning("proxy.full", connections=connections, refused=refused - self._refused)
            self._refused, self._tells_at = refused, now + FULL_EVERY_S

    def _end_when_drained(self) -> None:
        if self._ends_at is None:
            return
        is_empty = not self._servers and not self._shared.open
        if is_empty or asyncio.get_running_loop().time() >= self._ends_at:
            self.stop()
            self.ended.set()

    def stop(self) -> None:
        """Take no more connections, and reset those that are open."""
        self._close_listeners()
        for connection in tuple(self._shared.open):
            connection.reset()

    # --- what the agent wants ----------------------------------------------------------------------

    def put(self, change: Tables) -> tuple[str, ...]:
        """Judge by these tables; sentences about what cannot be read. Raises KernelError."""
        first = not self._shared.book.changes
        problems = self._shared.book.put(change)
        news, self._shared.news = self._shared.news, asyncio.Event()
        news.set()
        if first:
            self._door.open(*self._listeners)
        for problem in problems:
            structlog.get_logger().error("rules.unreadable", problem=problem)
        return problems

    def drain(self, timeout_s: float) -> None:
        """Take no more connections, and end with the last, or when the time is over."""
        if self._ends_at is None:
            structlog.get_logger().info("proxy.draining", connections=len(self._shared.open))
            loop = asyncio.get_running_loop()
            loop.call_later(CLOSING_S, self._close_listeners)
            self._ends_at = loop.time() + max(timeout_s, CLOSING_S)

    @property
    def is_draining(self) -> bool:
        """Whether it takes no more connections."""
        return self._ends_at is not None

    @property
    def ports(self) -> tuple[int, ...]:
        """It listens at: IPv4, IPv6."""
        return tuple(listener.getsockname()[1] for listener in self._listeners)

    @property
    def revision(self) -> int:
        """Of the tables at work."""
        return self._shared.book.revision

    def counters(self) -> Counters:
        """Numbers for the agent."""
        return self._shared.log.counters(len(self._shared.open), draining=self.is_draining)

    def _close_listeners(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()


def room_for(connections: int) -> int:
    """How many the limit of open files allows, raised as far as may be; each needs two."""
    wanted = 2 * connections + _FILES_APART
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # root may go beyond
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return connections
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = max(1, (hard - _FILES_APART) // 2)
    structlog.get_logger().warning("proxy.few_files", connections=min(room, connections), wanted=connections)
    return min(room, connections)
