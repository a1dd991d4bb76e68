"""The store as the agent sees it: asynchronous, with watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from netloom.model.errors import StoreError
from netloom.plugins import Entry, StoreEvent
from netloom_local.bell import Ear, ring
from netloom_local.database import Changes, Cursor, Database

T = TypeVar("T")


class LocalStore:
    """A Store in a file. SQLite runs in one thread of its own: a busy disk does not stop the agent."""

    def __init__(self, path: Path, poll_interval_s: float) -> None:
        self._database = Database(path)
        self._poll_interval_s = poll_interval_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netloom-store")
        self._ear: Ear | None = None
        self._waiting: set[asyncio.Event] = set()
        self._closed = False

    async def open(self) -> None:
        """Open the file and begin to listen for changes of others."""
        await self._run(self._database.open)
        try:
            self._ear = Ear(self._database.lock_path)
        except OSError as error:
            structlog.get_logger().warning(
                "store.polling", path=str(self._database.path), interval_s=self._poll_interval_s, error=str(error)
            )
        else:
            asyncio.get_running_loop().add_reader(self._ear.fd, self._rang, self._ear)

    async def close(self) -> None:
        """Let go of the file; watches end, and every later call raises StoreError."""
        if self._closed:
            return
        self._closed = True
        if self._ear is not None:
            asyncio.get_running_loop().remove_reader(self._ear.fd)
            self._ear.close()
        self._wake()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)

    async def get(self, key: str) -> Entry | None:
        """The entry, or None."""
        return await self._run(partial(self._database.get, key))

    async def items(self, prefix: str) -> tuple[Entry, ...]:
        """All entries whose key begins with ``prefix``, by key."""
        return await self._run(partial(self._database.items, prefix))

    async def put(self, key: str, value: bytes) -> int:
        """Write; returns the new revision."""
        return await self._change(partial(self._database.put, key, value))

    async def put_all(self, values: Mapping[str, bytes]) -> None:
        """Write all or none."""
        await self._change(partial(self._database.put_all, dict(values)))

    async def compare_and_swap(self, key: str, expected_revision: int, value: bytes) -> bool:
        """Write only if the key is at that revision (0: does not exist)."""
        return await self._change(partial(self._database.compare_and_swap, key, expected_revision, value))

    async def delete(self, key: str) -> None:
        """Remove; no error when it is not there."""
        await self._change(partial(self._database.delete, key))

    async def watch(self, prefix: str) -> AsyncIterator[tuple[StoreEvent, ...]]:
        """First everything there, then changes. Ends with :meth:`close`; raises StoreError when reading fails.

        When the file was replaced (set aside as damaged, or removed), keys that are not in the new one are reported
        as deleted.
        """
        follower = Follower()
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            while not self._closed:
                changed.clear()
                since = follower.cursor
                events = follower.take(await self._run(partial(self._database.changes, prefix, since)))
                if events or since is None:
                    yield events
                await self._changed(changed)
        finally:
            self._waiting.discard(changed)

    async def _changed(self, changed: asyncio.Event) -> None:
        """Wait for the bell, at most one polling interval."""
        try:
            async with asyncio.timeout(self._poll_interval_s):
                await changed.wait()
        except TimeoutError:
            return

    async def _change(self, work: Callable[[], T]) -> T:
        def change_and_ring() -> T:
            if result := work():
                self._ring()
            return result

        return await self._run(change_and_ring)

    def _ring(self) -> None:
        try:
            ring(self._database.lock_path)
        except OSError as error:
            # The change is committed: others hear of it when they next look.
            structlog.get_logger().warning("store.bell_failed", path=str(self._database.lock_path), error=str(error))

    def _rang(self, ear: Ear) -> None:
        ear.drain()
        self._wake()

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreError(f"store {self._database.path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class Follower:
    """What one watch has told so far; turns changes into events."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self.cursor: Cursor | None = None

    def take(self, changes: Changes) -> tuple[StoreEvent, ...]:
        """Events for these changes, by revision, deletions last."""
        present = {entry.key for entry in changes.entries}
        gone = tuple(sorted(self._known - present)) if changes.whole else changes.deleted
        self._known.update(present)
        self._known.difference_update(gone)
        self.cursor = changes.cursor
        return (*(StoreEvent(entry.key, entry) for entry in changes.entries), *(StoreEvent(key, None) for key in gone))
