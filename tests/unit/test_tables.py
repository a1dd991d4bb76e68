"""Tables: written in order, only after the first resync, and a failure harms nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

import pytest
from structlog.testing import capture_logs

from netloom.agent.tables import Tables, TableState
from netloom.model.address import Network
from netloom.model.errors import Exhausted, NetloomError
from netloom.plan.claims import Claims
from netloom.plugins.contract import UNDERLAY, RouteSpec

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
    assert kernel.tables.states() == {"endpoints": TableState(2, 1), "devices": TableState(2, 1)}


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
    (repair,) = await kernel.tables.resync()
    assert (repair.kind, repair.name, repair.action) == ("map entry", "devices a-key", "written")
    assert kernel.devices.entries == {"a-key": 1}


class Small(Journal):
    """A table with room for one entry."""

    async def put(self, key: Any, value: Any) -> None:
        if self.entries and key not in self.entries:
            raise Exhausted(f"{self._name} is full: {key} was not written")
        await super().put(key, value)


@pytest.fixture
def small(kernel: Kernel) -> Small:
    """In the place of the table of endpoints."""
    table = Small("endpoints", kernel.journal)
    kernel.tables = Tables({"endpoints": table})
    return table


async def test_what_has_no_room_harms_nobody_and_is_told_once(kernel: Kernel, small: Small) -> None:
    """Not at every resync; how much is left out can be asked."""
    for owner in ("endpoint/a", "node/b", "addresses/c"):
        kernel.claim(owner)
    with capture_logs() as logs:
        await kernel.tables.resync()
        await kernel.tables.resync()
    assert [entry["event"] for entry in logs] == ["table.write_failed"]
    assert (small.entries, kernel.tables.states()["endpoints"].unwritten) == ({"endpoint/a-key": 1}, 2)


async def test_room_that_is_made_is_used_at_once(kernel: Kernel, small: Small) -> None:
    """What a stranger wrote kept ours out: it goes, and ours comes in the same pass."""
    await kernel.tables.resync()
    small.entries["stranger"] = 1
    kernel.claim("endpoint/a")
    await kernel.tables.resync()
    assert (small.entries, kernel.tables.states()["endpoints"].unwritten) == ({"endpoint/a-key": 1}, 0)


@pytest.mark.usefixtures("small")
async def test_a_node_whose_own_endpoints_have_no_room_does_not_start(kernel: Kernel) -> None:
    """What an earlier run left goes on rather than being cut off."""
    kernel.claim("endpoint/a")
    kernel.claim("endpoint/b")
    with pytest.raises(Exhausted, match="endpoint/b-key was not written"):
        await kernel.tables.resync()


async def test_a_resync_of_one_table_leaves_the_others_alone(kernel: Kernel) -> None:
    """Notices tell which one to look at."""
    kernel.claim("a")
    await kernel.tables.resync()
    kernel.devices.entries.clear()
    assert await kernel.tables.resync(("endpoints",)) == ()
    assert kernel.devices.entries == {}


class BatchJournal(Journal):
    """One that takes many entries at once."""

    refuses: frozenset[Any] = frozenset()

    async def put_all(self, entries: Mapping[Any, Any]) -> Mapping[Any, NetloomError]:
        self._journal.append(f"put all {' '.join(sorted(map(str, entries)))}")
        refused: dict[Any, NetloomError] = {
            key: Exhausted("full") for key, value in entries.items() if value == FULL or key in self.refuses
        }
        self.entries |= {key: value for key, value in entries.items() if key not in refused}
        return refused

    async def delete_all(self, keys: Iterable[Any]) -> None:
        self._journal.append(f"delete all {' '.join(keys)}")
        for key in keys:
            self.entries.pop(key, None)


async def test_a_table_that_takes_many_at_once_is_given_many_at_once(kernel: Kernel) -> None:
    """What it refuses of them is told and tried again like anything else."""
    kernel.devices = BatchJournal("devices", kernel.journal)
    kernel.tables = Tables({"devices": kernel.devices})
    kernel.devices.entries["old"] = 1
    kernel.claim("a")
    kernel.claim("b", FULL)
    await kernel.tables.resync()
    assert kernel.journal == ["put all a-key b-key", "delete all old", "put all b-key"]
    assert kernel.tables.states()["devices"] == TableState(errors=2, unwritten=1)
    kernel.claim("b")
    await kernel.tables.apply()
    assert kernel.devices.entries == {"a-key": 1, "b-key": 1}


async def test_routes_by_the_underlay_go_at_once_before_all_else(kernel: Kernel) -> None:
    """What maps send natively finds them there; the other routes go in their turn."""
    routes = BatchJournal("routes", kernel.journal)
    kernel.tables = Tables({"devices": kernel.devices, "routes": routes})
    await kernel.tables.resync()
    prefixes = [IPv4Network(f"10.244.{number}.0/24") for number in range(3)]
    wanted: dict[Network, RouteSpec] = {one: RouteSpec(prefix=one, device=UNDERLAY) for one in prefixes[:2]}
    wanted |= {prefixes[2]: RouteSpec(prefix=prefixes[2], device="loom_host")}
    devices: Any = {"a": 1}
    kernel.tables.claim("node/b", Claims(devices=devices, routes=wanted))
    await kernel.tables.apply()
    assert kernel.journal == ["put all 10.244.0.0/24 10.244.1.0/24", "put devices a", "put all 10.244.2.0/24"]


async def test_a_route_by_the_underlay_that_is_refused_is_tried_once_at_a_time(kernel: Kernel) -> None:
    """Not again with the other routes, nor counted twice."""
    routes = BatchJournal("routes", kernel.journal)
    kernel.tables = Tables({"routes": routes})
    await kernel.tables.resync()
    prefix = IPv4Network("10.244.2.0/24")
    routes.refuses = frozenset({prefix})
    kernel.tables.claim("node/b", Claims(routes={prefix: RouteSpec(prefix=prefix, device=UNDERLAY)}))
    await kernel.tables.apply()
    assert kernel.journal == ["put all 10.244.2.0/24"]
    assert kernel.tables.states()["routes"] == TableState(errors=1, unwritten=1)
