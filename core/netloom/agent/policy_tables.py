"""Policies in the kernel: one table for each subject, changed in place, and the prefixes that tables know by number.

A subject whose table cannot be written as its policies want it is *closed*: nothing new passes, and what was allowed is
asked about again. That harms its own endpoints alone, is told, and ends by itself with the next change or resync that
fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import structlog

from netloom.agent.policy_entries import (
    Table,
    change_of,
    effects_in,
    entries_in,
    put_changes,
    raw_entries_in,
)
from netloom.agent.repairs import Repair
from netloom.bpf.maps import BpfMap, MapSet, create_map, open_inner
from netloom.datapath.enforcement import (
    CIDRS,
    POLICIES,
    POLICY_TABLE,
    SUBJECTS,
    CidrInfo,
    CidrKey,
    Isolation,
    SubjectFlag,
    SubjectInfo,
    SubjectKey,
)
from netloom.datapath.maps import InnerMap
from netloom.model.address import Network
from netloom.model.errors import Exhausted, NetloomError
from netloom.model.identity import IdentityId
from netloom.policy.steps import in_order, longest_match
from netloom.policy.table import (
    AUDIT_DENY,
    DENY,
    Direction,
    DirectionTable,
    PolicyKey,
    PolicyTable,
    TableChange,
    difference,
)

K = TypeVar("K")
V = TypeVar("V")

ENTRIES_CHECKED = 4096
"""Of tables, in one resync: the rest has its turn in those that follow."""


@dataclass(slots=True)
class _Held:
    """What the kernel holds for a subject."""

    identity: int
    info: SubjectInfo | None = None
    """None: nothing, which is closed."""
    table: PolicyTable = field(default_factory=PolicyTable)
    inner: Table | None = None
    filled: Table | None = None
    """That is to take the place of ``inner``."""
    stands: bool = False
    """Whether ``policies`` has an entry for it."""
    count: int = 0
    """Entries of ``table``; counting them anew would cost more than a change does."""
    known: dict[PolicyKey, int] | None = None
    """Entries by effects where an earlier agent wrote them, or one write failed: ``table`` does not say them then."""
    wanted: PolicyTable | None = None
    """Of a closed subject."""


class PolicyTables:
    """Opened on what an earlier agent left, which goes on until it is written to."""

    def __init__(self, maps: MapSet, table_entries: int) -> None:
        """``table_entries``: room in each subject's table."""
        self._subjects = maps.of(SUBJECTS)
        self._policies = maps.of(POLICIES)
        self._cidrs = maps.of(CIDRS)
        self._spec = replace(POLICY_TABLE, max_entries=table_entries)
        self._held: dict[int, _Held] = {}
        self._prefixes: dict[Network, int] = {}
        self._last_prefixes: Mapping[Network, int] | None = None
        self._turn = 0
        self.closed: dict[int, str] = {}
        """Subjects that are closed, with the reason."""
        self._log = structlog.get_logger()

    def restore(self) -> None:
        """Take up what an earlier agent left. Raises KernelError."""
        self._prefixes = {key.prefix: info.number for key, info in self._cidrs.items().items()}
        for key, info in self._subjects.items().items():
            self._held[key.identity] = _Held(key.identity, info=info, known={})
        for key, inner in self._policies.items().items():
            held = self._held.setdefault(key.identity, _Held(key.identity, known={}))
            held.inner, held.stands = open_inner(inner.map, self._spec), True
            held.known = entries_in(held.inner) if held.inner is not None else {}

    @property
    def prefixes(self) -> Mapping[Network, int]:
        """Numbers of prefixes as the kernel has them, without those that are none."""
        return {network: number for network, number in self._prefixes.items() if number}

    @property
    def room(self) -> int:
        """Entries that a subject's table can have."""
        return self._spec.max_entries

    def usage(self) -> dict[int, int]:
        """Entries in the table of each subject."""
        return {number: held.count if held.known is None else len(held.known) for number, held in self._held.items()}

    def write(
        self,
        tables: Mapping[IdentityId, PolicyTable],
        gone: Iterable[IdentityId],
        prefixes: Mapping[Network, int],
    ) -> bool:
        """Make the kernel hold these; says whether anything was changed.

        ``prefixes`` are all that are wanted; what is the very object of the last call is known to be written. Raises
        NetloomError when subjects or prefixes cannot be written; a table that cannot be written closes its subject
        instead.
        """
        changed = prefixes is not self._last_prefixes
        before = [key for key, number in self._prefixes.items() if prefixes.get(key) != number] if changed else []
        for network in before:
            self._cidrs.delete(CidrKey(network))
            del self._prefixes[network]
        written = self._write_all(tables)
        removed = self._remove_all(gone)
        added = {key: number for key, number in prefixes.items() if key not in self._prefixes} if changed else {}
        for network, number in added.items():
            self._cidrs.put(CidrKey(network), CidrInfo(number))
            self._prefixes[network] = number
        self._last_prefixes = prefixes
        return bool(before or written or removed or added)

    def keep_only(self, subjects: Iterable[IdentityId]) -> bool:
        """Remove whatever else an earlier agent left."""
        return self._remove_all(self._held.keys() - set(subjects))

    def retry(self) -> bool:
        """Try again to write the tables of closed subjects; says whether one is open again."""
        return self._write_all(
            {IdentityId(number): wanted for number, held in self._held.items() if (wanted := held.wanted) is not None}
        )

    def check(self) -> list[Repair]:
        """Compare with the kernel and put right what differs; of large tables a part at a time. Raises NetloomError."""
        subjects = {SubjectKey(number): held.info for number, held in self._held.items() if held.info is not None}
        prefixes = {CidrKey(network): CidrInfo(number) for network, number in self._prefixes.items()}
        wrong = [*_put_right(self._subjects, subjects), *_put_right(self._cidrs, prefixes)]
        budget, order = ENTRIES_CHECKED, sorted(self._held)
        for identity in (*order[self._turn :], *order[: self._turn]):
            if budget <= 0:
                self._turn = order.index(identity)
                break
            checked, repaired = self._check_table(identity, self._held[identity])
            budget -= checked
            wrong += repaired
        return [Repair(kind="map entry", name=name, action="written") for name in wrong]

    def close(self) -> None:
        """Let go of the tables; they stay."""
        for held in self._held.values():
            _let_go(held.inner)

    # --- subjects ---------------------------------------------------------------------------

    def _write_all(self, tables: Mapping[IdentityId, PolicyTable]) -> bool:
        """Whatever fails on the way leaves each with a table that is no more open than its old or its new one.

        Tables that are new are handed over together, and those that nobody wants any more are dropped together: each
        time the kernel waits until no program uses what stood there, as long for one as for a hundred.
        """
        changed = {identity: table for identity, table in tables.items() if self._is_new(identity, table)}
        begun = [identity for identity, table in changed.items() if self._tried(self._begin, identity, table)]
        for identity in self._hand_over(begun, changed):
            self._tried(self._settle, identity, changed[identity])
        self._drop_tables(
            held
            for identity in changed
            if (held := self._held[identity]).info is not None and not held.info.flags & SubjectFlag.HAS_TABLE
        )
        return bool(changed)

    def _is_new(self, identity: int, table: PolicyTable) -> bool:
        held = self._held.setdefault(identity, _Held(identity))
        return held.known is not None or held.info != _info(table) or held.table != table

    def _tried(self, step: Callable[[_Held, PolicyTable], None], identity: int, table: PolicyTable) -> bool:
        """Take a step for one subject. Where it fails the subject is closed, and goes no further."""
        held = self._held[identity]
        try:
            step(held, table)
        except NetloomError as error:
            self._shut(held, table, error)
            return False
        return True

    def _begin(self, held: _Held, table: PolicyTable) -> None:
        """Change the entries of a table where it stands; or fill a new one that is to take its place."""
        info, before_info = _info(table), held.info
        change, old = _change(held, table)
        before = held.count if held.known is None else len(held.known)
        held.count = before + change.growth
        self._check_room(held)
        if not info.flags & SubjectFlag.HAS_TABLE:
            return
        inner = held.inner
        if inner is None or before_info is None or not before_info.flags & SubjectFlag.HAS_TABLE:
            self._fill(held, effects_in(table) if before else change.upserts)
        elif before + len(change.upserts) <= self._spec.max_entries:
            steps = in_order(change, old, table)
            put_changes(inner, steps.denials)
            self._put_subject(held, _mildest(before_info, info))
            put_changes(inner, steps.allowances)
            self._put_subject(held, info)
            put_changes(inner, steps.rest)
        else:
            self._put_subject(held, _strictest(before_info, info))
            self._fill(held, effects_in(table))

    def _check_room(self, held: _Held) -> None:
        if held.count > (room := self._spec.max_entries):
            raise Exhausted(
                f"the policy table of identity {held.identity} has room for {room} entries, and its policies want "
                f"{held.count}: raise maps.policy_entries, or let policies name fewer peers and ports"
            )

    def _fill(self, held: _Held, effects: Mapping[PolicyKey, int]) -> None:
        _let_go(held.filled)
        held.filled = create_map(self._spec)
        put_changes(held.filled, tuple(effects.items()))

    def _hand_over(
        self, identities: Iterable[IdentityId], tables: Mapping[IdentityId, PolicyTable]
    ) -> list[IdentityId]:
        """Put filled tables in the places of old ones, each in one step; gives the identities that may go on."""
        going_on = list(identities)
        filled = {SubjectKey(identity): InnerMap(table.fd) for identity, table in self._filled(going_on)}
        try:
            if filled:
                self._policies.put_all(filled)
        except NetloomError:  # some may have found room
            going_on = [
                identity for identity in going_on if self._tried(self._hand_over_one, identity, tables[identity])
            ]
        for identity, table in self._filled(going_on):
            held = self._held[identity]
            _let_go(held.inner)
            held.inner, held.filled, held.stands = table, None, True
        return going_on

    def _hand_over_one(self, held: _Held, _table: PolicyTable) -> None:
        if held.filled is not None:
            self._policies.put(SubjectKey(held.identity), InnerMap(held.filled.fd))

    def _filled(self, identities: Iterable[IdentityId]) -> list[tuple[IdentityId, Table]]:
        return [(identity, table) for identity in identities if (table := self._held[identity].filled) is not None]

    def _settle(self, held: _Held, table: PolicyTable) -> None:
        """All entries are in place."""
        self._put_subject(held, _info(table))
        held.table, held.known, held.wanted = table, None, None
        if self.closed.pop(held.identity, None):
            self._log.info("policy.subject_open", identity=held.identity)

    def _put_subject(self, held: _Held, info: SubjectInfo) -> None:
        if held.info != info:
            self._subjects.put(SubjectKey(held.identity), info)
            held.info = info

    def _shut(self, held: _Held, wanted: PolicyTable, error: NetloomError) -> None:
        """Close a subject. Raises NetloomError when even that is impossible: without an entry it is closed too."""
        _let_go(held.filled)
        held.filled, held.wanted = None, wanted
        held.known = entries_in(held.inner) if held.inner is not None else {}
        if self.closed.get(held.identity) != str(error):
            self._log.error("policy.subject_closed", identity=held.identity, error=str(error))
        self.closed[held.identity] = str(error)
        self._put_subject(held, replace(_info(wanted), flags=SubjectFlag.HAS_TABLE | SubjectFlag.CLOSED))

    def _remove_all(self, identities: Iterable[int]) -> bool:
        removed = [held for identity in identities if (held := self._held.pop(identity, None)) is not None]
        for held in removed:
            self.closed.pop(held.identity, None)
        if removed:
            self._subjects.delete_all(SubjectKey(held.identity) for held in removed)
            self._drop_tables(removed)
        return bool(removed)

    def _drop_tables(self, unused: Iterable[_Held]) -> None:
        """Those that no program looks into any more."""
        standing = [held for held in unused if held.stands]
        if standing:
            self._policies.delete_all(SubjectKey(held.identity) for held in standing)
        for held in standing:
            _let_go(held.inner)
            held.inner, held.stands = None, False

    # --- comparing --------------------------------------------------------------------------

    def _check_table(self, identity: int, held: _Held) -> tuple[int, list[str]]:
        """How many entries were looked at, and what was wrong."""
        if held.inner is None or held.wanted is not None:
            return 1, []
        name = f"{POLICIES.name} identity {identity}"
        found = self._policies.get(SubjectKey(identity))
        if found is None or found.map != held.inner.id:
            self._policies.put(SubjectKey(identity), InnerMap(held.inner.fd))
            return 1, [name]
        if dict(held.inner.raw_items()) == raw_entries_in(held.table):
            return held.count, []
        known, wanted = entries_in(held.inner), effects_in(held.table)
        steps = in_order(change_of(known, wanted), partial(longest_match, known), held.table)
        put_changes(held.inner, (*steps.denials, *steps.allowances, *steps.rest))
        return len(wanted), [f"{name}: {len(steps)} entries"]


