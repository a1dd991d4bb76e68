"""The repository: policies and identities that stand, and the tables that follow from them.

**The law of state.** Tables are a function of what stands: policies by name, identities, subjects, names of ports,
settings. The order in which it came, what was said twice, and what was said and withdrawn leave no trace, but for
the numbers of CIDR prefixes, which depend on history and are kept on purpose.

It holds because a slice, what one subject's table says of one peer, is always computed anew from what stands, never
patched. Events only tell which slices may have changed: those of groups that gained or lost a peer, or that gained
or lost a clause. Slices of the same clauses are one object, across peers and subjects. So a change costs the slices
it concerns, however many policies and identities there are.

A *subject* is an identity whose table is wanted: on a node, those of its endpoints. One whose labels are not known yet
has no table at all, which is not the same as an empty one: without labels nobody knows what it must not do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from netloom.model.address import Address, Network
from netloom.model.errors import NotFound
from netloom.model.identity import IdentityId, Reserved
from netloom.model.labels import Labels
from netloom.model.policy import CidrPeer, Origin, Policy, PolicyName
from netloom.model.visibility import Visibility
from netloom.policy.cidrs import Prefixes
from netloom.policy.ports import ANY_SERVICE, NamedPorts
from netloom.policy.resolve import Clause, ResolvedRule, resolve, slice_of
from netloom.policy.selection import Change, Criterion, Group, Selections
from netloom.policy.subjects import Half, Subject, attach, detach, see
from netloom.policy.table import ALLOW, ANY_PEER, DENY, Direction, DirectionTable, PolicyTable, Remote, Slice, Source
from netloom.policy.visible import clauses_of

_HOST: Final = Clause(
    Group(None), ALLOW, frozenset({Source(None, Origin("", 0, "allow_host"), ALLOW)}), frozenset({ANY_SERVICE})
)
"""The node always reaches its pods, as Kubernetes wants it; what denies the host still wins."""
_ALWAYS: Final = Source(None, Origin("", 0, "enforcement"), DENY)
"""Who isolates where the agent's own setting is that every endpoint is isolated."""
_NO_NAMES: Final[NamedPorts] = {}


@dataclass(frozen=True, slots=True)
class Update:
    """What a change left to write."""

    revision: int
    """Counts changes of policies."""
    tables: Mapping[IdentityId, PolicyTable]
    """New tables of the subjects whose table is another one now."""
    gone: frozenset[IdentityId] = frozenset()
    """Subjects that have no table any more."""
    asking: frozenset[IdentityId] = frozenset()
    """Subjects of whose requests other things may be said now, whether or not they have another table."""


