"""Policies in the kernel's maps: written by difference, whatever the way to them, and closed where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.agent.policy_tables import PolicyTables
from netloom.bpf.maps import MapSet, open_inner
from netloom.datapath.enforcement import (
    CIDRS,
    POLICIES,
    POLICY_MAPS,
    POLICY_TABLE,
    SUBJECTS,
    Isolation,
    PolicyInfo,
    PolicyKey,
    SubjectFlag,
    SubjectInfo,
    SubjectKey,
)
from netloom.model.address import Network
from netloom.model.identity import IdentityId
from netloom.model.policy import Policy
from netloom.policy.cidrs import FIRST_PREFIX
from netloom.policy.repository import Repository, Update
from support.policy_oracle import Standing, cidr, endpoints, entry, policy, section, select, tcp
from support.policy_worlds import NETWORKS, POOL, standings

ROOM = 64
A = IdentityId(256)
SUBJECT, PEER = select(app="a", ns="x"), endpoints(app="b", ns="x")
SMALL = tuple(replace(spec, max_entries=256) for spec in POLICY_MAPS)
OUTSIDE = policy("outside", egress=section(entry(cidr("10.1.0.0/16"))), subject=SUBJECT)


@pytest.fixture
def maps() -> Iterator[MapSet]:
    with MapSet.ephemeral(SMALL) as made:
        yield made


@pytest.fixture
def tables(maps: MapSet) -> Iterator[PolicyTables]:
    made = PolicyTables(maps, ROOM)
    yield made
    made.close()


def table_of(maps: MapSet, identity: int, room: int = ROOM) -> dict[PolicyKey, PolicyInfo]:
    """What programs find for an identity."""
    found = maps.of(POLICIES).get(SubjectKey(identity))
    if found is None:
        return {}
    table = open_inner(found.map, replace(POLICY_TABLE, max_entries=room))
    assert table is not None
    with table:
        return table.items()


def contents(maps: MapSet, room: int = ROOM) -> dict[str, object]:
    """All that the maps say; of inner maps not which they are, but what they hold."""
    inner = {key.identity: table_of(maps, key.identity, room) for key in maps.of(POLICIES).items()}
    return {"subjects": maps.of(SUBJECTS).items(), "policies": inner, "cidrs": maps.of(CIDRS).items()}


class Node:
    """A repository with what it writes."""

    def __init__(self, tables: PolicyTables, prefixes: Mapping[Network, int] | None = None) -> None:
        self.tables = tables
        self.repository = Repository(allow_host=False, prefixes=prefixes)
        self.write(self.repository.add_identities(POOL))
        self.write(self.repository.add_subjects(*POOL))

    def write(self, update: Update) -> bool:
        return self.tables.write(update.tables, update.gone, self.repository.prefixes())

    def put(self, *policies: Policy) -> bool:
        return self.write(self.repository.upsert(*policies))


def ports(count: int, first: int = 1001) -> Policy:
    """What takes one entry of A for each port."""
    services = [tcp(first + 2 * number) for number in range(count)]
    return policy("wide", ingress=section(entry(PEER, to=tuple(services))), subject=SUBJECT)


def test_a_subject_that_no_policy_selects_has_an_entry_and_no_table(maps: MapSet, tables: PolicyTables) -> None:
    """Without the entry it would be closed."""
    Node(tables)
    assert maps.of(SUBJECTS).get(SubjectKey(A)) == SubjectInfo(ingress=0, egress=0, flags=0)
    assert maps.of(POLICIES).items() == {}


def test_what_a_policy_isolates_and_allows_is_written(maps: MapSet, tables: PolicyTables) -> None:
    Node(tables).put(ports(3))
    found = maps.of(SUBJECTS).get(SubjectKey(A))
    assert found == SubjectInfo(ingress=Isolation.ENFORCED, egress=0, flags=SubjectFlag.HAS_TABLE)
    assert len(table_of(maps, A)) == 3


def test_a_change_leaves_the_table_where_it_is(maps: MapSet, tables: PolicyTables) -> None:
    """Programs that look at it now see entries change, never a table come and go."""
    node = Node(tables)
    node.put(ports(3))
    before = maps.of(POLICIES).get(SubjectKey(A))
    node.put(ports(5))
    assert maps.of(POLICIES).get(SubjectKey(A)) == before
    assert len(table_of(maps, A)) == 5


def test_nothing_is_written_when_nothing_changes(tables: PolicyTables) -> None:
    node = Node(tables)
    assert node.put(ports(3))
    assert not node.put(ports(3))


@contextmanager
def fresh(prefixes: Mapping[Network, int]) -> Iterator[tuple[MapSet, Node]]:
    """A node whose prefixes, when policies name them, get these numbers."""
    with MapSet.ephemeral(SMALL) as maps:
        tables = PolicyTables(maps, 4096)
        yield maps, Node(tables, prefixes)
        tables.close()


@settings(max_examples=25)
@given(st.lists(standings, min_size=1, max_size=3), st.permutations(range(4)))
def test_whatever_came_before_the_maps_hold_what_stands(worlds: list[Standing], order: list[int]) -> None:
    """Any order, replayed or at once: the same maps. Numbers of prefixes are history's, and given to both."""
    numbers = {network: FIRST_PREFIX + place for place, network in enumerate(NETWORKS)}
    with fresh(numbers) as (maps, node), fresh(numbers) as (expected, direct):
        for world in worlds:
            gone = [one.name for one in node.repository.policies if one.name not in world.policies]
            node.write(node.repository.remove(*gone))
            found = list(world.policies.values())
            for place in (*order, *reversed(order)):
                node.put(*found[place : place + 1])
        direct.put(*worlds[-1].policies.values())
        assert contents(maps, 4096) == contents(expected, 4096)


