"""The store in a file: what is kept, what watches tell, and what happens to a file that cannot be used."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netloom.model.errors import Invalid, StoreError
from netloom.plugins import Entry, StoreEvent
from netloom_local import database
from netloom_local.database import Changes, Cursor, Database, upper_bound
from netloom_local.plugin import LocalSettings
from netloom_local.store import Follower, LocalStore
from support.stores import NEVER_S, opened

PATIENCE_S = 20.0
"""Only a test that fails waits so long."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cluster" / "store.db"


async def told(watch: AsyncIterator[tuple[StoreEvent, ...]]) -> dict[str, bytes | None]:
    """The next batch of a watch: values by key, None for what was deleted."""
    async with asyncio.timeout(PATIENCE_S):
        return {event.key: event.entry.value if event.entry else None for event in await anext(watch)}


async def test_what_one_process_writes_another_reads(path: Path) -> None:
    async with opened(path) as one, opened(path) as two:
        assert await one.put("nodes/a", b"A") == 1
        assert await two.get("nodes/a") == Entry("nodes/a", b"A", 1)


async def test_a_swap_succeeds_only_at_the_revision_expected(path: Path) -> None:
    async with opened(path) as store:
        assert await store.compare_and_swap("k", 0, b"first")
        assert not await store.compare_and_swap("k", 0, b"again")
        assert await store.compare_and_swap("k", 1, b"second")
        await store.delete("k")
        assert not await store.compare_and_swap("k", 2, b"late")
        assert await store.compare_and_swap("k", 0, b"anew")


async def test_deleting_what_is_not_there_changes_nothing(path: Path) -> None:
    async with opened(path) as store:
        await store.delete("k")
        assert await store.put("k", b"") == 1


async def test_a_watch_begins_with_everything_and_goes_on_with_changes(path: Path) -> None:
    async with opened(path) as store, opened(path) as other:
        await store.put("nodes/a", b"A")
        await store.put("other", b"-")
        watch = store.watch("nodes/")
        assert await told(watch) == {"nodes/a": b"A"}
        await other.put("nodes/b", b"B")
        assert await told(watch) == {"nodes/b": b"B"}
        await other.delete("nodes/a")
        assert await told(watch) == {"nodes/a": None}


async def test_a_watch_of_nothing_says_so_first(path: Path) -> None:
    async with opened(path) as store:
        assert await told(store.watch("nodes/")) == {}


async def test_changes_of_one_key_are_told_as_the_last_of_them(path: Path) -> None:
    async with opened(path) as store, opened(path) as other:
        watch = store.watch("")
        await told(watch)
        for value in (b"1", b"2", b"3"):
            await other.put("k", value)
        assert await told(watch) == {"k": b"3"}


async def test_a_change_whose_writer_died_before_telling_is_seen_by_looking(path: Path) -> None:
    """The bell is only a hint: Database writes without ringing it, as a killed agent would have."""
    async with opened(path, poll_interval_s=0.01) as store:
        watch = store.watch("")
        await told(watch)
        silent = Database(path)
        silent.open()
        silent.put("k", b"v")
        silent.close()
        assert await told(watch) == {"k": b"v"}


@pytest.mark.parametrize("deletions", range(1, 8))
def test_who_comes_after_history_was_cleared_still_learns_of_deletions(
    path: Path, monkeypatch: pytest.MonkeyPatch, deletions: int
) -> None:
    monkeypatch.setattr(database, "HISTORY", 3)
    store = Database(path)
    store.open()
    for key in "abcdefgh":
        store.put(key, b"")
    follower = Follower()
    follower.take(store.changes("", None))
    for key in "abcdefgh"[:deletions]:
        store.delete(key)
    events = follower.take(store.changes("", follower.cursor))
    assert {event.key for event in events if event.entry is None} == set("abcdefgh"[:deletions])
    rows = sqlite3.connect(path)
    assert rows.execute("SELECT count(*) FROM entries").fetchone() == (8 - deletions + min(deletions, 3),)
    rows.close()
    store.close()


def test_a_deletion_is_told_once() -> None:
    follower = Follower()
    entry = Entry("k", b"", 1)
    follower.take(Changes(Cursor("g", 1), whole=True, entries=(entry,), deleted=()))
    assert follower.take(Changes(Cursor("g", 2), whole=False, entries=(), deleted=("k",))) == (StoreEvent("k", None),)
    assert follower.take(Changes(Cursor("g", 9), whole=True, entries=(), deleted=())) == ()


async def test_a_watch_that_waits_asks_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Cursor | None] = []
    changes = Database.changes

    def counted(handle: Database, prefix: str, since: Cursor | None) -> Changes:
        asked.append(since)
        return changes(handle, prefix, since)

    monkeypatch.setattr(Database, "changes", counted)
    async with opened(path) as store:
        watch = store.watch("")
        await told(watch)
        await store.put("k", b"")
        await told(watch)
        waiting = asyncio.ensure_future(anext(watch, None))
        for _ in range(100):
            await store.get("k")
        assert len(asked) <= 3
    await waiting


async def test_closing_ends_watches_and_refuses_what_comes_after(path: Path) -> None:
    store = LocalStore(path, NEVER_S)
    await store.open()
    watch = store.watch("")
    await told(watch)
    waiting = asyncio.ensure_future(anext(watch, "ended"))
    await asyncio.sleep(0)
    await store.close()
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting == "ended"
    with pytest.raises(StoreError, match="closed"):
        await store.get("k")


async def test_only_the_owner_may_read_the_store(path: Path) -> None:
    async with opened(path) as store:
        await store.put("k", b"v")
        modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in (path.parent, *path.parent.iterdir())}
    assert modes == {"cluster": 0o700} | dict.fromkeys(
        ("store.db", "store.db-wal", "store.db-shm", "store.db.lock"), 0o600
    )


