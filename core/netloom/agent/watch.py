"""The watch: looks at once at what the kernel says has changed, and never more often than is good for the node.

Whatever is put right here is noticed too; a second look then finds nothing to do, and there the matter ends. Against a
stranger who undoes every repair, the pause between two looks bounds what it costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from netloom.agent.notices import Known, Notice, everything, read_firewall_notices, read_route_notices
from netloom.edge.notices import NoticeSocket, firewall_notices, route_notices

GATHER_S = 0.1
"""What belongs together comes within this time: a device that goes takes its addresses, routes and filters along."""
PAUSE_S = 1.0
"""Between two looks."""


class Watch:
    """Hears from the moment it is made; looks while :meth:`run` runs."""

    def __init__(self, known: Callable[[], Known], check: Callable[[Notice], Awaitable[None]]) -> None:
        """``check`` is given what to look at. Raises KernelError."""
        self._known = known
        self._check = check
        self._due = Notice()
        self._sockets: dict[NoticeSocket, Callable[[bytes, Known], Notice]] = {}
        self._sockets[route_notices()] = read_route_notices
        self._sockets[firewall_notices()] = read_firewall_notices

    async def run(self) -> None:
        """For ever. When a look fails, it is due again the next time this is called."""
        while True:
            if not self._due:
                await self._readable()
                await asyncio.sleep(GATHER_S)
                self._read()
            if self._due:
                await self._check(self._due)
                self._due = Notice()
                await asyncio.sleep(PAUSE_S)

    def close(self) -> None:
        """Hear no more."""
        for each in self._sockets:
            each.close()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        for each in self._sockets:
            loop.add_reader(each.fileno(), heard.set)
        try:
            await heard.wait()
        finally:
            for each in self._sockets:
                loop.remove_reader(each.fileno())

    def _read(self) -> None:
        known = self._known()
        for each, read in self._sockets.items():
            for datagram in each.read():
                self._due |= everything(known) if datagram is None else read(datagram, known)