def test_a_table_that_is_too_small_closes_its_subject_alone(maps: MapSet, tables: PolicyTables) -> None:
    """And says so, with what to do."""
    node = Node(tables)
    node.put(ports(ROOM + 1), policy("other", ingress=section(entry(PEER, to=(tcp(80),))), subject=select(app="b")))
    found = {key.identity: info.flags & SubjectFlag.CLOSED for key, info in maps.of(SUBJECTS).items().items()}
    assert [number for number, closed in found.items() if closed] == [A]
    assert "maps.policy_entries" in tables.closed[A]


def test_a_closed_subject_opens_when_its_policies_fit_again(maps: MapSet, tables: PolicyTables) -> None:
    node = Node(tables)
    node.put(ports(ROOM + 1))
    node.put(ports(2))
    assert tables.closed == {}
    assert maps.of(SUBJECTS).get(SubjectKey(A)) == SubjectInfo(Isolation.ENFORCED, 0, SubjectFlag.HAS_TABLE)
    assert len(table_of(maps, A)) == 2


def test_a_table_that_holds_no_two_sets_at_once_is_exchanged_as_a_whole(maps: MapSet, tables: PolicyTables) -> None:
    """Old and new entries together would not fit, though each of them does."""
    node = Node(tables)
    node.put(ports(ROOM))
    node.put(ports(ROOM, first=5001))
    assert tables.closed == {}
    assert len(table_of(maps, A)) == ROOM


def test_a_later_agent_goes_on_with_the_tables_of_the_one_before(maps: MapSet, tables: PolicyTables) -> None:
    """It writes what differs, into the same tables, and prefixes keep their numbers."""
    first = Node(tables)
    first.put(ports(3), policy("ten", egress=section(entry(cidr("10.0.0.0/8"))), subject=select(app="b")), OUTSIDE)
    before, number = maps.of(POLICIES).get(SubjectKey(A)), first.repository.prefixes()
    tables.close()
    later = PolicyTables(maps, ROOM)
    later.restore()
    repository = Repository(allow_host=False, prefixes=later.prefixes)
    repository.add_identities(POOL)
    repository.upsert(ports(4), OUTSIDE)
    repository.add_subjects(A)
    later.keep_only([A])
    later.write(repository.tables, (), repository.prefixes())
    assert maps.of(POLICIES).get(SubjectKey(A)) == before
    assert [key.identity for key in maps.of(SUBJECTS).items()] == [A]
    assert {item: repository.prefixes()[item] for item in repository.prefixes()}.items() <= number.items()
    assert len(table_of(maps, A)) == 5
    later.close()


def test_a_table_of_another_size_is_replaced_by_a_later_agent(maps: MapSet, tables: PolicyTables) -> None:
    node = Node(tables)
    node.put(ports(3))
    tables.close()
    later = PolicyTables(maps, 2 * ROOM)
    later.restore()
    later.write(node.repository.tables, (), node.repository.prefixes())
    assert len(table_of(maps, A, 2 * ROOM)) == 3
    later.close()


def empty_one(maps: MapSet) -> None:
    found = maps.of(POLICIES).get(SubjectKey(A))
    assert found is not None
    table = open_inner(found.map, replace(POLICY_TABLE, max_entries=ROOM))
    assert table is not None
    with table:
        table.delete(next(iter(table.items())))


DAMAGE: dict[str, Callable[[MapSet], None]] = {
    "the subject": lambda maps: maps.of(SUBJECTS).delete(SubjectKey(A)),
    "a strange subject": lambda maps: maps.of(SUBJECTS).put(SubjectKey(999), SubjectInfo(0, 0, 0)),
    "the table": lambda maps: maps.of(POLICIES).delete(SubjectKey(A)),
    "an entry": empty_one,
    "a prefix": lambda maps: maps.of(CIDRS).delete(next(iter(maps.of(CIDRS).items()))),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_a_stranger_does_to_the_maps_is_put_right(maps: MapSet, tables: PolicyTables, what: str) -> None:
    node = Node(tables)
    node.put(ports(3), OUTSIDE)
    before = contents(maps)
    DAMAGE[what](maps)
    assert contents(maps) != before
    assert len(tables.check()) >= 1
    assert contents(maps) == before
    assert tables.check() == []