def _put_right(bpf_map: BpfMap[K, V], wanted: Mapping[K, V]) -> list[str]:
    """Make a map hold what it should; gives the names of entries that were others."""
    found = bpf_map.items()
    wrong = [key for key, value in wanted.items() if found.get(key) != value]
    for key in wrong:
        bpf_map.put(key, wanted[key])
    strange = found.keys() - wanted.keys()
    for key in strange:
        bpf_map.delete(key)
    return [f"{bpf_map.spec.name} {key}" for key in (*wrong, *strange)]


def _let_go(table: Table | None) -> None:
    if table is not None:
        table.close()


def _info(table: PolicyTable) -> SubjectInfo:
    has_table = any(table.of(direction).slices for direction in Direction)
    return SubjectInfo(
        ingress=_isolation(table.ingress),
        egress=_isolation(table.egress),
        flags=SubjectFlag.HAS_TABLE if has_table else 0,
    )


def _isolation(one: DirectionTable) -> int:
    effects = {source.effect for source in one.isolating}
    return (Isolation.ENFORCED if DENY in effects else 0) | (Isolation.AUDITED if AUDIT_DENY in effects else 0)


def _mildest(old: SubjectInfo, new: SubjectInfo) -> SubjectInfo:
    """While entries change one by one: isolated only if before and afterwards."""
    return SubjectInfo(old.ingress & new.ingress, old.egress & new.egress, old.flags | new.flags)


def _strictest(old: SubjectInfo, new: SubjectInfo) -> SubjectInfo:
    """While one table takes another's place."""
    return SubjectInfo(old.ingress | new.ingress, old.egress | new.egress, old.flags | new.flags)


def _change(held: _Held, table: PolicyTable) -> tuple[TableChange, Callable[[PolicyKey], int]]:
    """What leads from what is held to a table, and effects as they are before; it costs what tables do not share."""
    if held.known is None:
        return difference(held.table, table), held.table.effects_for
    return change_of(held.known, effects_in(table)), partial(longest_match, held.known)
