"""What the agent writes of policies: the kernel holds what tables say, however many of them change at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from netloom.agent.policy_entries import entries_in, key_in, raw_key
from netloom.agent.policy_tables import PolicyTables
from netloom.bpf import batch, libbpf
from netloom.bpf.maps import MapSet, open_inner
from netloom.datapath.enforcement import (
    CIDRS,
    POLICIES,
    POLICY_TABLE,
    SUBJECTS,
    SubjectFlag,
    SubjectKey,
)
from netloom.datapath.enforcement import PolicyKey as KernelKey
from netloom.datapath.layout import decode, encode
from netloom.model.identity import IdentityId
from netloom.model.policy import Origin
from netloom.policy.ports import TCP, exactly
from netloom.policy.table import (
    ALLOW,
    DENY,
    Direction,
    DirectionTable,
    PolicyEntry,
    PolicyKey,
    PolicyTable,
    Slice,
    Source,
)

pytestmark = pytest.mark.bpf

ROOM = 16
ISOLATING = frozenset({Source(None, Origin("", 0, "test"), DENY)})


def allowing(*peers: int, port: int = 80) -> PolicyTable:
    """Isolated, and one port of a few peers is open."""
    one = Slice({exactly(TCP, port): PolicyEntry(ALLOW, frozenset())})
    return PolicyTable(DirectionTable(ISOLATING, dict.fromkeys(peers, one)))


def numbered(count: int) -> dict[IdentityId, PolicyTable]:
    return {IdentityId(1000 + number): allowing(number, number + 1) for number in range(count)}


@pytest.fixture
def maps() -> Iterator[MapSet]:
    """Room for twenty subjects, and tables for ten of them."""
    specs = (replace(SUBJECTS, max_entries=20), replace(POLICIES, max_entries=10), CIDRS)
    with MapSet.ephemeral(specs) as opened:
        yield opened


@pytest.fixture
def tables(maps: MapSet) -> Iterator[PolicyTables]:
    opened = PolicyTables(maps, ROOM)
    yield opened
    opened.close()


def held(maps: MapSet) -> dict[int, set[PolicyKey]]:
    """Keys of every table in the kernel, by identity."""
    found = {}
    for key, inner in maps.of(POLICIES).items().items():
        table = open_inner(inner.map, replace(POLICY_TABLE, max_entries=ROOM))
        assert table is not None
        with table:
            found[key.identity] = set(entries_in(table))
    return found


def wanted(written: dict[IdentityId, PolicyTable]) -> dict[int, set[PolicyKey]]:
    return {identity: {key for key, _ in table.entries()} for identity, table in written.items()}


def open_subjects(maps: MapSet) -> set[int]:
    found = maps.of(SUBJECTS).items().items()
    return {key.identity for key, info in found if not info.flags & SubjectFlag.CLOSED}


@pytest.mark.parametrize(
    "key", [PolicyKey(64, 1 << 31, Direction.EGRESS, 6, 443), PolicyKey(40, 0, Direction(0), 0, 0)]
)
def test_a_packed_key_is_the_one_that_programs_look_up(key: PolicyKey) -> None:
    assert raw_key(key) == encode(KernelKey(*map(int, key)))
    assert decode(KernelKey, raw_key(key)) == KernelKey(*map(int, key))
    assert key_in(raw_key(key)) == key


@pytest.mark.parametrize("batches", [True, False])
def test_tables_that_are_written_together_stand_as_if_written_one_by_one(
    maps: MapSet, tables: PolicyTables, monkeypatch: pytest.MonkeyPatch, batches: bool
) -> None:
    """Whether the kernel has batches or not: first ones, changed ones, and some that are dropped."""
    if not batches:
        for name in ("bpf_map_update_batch", "bpf_map_delete_batch"):
            monkeypatch.setattr(libbpf.library(), name, lambda *_: -libbpf.ENOTSUPP)
    written = numbered(10)
    assert tables.write(written, (), {})
    assert held(maps) == wanted(written)
    changed = {identity: allowing(7, 8, 9, port=443) for identity in list(written)[:5]}
    without = {identity: PolicyTable() for identity in list(written)[5:8]}
    tables.write({**changed, **without}, list(written)[8:], {})
    assert held(maps) == wanted(changed)
    assert open_subjects(maps) == {*changed, *without}


def test_first_tables_of_many_subjects_cost_the_kernel_one_wait(
    maps: MapSet, tables: PolicyTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits after each call that changes ``policies``, until programs are done with what stood there."""
    calls = []
    real = batch.put_all

    def counted(fd: int, entries: list[tuple[bytes, bytes]], refused: batch.Refused) -> None:
        calls.append((fd, len(entries)))
        real(fd, entries, refused)

    monkeypatch.setattr(batch, "put_all", counted)
    tables.write(numbered(10), (), {})
    assert [count for fd, count in calls if fd == maps.of(POLICIES).fd] == [10]