class Repository:
    """Everything that stands. Each change answers with the tables that it made others of."""

    def __init__(
        self, *, allow_host: bool = True, isolate_all: bool = False, prefixes: Mapping[Network, int] | None = None
    ) -> None:
        """``prefixes``: numbers of CIDR prefixes that the kernel knows from before a restart."""
        self.revision = 0
        self.allows_host = allow_host
        self.isolates_all = isolate_all
        self._always = frozenset({_ALWAYS}) if isolate_all else frozenset()
        self._selections = Selections()
        self._prefixes = Prefixes(prefixes)
        self._policies: dict[PolicyName, tuple[Policy, tuple[ResolvedRule, ...]]] = {}
        self._names: dict[IdentityId, NamedPorts] = {}
        self._visible: dict[IdentityId, frozenset[Visibility]] = {}
        self._wanted: set[IdentityId] = set()
        self._subjects: dict[IdentityId, Subject] = {}
        self._gone: set[IdentityId] = set()
        self._shared: WeakValueDictionary[frozenset[Clause], Slice] = WeakValueDictionary()

    # --- what stands ------------------------------------------------------------------------

    @property
    def policies(self) -> tuple[Policy, ...]:
        """All policies, sorted by name."""
        return tuple(self._policies[name][0] for name in sorted(self._policies))

    def policy(self, name: PolicyName) -> Policy | None:
        """One of them; None when it is not known."""
        found = self._policies.get(name)
        return found[0] if found else None

    def rules(self) -> Iterator[ResolvedRule]:
        """Rules of all policies, in order."""
        return (rule for name in sorted(self._policies) for rule in self._policies[name][1])

    def rules_in(self, name: PolicyName) -> tuple[ResolvedRule, ...]:
        """Rules of one policy; none when it is not known."""
        return self._policies[name][1] if name in self._policies else ()

    @property
    def tables(self) -> Mapping[IdentityId, PolicyTable]:
        """Tables of all subjects whose labels are known."""
        return {number: one.table for number, one in self._subjects.items() if one.table is not None}

    def prefixes(self) -> Mapping[Network, int]:
        """What addresses are looked up in, the same object until it changes; ``cidrs.py`` has the order of writing."""
        return self._prefixes.entries()

    def network_of(self, peer: int) -> Network | None:
        """The prefix that a peer of a key stands for; None when it stands for something else."""
        return self._prefixes.network_of(peer)

    def labels_of(self, identity: int) -> Labels | None:
        """None: not known."""
        return self._selections.labels_of(identity)

    def identities(self) -> tuple[IdentityId, ...]:
        """All that are known, reserved ones too, sorted."""
        return tuple(sorted(self._selections.identities()))

    def names_of(self, identity: int) -> NamedPorts:
        """Named ports of an identity."""
        return self._names.get(IdentityId(identity), _NO_NAMES)

    def remote(self, identity: int, address: Address | None = None) -> Remote:
        """The other end of a packet, as the data path knows it; None: an address that no prefix holds."""
        return Remote(identity, 0 if address is None else self._prefixes.number_of(address))

    def table(self, identity: IdentityId) -> PolicyTable:
        """The table of any identity, subject or not; raises :class:`NotFound` when its labels are not known."""
        kept = self._subjects.get(identity)
        if kept is not None and kept.table is not None:
            return kept.table
        if self._selections.labels_of(identity) is None:
            raise NotFound(f"identity {identity} is not known: nobody can tell which policies select it")
        return self._renewed(self._started(identity))

    def standing(self, identity: int) -> PolicyTable | None:
        """The table that a subject has now, without making one; None when it is no subject, or its labels unknown."""
        kept = self._subjects.get(IdentityId(identity))
        return None if kept is None else kept.table

    @property
    def visible(self) -> Mapping[IdentityId, frozenset[Visibility]]:
        """Requests that are to be seen, by identity."""
        return dict(self._visible)

    def visible_at(self, identity: IdentityId) -> tuple[tuple[Direction, Clause], ...]:
        """What is to be seen of an identity's requests, subject or not."""
        return tuple(clauses_of(self._visible.get(identity, ()), self._selections.anybody))

    def rules_of(self, identity: int) -> tuple[ResolvedRule, ...]:
        """Rules that select an identity, in order of their policies' names."""
        found = {rule for group in self._selections.holders(identity) for rule in group.rules}
        return tuple(sorted(found, key=lambda rule: (rule.policy.name, rule.index)))

    def groups(self) -> Iterator[Group]:
        """Every group that somebody uses: selectors and entities, then prefixes; without the one of any peer."""
        yield from self._selections.groups()
        yield from self._prefixes.groups()

    def prefix_peer(self, remote: Remote) -> int:
        """The peer of its keys that a remote has for its address; 0 when no policy says anything of that."""
        peer = remote.peers[-1] if remote.prefix else 0
        return peer if self._prefixes.holders(peer) else 0

    # --- changes ----------------------------------------------------------------------------

    def upsert(self, *policies: Policy) -> Update:
        """Take policies up, each in place of the one of its name; many at once cost less than one by one."""
        for policy in policies:
            self._replace(policy.name, policy)
        self.revision += 1
        return self._flush()

    def remove(self, *names: PolicyName) -> Update:
        """Forget policies; nothing happens for those that are not known."""
        for name in names:
            self._replace(name, None)
        self.revision += 1
        return self._flush()

    def add_identity(self, identity: IdentityId, labels: Labels) -> Update:
        """A number and what it stands for; in place of what it stood for before."""
        return self.add_identities({identity: labels})

    def add_identities(self, identities: Mapping[IdentityId, Labels]) -> Update:
        """Many at once."""
        for identity, labels in identities.items():
            if self._selections.labels_of(identity) not in (None, labels):
                self._forget(identity)
            self._touch(self._selections.add(identity, labels))
            if identity in self._wanted and identity not in self._subjects:
                self._subjects[identity] = self._started(identity)
        return self._flush()

    def remove_identity(self, identity: IdentityId) -> Update:
        """Forget an identity; raises :class:`Invalid` for a reserved one."""
        self._forget(identity)
        return self._flush()

    def add_subjects(self, *identities: IdentityId) -> Update:
        """Identities whose tables are wanted."""
        for identity in identities:
            self._wanted.add(identity)
            if identity not in self._subjects and self._selections.labels_of(identity) is not None:
                self._subjects[identity] = self._started(identity)
        return self._flush()

    def remove_subjects(self, *identities: IdentityId) -> Update:
        """Identities whose tables are not wanted any more."""
        for identity in identities:
            self._wanted.discard(identity)
            self._stop(identity)
        return self._flush()

    def set_named_ports(self, identity: IdentityId, names: NamedPorts) -> Update:
        """Which ports the names of an identity's ports stand for now; they stand whether or not it is known."""
        if self._names.get(identity, _NO_NAMES) != names:
            if names:
                self._names[identity] = dict(names)
            else:
                del self._names[identity]
            self._touch_names(identity)
        return self._flush()

    def set_visible(self, identity: IdentityId, visible: frozenset[Visibility]) -> Update:
        """Requests that are to be seen at an identity, whatever policies say of them."""
        if self._visible.get(identity, frozenset()) != visible:
            if visible:
                self._visible[identity] = visible
            else:
                del self._visible[identity]
            if identity in self._subjects:
                see(self._subjects[identity], self.visible_at(identity))
        return self._flush()

    # --- how they work ----------------------------------------------------------------------

    def _replace(self, name: PolicyName, policy: Policy | None) -> None:
        """What is new is acquired before what was is released, so that prefixes of both keep their numbers."""
        rules = resolve(policy, self._acquire) if policy else ()
        _, old = self._policies.pop(name, (None, ()))
        for rule in old:
            rule.subject.rules.discard(rule)
            for subject in self._subjects_in(rule.subject):
                detach(subject, rule)
        for rule in rules:
            rule.subject.rules.add(rule)
            for subject in self._subjects_in(rule.subject):
                attach(subject, rule)
        if policy:
            self._policies[name] = policy, rules
        for group in [group for rule in old for group in rule.groups()]:
            self._release(group)

    def _acquire(self, criterion: Criterion | CidrPeer | None) -> Group:
        if criterion is None:
            return self._selections.anybody
        if isinstance(criterion, CidrPeer):
            group, changes = self._prefixes.acquire(criterion)
            self._touch(changes)
            return group
        return self._selections.acquire(criterion)

    def _release(self, group: Group) -> None:
        if isinstance(group.criterion, CidrPeer):
            self._touch(self._prefixes.release(group))
        else:
            self._selections.release(group)

    def _subjects_in(self, group: Group) -> list[Subject]:
        if len(group.members) < len(self._subjects):
            return [self._subjects[IdentityId(one)] for one in group.members if one in self._subjects]
        return [subject for number, subject in self._subjects.items() if number in group.members]

    def _started(self, identity: IdentityId) -> Subject:
        subject = Subject(identity)
        if identity in self._visible:
            see(subject, self.visible_at(identity))
        if self._always:
            subject.halves[Direction.INGRESS].dirty.add(Reserved.HOST)
        for group in self._selections.holders(identity):
            for rule in group.rules:
                attach(subject, rule)
        return subject

    def _stop(self, identity: IdentityId) -> None:
        stopped = self._subjects.pop(identity, None)
        if stopped is not None and stopped.table is not None:
            self._gone.add(identity)

    def _forget(self, identity: IdentityId) -> None:
        self._touch(self._selections.remove(identity))
        self._stop(identity)

    def _touch(self, changes: list[Change]) -> None:
        """Groups gained or lost peers: slices of these peers, wherever the groups are used, and rules about them."""
        if not changes:
            return
        for subject in self._subjects.values():
            for half in subject.halves:
                half.dirty.update([peer for group, peer in changes if group in half.clauses])

    def _touch_names(self, identity: IdentityId) -> None:
        """Slices that resolve names of an identity: its own ingress, and other subjects' egress to it."""
        own = self._subjects.get(identity)
        if own is not None:
            for group, clauses in own.halves[Direction.INGRESS].clauses.items():
                if any(clause.named for clause in clauses):
                    own.halves[Direction.INGRESS].dirty |= group.members
        holders = self._selections.holders(identity)
        for subject in self._subjects.values():
            half = subject.halves[Direction.EGRESS]
            if any(clause.named for group in holders for clause in half.clauses.get(group, ())):
                half.dirty.add(identity)

    def _flush(self) -> Update:
        """Renew what was touched; subjects whose table turns out to be the same are not mentioned."""
        changed: dict[IdentityId, PolicyTable] = {}
        asking: set[IdentityId] = set()
        for number, subject in self._subjects.items():
            if subject.touched or any(half.dirty for half in subject.halves):
                before, asked = subject.table, subject.asks
                subject.asks = any(half.asked for half in subject.halves)
                if asked or subject.asks:
                    asking.add(number)
                if self._renewed(subject) != before or number in self._gone:
                    changed[number] = self._renewed(subject)
        gone, self._gone = frozenset(self._gone - changed.keys()), set()
        return Update(self.revision, changed, gone, frozenset(asking))

    def _renewed(self, subject: Subject) -> PolicyTable:
        """The table of a subject, with what was touched computed anew."""
        if subject.table is None or subject.touched or any(half.dirty for half in subject.halves):
            ingress, egress = (self._direction(subject, direction) for direction in Direction)
            subject.table = PolicyTable(ingress, egress)
            subject.touched = False
        return subject.table

    def _direction(self, subject: Subject, direction: Direction) -> DirectionTable:
        half = subject.halves[direction]
        isolating = self._always.union(*(rule.of(direction).isolating for rule in subject.rules))
        slices = dict(subject.table.of(direction).slices) if subject.table else {}
        host = self.allows_host and direction is Direction.INGRESS and bool(isolating or half.asked)
        for peer in half.dirty:
            clauses = self._clauses(half, peer)
            if host and peer == Reserved.HOST:
                clauses.append(_HOST)
            renewed = self._slice(clauses, peer if direction else subject.identity)
            if renewed.entries:
                slices[peer] = renewed
            else:
                slices.pop(peer, None)
        half.dirty.clear()
        return DirectionTable(isolating, slices)

    def _clauses(self, half: Half, peer: int) -> list[Clause]:
        """What concerns a subject and a peer, found from whoever has fewer groups."""
        if peer == ANY_PEER:
            return list(half.clauses.get(self._selections.anybody, ()))
        holders = self._prefixes.holders(peer) or self._selections.holders(peer)
        if len(half.clauses) < len(holders):
            return [clause for group, found in half.clauses.items() if group in holders for clause in found]
        return [clause for group in holders for clause in half.clauses.get(group, ())]

    def _slice(self, clauses: list[Clause], named_at: int) -> Slice:
        if any(clause.named for clause in clauses):
            return slice_of(clauses, self.names_of(named_at))
        key = frozenset(clauses)
        known = self._shared.get(key)
        if known is None:
            known = self._shared[key] = slice_of(clauses, _NO_NAMES)
        return known
