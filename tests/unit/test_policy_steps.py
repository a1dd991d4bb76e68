"""The order in which a table in use is changed: at no moment more open, nor more closed, than both old and new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from netloom.model.policy import Origin
from netloom.policy.ports import ANY_SERVICE, Service, exactly
from netloom.policy.resolve import Clause, slice_of
from netloom.policy.selection import Group
from netloom.policy.steps import Change, in_order, longest_match
from netloom.policy.table import (
    ALLOW,
    AUDIT_ALLOW,
    AUDIT_DENY,
    DENY,
    INSPECT,
    REDIRECT,
    STATIC_BITS,
    WATCH,
    Direction,
    DirectionTable,
    Isolation,
    PolicyKey,
    PolicyTable,
    Remote,
    Source,
    TableChange,
    difference,
    judge,
    key_of,
    needs_proxy,
)
from support.policy_oracle import Packet

Entries = dict[PolicyKey, int]


def effects_of(entries: Entries, direction: Direction, remote: Remote, packet: Packet) -> int:
    """As programs find them: the longest match of each peer."""
    found, wanted = 0, exactly(packet.protocol, packet.port)
    for peer in remote.peers:
        found |= longest_match(entries, key_of(peer, direction, wanted))
    return found


def isolation_of(bits: int) -> Isolation:
    if bits & DENY:
        return Isolation.ENFORCED
    return Isolation.AUDITED if bits else Isolation.NONE


def isolating(table: PolicyTable) -> Mapping[Direction, int]:
    return {
        direction: sum({source.effect for source in table.of(direction).isolating} & {DENY, AUDIT_DENY})
        for direction in Direction
    }


def make(entries: Entries, change: Change) -> None:
    key, effects = change
    if effects is None:
        del entries[key]
    else:
        entries[key] = effects


def moments(old: PolicyTable, new: PolicyTable) -> Iterator[tuple[Entries, Mapping[Direction, int]]]:
    """What stands after each single write, from old to new."""
    entries = {key: entry.effects for key, entry in old.entries()}
    steps = in_order(difference(old, new), old.effects_for, new)
    before, after = isolating(old), isolating(new)
    isolation = before
    for change in steps.denials:
        make(entries, change)
        yield dict(entries), isolation
    isolation = {direction: before[direction] & after[direction] for direction in Direction}
    yield dict(entries), isolation
    for change in steps.allowances:
        make(entries, change)
        yield dict(entries), isolation
    yield dict(entries), after
    for change in steps.rest:
        make(entries, change)
        yield dict(entries), after


SERVICES = (ANY_SERVICE, Service(6, 0, 8), Service(6, 80, 23), Service(6, 80, 24), Service(6, 81, 24))
EFFECTS = (DENY, ALLOW, ALLOW, AUDIT_DENY, AUDIT_ALLOW, REDIRECT, REDIRECT, INSPECT, WATCH)
PACKETS = (Packet(6, 80), Packet(6, 81), Packet(6, 82), Packet(17, 80))
REMOTE = Remote(300)


def source(effect: int) -> Source:
    return Source(None, Origin("", 0, ""), effect)


def clause(service: Service, effect: int) -> Clause:
    return Clause(Group(None), effect, frozenset({source(effect)}), frozenset({service}))


clauses = st.builds(clause, st.sampled_from(SERVICES), st.sampled_from(EFFECTS))
slices = st.lists(clauses, min_size=1, max_size=4).map(lambda found: slice_of(found, {}))
isolations = st.sets(st.sampled_from([DENY, AUDIT_DENY])).map(lambda found: frozenset(map(source, found)))
halves = st.builds(DirectionTable, isolations, st.dictionaries(st.sampled_from(REMOTE.peers), slices))
tables = st.builds(PolicyTable, halves, halves)


@given(tables, tables, st.sampled_from(Direction))
def test_whatever_passes_meanwhile_passes_before_or_afterwards(
    old: PolicyTable, new: PolicyTable, direction: Direction
) -> None:
    for packet in PACKETS:
        verdicts = [table.decide(direction, REMOTE, packet.protocol, packet.port).verdict for table in (old, new)]
        passes = {verdict.passes for verdict in verdicts}
        for entries, isolation in moments(old, new):
            effects = effects_of(entries, direction, REMOTE, packet)
            assert judge(effects, isolation_of(isolation[direction])).passes in passes


@given(tables, tables, st.sampled_from(Direction))
def test_nothing_passes_the_proxy_by_meanwhile_that_goes_there_before_and_afterwards(
    old: PolicyTable, new: PolicyTable, direction: Direction
) -> None:
    for packet in PACKETS:
        effects = [effects_of(entries_of(table), direction, REMOTE, packet) for table in (old, new)]
        isolation = [table.of(direction).isolation for table in (old, new)]
        if any(_is_open(*one) for one in zip(effects, isolation, strict=True)):
            continue
        for entries, bits in moments(old, new):
            assert not _is_open(effects_of(entries, direction, REMOTE, packet), isolation_of(bits[direction]))


def _is_open(effects: int, isolation: Isolation) -> bool:
    """Whether a packet passes, and nobody asks about its requests."""
    return judge(effects, isolation).passes and not needs_proxy(effects)


def entries_of(table: PolicyTable) -> Entries:
    return {key: entry.effects for key, entry in table.entries()}


@given(tables, tables)
def test_all_steps_lead_from_the_old_table_to_the_new(old: PolicyTable, new: PolicyTable) -> None:
    *_, (entries, isolation) = moments(old, new)
    assert entries == {key: entry.effects for key, entry in new.entries()}
    assert isolation == isolating(new)


def test_what_denies_goes_last() -> None:
    """Else the wider entry behind it, which is about to go too, would let something pass."""
    key = PolicyKey(STATIC_BITS, 0, Direction.INGRESS, 0, 0)
    narrow = key._replace(prefix_bits=64, protocol=6, port=80)
    old = partial(longest_match, {key: ALLOW, narrow: DENY})
    steps = in_order(TableChange({}, frozenset({key, narrow})), old, PolicyTable())
    assert steps.rest == ((key, None), (narrow, None))
