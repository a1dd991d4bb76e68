"""Tables: written in order, only after the first resync, and a failure harms nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from netloom.agent.tables import Tables
from netloom.model.errors import Exhausted
from netloom.plan.claims import Claims

FULL = 666
"""A value no table takes."""


class Journal:
    """A kernel table that writes down what is done to it."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.entries: dict[Any, Any] = {}
        self._name = name
        self._journal = journal

    async def read(self) -> Mapping[Any, Any]:
        return dict(self.entries)

    async def put(self, key: Any, value: Any) -> None:
        if value == FULL:
            raise Exhausted(f"{self._name} is full")
        self._journal.append(f"put {self._name} {key}")
        self.entries[key] = value

    async def delete(self, key: Any) -> None:
        self._journal.append(f"delete {self._name} {key}")
        self.entries.pop(key, None)


class Kernel:
    """Two tables and what was done to them; the claims' values are plain text and numbers."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.endpoints = Journal("endpoints", self.journal)
        self.devices = Journal("devices", self.journal)
        self.tables = Tables({"endpoints": self.endpoints, "devices": self.devices})

    def claim(self, owner: str, value: int = 1) -> None:
        entries: Any = {f"{owner}-key": value}
        self.tables.claim(owner, Claims(endpoints=entries, devices=entries))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


async def test_nothing_is_written_before_the_first_resync(kernel: Kernel) -> None:
    """Until the whole picture is known, what stands in the kernel is left alone."""
    kernel.endpoints.entries["old"] = 1
    kernel.claim("a")
    await kernel.tables.apply()
    assert kernel.journal == []


async def test_the_first_resync_keeps_what_is_right_and_removes_the_rest(kernel: Kernel) -> None:
    """An adopted table is not emptied and filled again."""
    kernel.endpoints.entries.update({"a-key": 1, "old": 1})
    kernel.claim("a")
    await kernel.tables.resync()
    assert kernel.journal == ["put devices a-key", "delete endpoints old"]


async def test_entries_are_written_in_order_and_deleted_in_reverse(kernel: Kernel) -> None:
    """Opened last, closed first."""
    await kernel.tables.resync()
    kernel.claim("a")
    await kernel.tables.apply()
    kernel.tables.withdraw("a")
    await kernel.tables.apply()
    assert kernel.journal == [
        "put endpoints a-key",
        "put devices a-key",
        "delete devices a-key",
        "delete endpoints a-key",
    ]


async def test_a_table_that_is_full_fails_the_one_who_hit_it(kernel: Kernel) -> None:
    """And nobody else: others' entries are written in the same step."""
    await kernel.tables.resync()
    kernel.claim("bad", FULL)
    kernel.claim("good")
    await kernel.tables.apply("good")
    with pytest.raises(Exhausted, match="endpoints is full"):
        await kernel.tables.apply("bad")
    assert kernel.endpoints.entries == {"good-key": 1}
    assert kernel.tables.errors() == {"endpoints": 2, "devices": 2}


async def test_what_only_waits_to_be_written_is_no_repair(kernel: Kernel) -> None:
    """A claim made while the tables are compared is nobody's damage."""
    await kernel.tables.resync()
    kernel.claim("a")
    assert await kernel.tables.resync() == ()
    assert kernel.endpoints.entries == {"a-key": 1}


async def test_what_a_stranger_deleted_is_written_again_and_named(kernel: Kernel) -> None:
    """Repairs are reported."""
    kernel.claim("a")
    await kernel.tables.resync()
    kernel.devices.entries.clear()
    repairs = await kernel.tables.resync()
    assert [(repair.table, repair.key, repair.action) for repair in repairs] == [("devices", "a-key", "written")]
    assert kernel.devices.entries == {"a-key": 1}
