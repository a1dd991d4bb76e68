"""Tests every store passes."""

# ruff: noqa: S101 - these are tests, wherever they are kept

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from netloom.model.errors import StoreError
from netloom.plugins.batches import BatchStore
from netloom.plugins.contract import Store, StoreEvent
from netloom.plugins.testing.expect import raises

PATIENCE_S = 5.0
"""After which a watch that said nothing is taken to say nothing."""


class StoreConformance:
    """What every Store does. Say how to make one; all that are made in one test share their content."""

    def make_store(self) -> Store:
        """A store that is not open yet; empty at the beginning of every test."""
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """A store that is open."""
        store = self.make_store()
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    def run(self, scenario: Callable[[Store], Awaitable[Any]]) -> None:
        """Run ``scenario`` on an open store."""

        async def body() -> None:
            async with self.opened() as store:
                await scenario(store)

        asyncio.run(body())

    def test_what_was_put_is_there_byte_by_byte(self) -> None:
        """Any bytes, any text as key, and None for what was never put."""

        async def scenario(store: Store) -> None:
            value = bytes(range(256)) * 256
            for key in ("nodes/a", "nodes/%_'\"\\", "nodes/ä🕸"):
                revision = await store.put(key, value)
                entry = await store.get(key)
                assert entry is not None
                assert (entry.key, entry.value, entry.revision) == (key, value, revision)
            assert await store.get("nodes/nobody") is None

        self.run(scenario)

    def test_every_change_anywhere_raises_the_revision(self) -> None:
        """Of different keys, and of one that was deleted in between."""

        async def scenario(store: Store) -> None:
            revisions = [await store.put("a", b"1"), await store.put("b", b"2"), await store.put("a", b"3")]
            await store.delete("a")
            revisions.append(await store.put("a", b"4"))
            assert revisions == sorted(set(revisions))

        self.run(scenario)

    def test_items_are_those_below_the_prefix_in_order(self) -> None:
        """A prefix is text, not a pattern."""

        async def scenario(store: Store) -> None:
            for key in ("nodes/b", "nodes/a", "nodes_/x", "node", "nodes/%"):
                await store.put(key, b"")
            assert [entry.key for entry in await store.items("nodes/")] == ["nodes/%", "nodes/a", "nodes/b"]
            assert len(await store.items("")) == 5

        self.run(scenario)

    def test_what_is_put_at_once_is_there_and_told_as_if_put_one_by_one(self) -> None:
        """Of stores that are BatchStores; in place of what was there, and nothing else."""

        async def scenario(store: Store) -> None:
            if not isinstance(store, BatchStore):
                return
            first = await store.put("nodes/b", b"old")
            watch = store.watch("nodes/")
            await _next(watch)
            wanted = {f"nodes/{name}": name.encode() * 1000 for name in "cab"}
            await store.put_all(wanted)
            assert {entry.key: entry.value for entry in await store.items("")} == wanted
            assert all(entry.revision > first for entry in await store.items(""))
            assert await _until(watch, wanted, {"nodes/b": b"old"}) == wanted
            await store.put_all({})
            assert len(await store.items("")) == 3

        self.run(scenario)

    def test_delete_removes_and_forgives(self) -> None:
        """Deleting what is not there is no error."""

        async def scenario(store: Store) -> None:
            await store.put("a", b"1")
            await store.delete("a")
            await store.delete("a")
            assert await store.get("a") is None
            assert await store.items("") == ()

        self.run(scenario)

    def test_compare_and_swap_writes_only_at_the_revision_it_was_told(self) -> None:
        """0 stands for a key that is not there; a deleted key is not there."""

        async def scenario(store: Store) -> None:
            assert await store.compare_and_swap("a", 0, b"1")
            assert not await store.compare_and_swap("a", 0, b"2")
            entry = await store.get("a")
            assert entry is not None
            assert await store.compare_and_swap("a", entry.revision, b"3")
            assert not await store.compare_and_swap("a", entry.revision, b"4")
            assert (await _value(store, "a")) == b"3"
            await store.delete("a")
            assert not await store.compare_and_swap("a", entry.revision, b"5")
            assert await store.compare_and_swap("a", 0, b"6")

        self.run(scenario)

    def test_of_many_that_swap_at_once_one_wins(self) -> None:
        """Through two openings of the same store."""

        async def scenario(store: Store) -> None:
            async with self.opened() as other:
                tries = [each.compare_and_swap("a", 0, b"x") for each in (store, other) for _ in range(10)]
                assert sorted(await asyncio.gather(*tries)) == [False] * 19 + [True]

        self.run(scenario)

    def test_a_watch_begins_with_everything_there(self) -> None:
        """Of its prefix; an empty batch when nothing is."""

        async def scenario(store: Store) -> None:
            await store.put("nodes/a", b"1")
            await store.put("other/b", b"2")
            assert [event.key for event in await _next(store.watch("nodes/"))] == ["nodes/a"]
            assert await _next(store.watch("nobody/")) == ()

        self.run(scenario)

    def test_a_watch_tells_changes_and_deletions_of_others(self) -> None:
        """Written through another opening of the same store."""

        async def scenario(store: Store) -> None:
            async with self.opened() as other:
                watch = store.watch("nodes/")
                await _next(watch)
                await other.put("nodes/a", b"1")
                assert await _until(watch, {"nodes/a": b"1"}, {}) == {"nodes/a": b"1"}
                await other.delete("nodes/a")
                assert await _until(watch, {}, {"nodes/a": b"1"}) == {}

        self.run(scenario)

    def test_a_slow_watcher_misses_nothing_that_stands(self) -> None:
        """After many changes it has seen the last state of every key, however they were put together."""

        async def scenario(store: Store) -> None:
            watch = store.watch("")
            seen = {event.key: event.entry.value for event in await _next(watch) if event.entry}
            for number in range(100):
                await store.put(f"key/{number % 7}", str(number).encode())
            await store.delete("key/3")
            final = {entry.key: entry.value for entry in await store.items("")}
            assert await _until(watch, final, seen) == final

        self.run(scenario)

    def test_closing_ends_watches_and_refuses_further_calls(self) -> None:
        """Closing twice is no error."""

        async def scenario(store: Store) -> None:
            watch = store.watch("")
            await _next(watch)
            await store.close()
            assert await asyncio.wait_for(anext(watch, None), PATIENCE_S) is None
            with raises(StoreError, "the store is closed"):
                await store.get("a")

        self.run(scenario)

    def test_what_was_written_outlives_a_close(self) -> None:
        """The next opening finds it."""

        async def scenario(store: Store) -> None:
            await store.put("a", b"1")
            await store.close()
            async with self.opened() as again:
                assert await _value(again, "a") == b"1"

        self.run(scenario)


async def _value(store: Store, key: str) -> bytes | None:
    entry = await store.get(key)
    return entry.value if entry else None


async def _next(watch: AsyncIterator[tuple[StoreEvent, ...]]) -> tuple[StoreEvent, ...]:
    return await asyncio.wait_for(anext(watch), PATIENCE_S)


async def _until(
    watch: AsyncIterator[tuple[StoreEvent, ...]], final: dict[str, bytes], state: dict[str, bytes]
) -> dict[str, bytes]:
    """Apply batches to ``state`` until it is ``final``, or nothing comes any more."""
    while state != final:
        for event in await _next(watch):
            if event.entry:
                state[event.key] = event.entry.value
            else:
                state.pop(event.key, None)
    return state
