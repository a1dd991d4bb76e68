"""The store on a disk that runs full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.model.errors import StoreError
from netloom_local.store import LocalStore

pytestmark = pytest.mark.kernel

ROOM_BYTES = 512 << 10
PAGE = b"\0" * 4096


async def fill(store: LocalStore) -> None:
    for number in range(ROOM_BYTES // len(PAGE)):
        await store.put(f"k{number}", PAGE)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def test_a_full_disk_is_named_what_was_written_stays_and_writing_goes_on_when_there_is_room(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (ROOM_BYTES // 4))
    store = LocalStore(small_disk / "store.db", 3600)
    await store.open()
    with pytest.raises(StoreError, match="disk is full: make room"):
        await fill(store)
    written = await store.items("")
    assert [entry.value for entry in written] == [PAGE] * len(written)
    ballast.unlink()
    await store.put("late", b"")
    assert len(await store.items("")) == len(written) + 1
    await store.close()
