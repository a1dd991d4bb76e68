"""Policies in the kernel: one table for each subject, changed in place, and the prefixes that tables know by number.

A subject whose table cannot be written as its policies want it is *closed*: nothing new passes, and what was allowed is asked
about again. That harms its own endpoints alone, is told, and ends by itself with the next change or resync that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

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
    PolicyInfo,
    SubjectFlag,
    SubjectInfo,
    SubjectKey,
)
from netloom.datapath.enforcement import PolicyKey as KernelKey
from netloom.datapath.layout import decode, encode
from netloom.datapath.maps import InnerMap
from netloom.model.address import Network
from netloom.model.errors import Exhausted, NetloomError
from netloom.model.identity import IdentityId
from netloom.policy.steps import Steps, in_order
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

ENTRIES_CHECKED = 4096
"""Of tables, in one resync: the rest has its turn in those that follow."""
Table = BpfMap[KernelKey, PolicyInfo]


@dataclass(slots=True)
class _Held:
    """What the kernel holds for a subject."""

    info: SubjectInfo | None = None
    """None: nothing, which is closed."""
    table: PolicyTable = field(default_factory=PolicyTable)
    inner: Table | None = None
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
        self._turn = 0
        self.closed: dict[int, str] = {}
        """Subjects that are closed, with the reason."""
        self._log = structlog.get_logger()

    def restore(self) -> None:
        """Take up what an earlier agent left. Raises KernelError."""
        self._prefixes = {key.prefix: info.number for key, info in self._cidrs.items().items()}
        for key, info in self._subjects.items().items():
            self._held[key.identity] = _Held(info=info, known={})
        for key, inner in self._policies.items().items():
            held = self._held.setdefault(key.identity, _Held(known={}))
            held.inner = open_inner(inner.map, self._spec)
            held.known = _entries(held.inner) if held.inner is not None else {}

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
        return {
            number: _count(held.table) if held.known is None else len(held.known) for number, held in self._held.items()
        }

    def write(
        self,
        tables: Mapping[IdentityId, PolicyTable],
        gone: Iterable[IdentityId],
        prefixes: Mapping[Network, int],
    ) -> bool:
        """Make the kernel hold these; says whether anything was changed.

        ``prefixes`` are all that are wanted. Raises NetloomError when subjects or prefixes cannot be written; a table that
        cannot be written closes its subject instead.
        """
        before = [key for key, number in self._prefixes.items() if prefixes.get(key) != number]
        for network in before:
            self._cidrs.delete(CidrKey(network))
            del self._prefixes[network]
        written = [self._write_one(identity, table) for identity, table in tables.items()]
        removed = [self._remove(identity) for identity in gone]
        added = [(network, number) for network, number in prefixes.items() if network not in self._prefixes]
        for network, number in added:
            self._cidrs.put(CidrKey(network), CidrInfo(number))
            self._prefixes[network] = number
        return bool(before or any(written) or any(removed) or added)

    def keep_only(self, subjects: Iterable[IdentityId]) -> bool:
        """Remove whatever else an earlier agent left."""
        return any([self._remove(IdentityId(identity)) for identity in self._held.keys() - set(subjects)])

    def retry(self) -> bool:
        """Try again to write the tables of closed subjects; says whether one is open again."""
        tried = [(identity, held.wanted) for identity, held in self._held.items() if held.wanted is not None]
        return any([self._write_one(IdentityId(identity), wanted) for identity, wanted in tried if wanted is not None])

    def check(self) -> list[Repair]:
        """Compare with the kernel and put right what differs; of large tables a part at a time. Raises NetloomError."""
        wrong = [f"{SUBJECTS.name} {name}" for name in self._check_subjects()]
        wrong += [f"{CIDRS.name} {name}" for name in self._check_prefixes()]
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
            if held.inner is not None:
                held.inner.close()

    # --- one subject ------------------------------------------------------------------------

    def _write_one(self, identity: IdentityId, table: PolicyTable) -> bool:
        held = self._held.setdefault(identity, _Held())
        if held.known is None and held.info == _info(table) and held.table == table:
            return False
        try:
            self._change(identity, held, table)
        except NetloomError as error:
            return self._shut(identity, held, table, error)
        held.table, held.known, held.wanted = table, None, None
        if self.closed.pop(identity, None):
            self._log.info("policy.subject_open", identity=identity)
        return True

    def _change(self, identity: IdentityId, held: _Held, table: PolicyTable) -> None:
        """Whatever fails on the way leaves a table that is no more open than the old or the new one."""
        info, room = _info(table), self._spec.max_entries
        if (count := _count(table)) > room:
            raise Exhausted(
                f"the policy table of identity {identity} has room for {room} entries, and its policies want "
                f"{count}: raise maps.policy_entries, or let policies name fewer peers and ports"
            )
        if not info.flags & SubjectFlag.HAS_TABLE:
            self._put_subject(identity, held, info)
            self._drop_table(identity, held)
            return
        if held.inner is None or held.info is None or not held.info.flags & SubjectFlag.HAS_TABLE:
            self._put_table(identity, held, table)
            self._put_subject(identity, held, info)
            return
        steps, before = _steps(held, table), _count(held.table) if held.known is None else len(held.known)
        if before + len(steps.denials) + len(steps.others) <= room:
            self._change_in_place(identity, held, steps, info)
        else:
            self._put_subject(identity, held, _strictest(held.info, info))
            self._put_table(identity, held, table)
            self._put_subject(identity, held, info)

    def _change_in_place(self, identity: int, held: _Held, steps: Steps, info: SubjectInfo) -> None:
        assert held.inner is not None and held.info is not None
        _put(held.inner, steps.denials)
        self._put_subject(identity, held, _mildest(held.info, info))
        _put(held.inner, steps.others)
        for key in steps.deletes:
            held.inner.delete_raw(_raw(key))
        self._put_subject(identity, held, info)

    def _put_table(self, identity: int, held: _Held, table: PolicyTable) -> None:
        """A new table in the place of the old one, in one step."""
        inner = create_map(self._spec)
        try:
            _put(inner, _effects(table).items())
            self._policies.put(SubjectKey(identity), InnerMap(inner.fd))
        except NetloomError:
            inner.close()
            raise
        if held.inner is not None:
            held.inner.close()
        held.inner = inner

    def _drop_table(self, identity: int, held: _Held) -> None:
        self._policies.delete(SubjectKey(identity))
        if held.inner is not None:
            held.inner.close()
            held.inner = None

    def _put_subject(self, identity: int, held: _Held, info: SubjectInfo) -> None:
        if held.info != info:
            self._subjects.put(SubjectKey(identity), info)
            held.info = info

    def _shut(self, identity: IdentityId, held: _Held, wanted: PolicyTable, error: NetloomError) -> bool:
        """Close a subject. Raises NetloomError when even that is impossible: without an entry it is closed too."""
        held.wanted = wanted
        held.known = _entries(held.inner) if held.inner is not None else {}
        if self.closed.get(identity) != str(error):
            self._log.error("policy.subject_closed", identity=identity, error=str(error))
        self.closed[identity] = str(error)
        self._put_subject(identity, held, replace(_info(wanted), flags=SubjectFlag.HAS_TABLE | SubjectFlag.CLOSED))
        return True

    def _remove(self, identity: IdentityId) -> bool:
        held = self._held.pop(identity, None)
        self.closed.pop(identity, None)
        if held is None:
            return False
        self._subjects.delete(SubjectKey(identity))
        self._drop_table(identity, held)
        return True

    # --- comparing --------------------------------------------------------------------------

    def _check_subjects(self) -> list[str]:
        found = self._subjects.items()
        wanted = {SubjectKey(identity): held.info for identity, held in self._held.items() if held.info is not None}
        wrong = [key for key, info in wanted.items() if found.get(key) != info]
        for key in wrong:
            self._subjects.put(key, wanted[key])
        strange = found.keys() - wanted.keys()
        for key in strange:
            self._subjects.delete(key)
        return [str(key) for key in (*wrong, *strange)]

    def _check_prefixes(self) -> list[str]:
        found = {key.prefix: info.number for key, info in self._cidrs.items().items()}
        wrong = [network for network, number in self._prefixes.items() if found.get(network) != number]
        for network in wrong:
            self._cidrs.put(CidrKey(network), CidrInfo(self._prefixes[network]))
        strange = found.keys() - self._prefixes.keys()
        for network in strange:
            self._cidrs.delete(CidrKey(network))
        return [str(network) for network in (*wrong, *strange)]

    def _check_table(self, identity: int, held: _Held) -> tuple[int, list[str]]:
        """How many entries were looked at, and what was wrong."""
        if held.inner is None or held.wanted is not None:
            return 1, []
        name = f"{POLICIES.name} identity {identity}"
        found = self._policies.get(SubjectKey(identity))
        if found is None or found.map != held.inner.id:
            self._policies.put(SubjectKey(identity), InnerMap(held.inner.fd))
            return 1, [name]
        known, wanted = _entries(held.inner), _effects(held.table)
        if known == wanted:
            return len(wanted), []
        steps = in_order(_change(known, wanted), known.get)
        _put(held.inner, (*steps.denials, *steps.others))
        for key in steps.deletes:
            held.inner.delete_raw(_raw(key))
        return len(wanted), [f"{name}: {len(steps.denials) + len(steps.others) + len(steps.deletes)} entries"]


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


def _effects(table: PolicyTable) -> dict[PolicyKey, int]:
    return {key: entry.effects for key, entry in table.entries()}


def _count(table: PolicyTable) -> int:
    return sum(len(one.entries) for direction in Direction for one in table.of(direction).slices.values())


def _steps(held: _Held, table: PolicyTable) -> Steps:
    """What leads from what is held to a table; where that is a table too, it costs what they do not share."""
    if held.known is None:
        return in_order(difference(held.table, table), held.table.effects_at)
    return in_order(_change(held.known, _effects(table)), held.known.get)


def _change(known: Mapping[PolicyKey, int], wanted: Mapping[PolicyKey, int]) -> TableChange:
    upserts = {key: effects for key, effects in wanted.items() if known.get(key) != effects}
    return TableChange(upserts, frozenset(known.keys() - wanted.keys()))


def _raw(key: PolicyKey) -> bytes:
    return encode(KernelKey(key.prefix_bits, key.peer, int(key.direction), key.protocol, key.port))


def _put(inner: Table, entries: Iterable[tuple[PolicyKey, int]]) -> None:
    for key, effects in entries:
        inner.put_raw(_raw(key), bytes([effects]))


def _entries(inner: BpfMap[Any, Any]) -> dict[PolicyKey, int]:
    found = {}
    for raw_key, raw in inner.raw_items():
        key = decode(KernelKey, raw_key)
        found[PolicyKey(key.prefix_bits, key.peer, Direction(key.direction), key.protocol, key.port)] = raw[0]
    return found