COUNTER = """
import asyncio, sys
from pathlib import Path
from netloom_local.store import Follower, LocalStore

async def main():
    store = LocalStore(Path(sys.argv[1]), 3600)
    await store.open()
    for _ in range(int(sys.argv[2])):
        while True:
            entry = await store.get("count")
            revision, count = (entry.revision, int(entry.value)) if entry else (0, 0)
            if await store.compare_and_swap("count", revision, str(count + 1).encode()):
                break
        print(count + 1, flush=True)
    await store.close()

asyncio.run(main())
"""


def counting(path: Path, times: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", COUNTER, str(path), str(times)], stdout=subprocess.PIPE, text=True)


async def test_processes_that_swap_at_once_lose_no_step_and_a_watch_sees_the_last(path: Path) -> None:
    async with opened(path) as store:
        watch = store.watch("count")
        await told(watch)
        processes = [counting(path, 25) for _ in range(3)]
        while (await told(watch))["count"] != b"75":
            pass
        for process in processes:
            process.communicate()
        assert [process.returncode for process in processes] == [0, 0, 0]


async def test_what_was_written_survives_a_writer_that_is_killed(path: Path) -> None:
    with counting(path, 100_000) as process:
        assert process.stdout is not None
        counted = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
        counted += [int(line) for line in process.stdout.read().split()]
    async with opened(path) as store:
        entry = await store.get("count")
    assert entry is not None
    assert counted[-1] <= int(entry.value) <= counted[-1] + 1


def damage_header(path: Path) -> bytes:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)
    return path.read_bytes()


def damage_page(path: Path) -> bytes:
    """Overwrite everything behind the header and the schema."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))
    return path.read_bytes()


@pytest.mark.parametrize("damage", [damage_header, damage_page])
async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path: Path, damage: Callable[[Path], bytes]) -> None:
    async with opened(path) as store:
        await store.put("k", b"v" * 5000)
    content = damage(path)
    async with opened(path) as store:
        assert await store.items("") == ()
        assert await store.put("k", b"new") == 1
    (kept,) = path.parent.glob("store.db.corrupt-*")
    assert content_of(kept) == content


def move_away(path: Path) -> None:
    path.rename(path.with_name("moved.db"))
    for leftover in path.parent.glob("store.db-*"):
        leftover.unlink()


async def test_who_has_the_old_file_open_goes_over_to_the_new_one(path: Path) -> None:
    """Otherwise two halves of a cluster would each have a store of their own."""
    async with opened(path, poll_interval_s=0.01) as store:
        await store.put("old", b"")
        watch = store.watch("")
        await told(watch)
        move_away(path)
        async with opened(path) as other:
            await other.put("new", b"")
            seen = await told(watch)
            while "new" not in seen:
                seen |= await told(watch)
            assert seen == {"old": None, "new": b""}
            assert await store.put("both", b"") == 2
            assert await other.get("both") == Entry("both", b"", 2)


def make_theirs(path: Path) -> bytes:
    path.parent.mkdir()
    return change(path, "CREATE TABLE theirs (x)")


def make_later(path: Path) -> bytes:
    path.parent.mkdir()
    later = Database(path)
    later.open()
    later.close()
    return change(path, "PRAGMA user_version = 99")


def change(path: Path, statement: str) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "words"), [(make_theirs, "somebody else's"), (make_later, "version 99, expected a store of version 1")]
)
async def test_a_database_that_is_not_ours_is_refused_and_left_alone(
    path: Path, make: Callable[[Path], bytes], words: str
) -> None:
    content = make(path)
    store = LocalStore(path, NEVER_S)
    with pytest.raises(StoreError, match=words):
        await store.open()
    await store.close()
    assert content_of(path) == content


def content_of(path: Path) -> bytes:
    return path.read_bytes()


async def test_a_store_that_somebody_keeps_locked_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    async with opened(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process has kept it locked"):
            await store.put("k", b"v")
        other.close()
        assert await store.put("k", b"v") == 1


async def test_a_key_that_is_no_text_is_refused_and_harms_nothing(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(Invalid, match="surrogates not allowed"):
            await store.put("\ud800", b"v")
        assert await store.put("k", b"v") == 1


async def test_of_many_entries_one_that_cannot_be_written_keeps_all_out(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(Invalid, match="surrogates not allowed"):
            await store.put_all({"a": b"1", "\ud800": b"2"})
        assert await store.items("") == ()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = LocalStore(tmp_path / "file" / "store.db", NEVER_S)
    with pytest.raises(StoreError, match=f"{tmp_path}/file"):
        await store.open()
    await store.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_descriptors_are_given_back(path: Path) -> None:
    before = descriptors()
    for _ in range(3):
        async with opened(path) as store:
            await store.put("k", b"v")
    assert descriptors() == before


def test_a_path_that_could_be_some_other_file_is_refused() -> None:
    """A damaged store is moved aside: that must never happen to what is no store."""
    with pytest.raises(ValueError, match=r"does not end in \.db"):
        LocalSettings(path=Path("/etc/passwd"))


@example(prefix="\ud7ff", rest="", other="\ue000")
@example(prefix="\ue000", rest="", other="\ud7ff")
@given(prefix=st.text(), rest=st.text(), other=st.text())
def test_the_upper_bound_parts_keys_with_a_prefix_from_all_above(prefix: str, rest: str, other: str) -> None:
    bound = upper_bound(prefix)
    assert bound is None or bound.encode()
    for key in (prefix + rest, other):
        within = prefix <= key and (bound is None or key < bound)
        assert within == key.startswith(prefix)
