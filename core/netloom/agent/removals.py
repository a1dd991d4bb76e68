"""Interfaces of workloads on their way out.

An interface is gone for everybody long before the kernel's answer to its deletion comes (see
:mod:`netloom.edge.departures`). So each deletion waits in a thread of its own, beside everything else, and whoever
asked goes on as soon as the interface has left. A deletion that fails says so before that.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from netloom.edge.departures import Departures
from netloom.edge.workload import delete_workload
from netloom.model.errors import NetloomError

MAX_THREADS = 32
"""Deletions that wait in the kernel at once: they share its waiting."""


class Removals:
    """Deletes links of one node. Made in the agent's event loop."""

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="removal")
        self._departures = Departures()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._log = structlog.get_logger()
        asyncio.get_running_loop().add_reader(self._departures.fd, self._heard)

    async def remove(self, name: str, ifindex: int) -> None:
        """Have a link deleted, and wait until it has left; no error when it is not there.

        ``ifindex`` is that of the link, 0 when it is not known: then the wait is for the kernel's answer. Raises
        Conflict when the link is somebody else's, KernelError when the kernel refuses.
        """
        loop = asyncio.get_running_loop()
        deletion = loop.run_in_executor(self._threads, delete_workload, self._node_name, name)
        left = loop.create_future()
        if ifindex:
            self._waiting[ifindex] = left
        try:
            await asyncio.wait((deletion, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.pop(ifindex, None)
            deletion.add_done_callback(partial(self._finished, name))
        if not left.done():
            deletion.result()

    async def close(self) -> None:
        """Wait for what was begun, then end."""
        asyncio.get_running_loop().remove_reader(self._departures.fd)
        await asyncio.to_thread(self._threads.shutdown)
        self._departures.close()

    def _heard(self) -> None:
        for ifindex in self._departures.take():
            if (left := self._waiting.get(ifindex)) is not None and not left.done():
                left.set_result(None)

    def _finished(self, name: str, deletion: asyncio.Future[bool]) -> None:
        """What goes wrong after the link has left harms nobody, but should not happen."""
        if not deletion.cancelled() and isinstance(error := deletion.exception(), NetloomError):
            self._log.warning("link.deletion_failed", device=name, error=str(error))