def test_only_those_without_room_for_their_table_are_closed_until_there_is_some(
    maps: MapSet, tables: PolicyTables
) -> None:
    written = numbered(12)
    tables.write(written, (), {})
    closed = set(tables.closed)
    assert len(closed) == 2
    assert open_subjects(maps) == set(written) - closed
    assert held(maps) == wanted({key: table for key, table in written.items() if key not in closed})
    leaving = [identity for identity in written if identity not in closed][:2]
    tables.write({}, leaving, {})
    assert tables.retry()
    assert tables.closed == {}
    assert open_subjects(maps) == set(written) - set(leaving)


def test_a_table_with_more_entries_than_fit_closes_its_subject_alone(maps: MapSet, tables: PolicyTables) -> None:
    small, large = IdentityId(1), IdentityId(2)
    tables.write({small: allowing(5), large: allowing(6)}, (), {})
    tables.write({small: allowing(7), large: allowing(*range(ROOM + 1))}, (), {})
    assert (open_subjects(maps), set(tables.closed)) == ({small}, {large})
    assert held(maps)[small] == wanted({small: allowing(7)})[small]
    tables.write({large: allowing(*range(ROOM))}, (), {})
    assert open_subjects(maps) == {small, large}


def test_a_table_without_room_for_old_and_new_entries_is_replaced_as_a_whole(
    maps: MapSet, tables: PolicyTables
) -> None:
    one = IdentityId(1)
    tables.write({one: allowing(*range(ROOM))}, (), {})
    before = maps.of(POLICIES).get(SubjectKey(one))
    tables.write({one: allowing(*range(100, 100 + ROOM))}, (), {})
    assert maps.of(POLICIES).get(SubjectKey(one)) != before
    assert held(maps) == wanted({one: allowing(*range(100, 100 + ROOM))})


def test_what_an_earlier_agent_left_is_taken_up_changed_in_place_and_dropped(maps: MapSet) -> None:
    written = numbered(4)
    PolicyTables(maps, ROOM).write(written, (), {})
    later = PolicyTables(maps, ROOM)
    later.restore()
    kept, changed, *gone = written
    before = maps.of(POLICIES).get(SubjectKey(changed))
    later.keep_only([kept, changed])
    later.write({kept: written[kept], changed: allowing(3)}, (), {})
    assert held(maps) == wanted({kept: written[kept], changed: allowing(3)})
    assert maps.of(POLICIES).get(SubjectKey(changed)) == before
    assert not set(gone) & open_subjects(maps)
    later.close()


def test_an_entry_that_a_stranger_changed_is_put_back(maps: MapSet, tables: PolicyTables) -> None:
    written = numbered(3)
    tables.write(written, (), {})
    assert tables.check() == []
    victim = maps.of(POLICIES).get(SubjectKey(1000))
    assert victim is not None
    table = open_inner(victim.map, replace(POLICY_TABLE, max_entries=ROOM))
    assert table is not None
    with table:
        table.delete_raw(raw_key(next(iter(written[IdentityId(1000)].entries()))[0]))
        table.put_raw(raw_key(PolicyKey(40, 0, Direction.INGRESS, 0, 0)), bytes([ALLOW]))
    assert [repair.name for repair in tables.check()] == ["policies identity 1000: 2 entries"]
    assert held(maps) == wanted(written)
