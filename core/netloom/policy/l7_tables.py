"""What the proxy is told of policies: an :class:`L7Table` for each subject of whose requests anything is said.

A table holds the entries about requests, with peers as identities and prefixes, and names of ports as numbers. Because
the proxy also gets connections that the *other* end, or a rule that denies, sent there, it holds besides, for the ports
of these entries, what is plainly allowed: there every request goes on.

**What is made anew.** Only tables of subjects that an :class:`~netloom.policy.repository.Update` names, once each; a
group's identities are put in order once a change, whoever uses them.

**Order of writing.** What the proxy is told must hold what programs send to it, at every moment. So before the kernel's
tables change it is told *both* (:attr:`L7Change.before`): each changed table with all entries of the old and the new
one, of those that allow; and afterwards what remains (:attr:`L7Change.after`). Rules that deny are in force from the
first, and until the last, which harms nobody: they are the stricter ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from netloom.model.identity import IdentityId, Reserved
from netloom.model.l7 import L7Entry, L7Prefix, L7Rule, L7Table
from netloom.model.policy import CidrPeer
from netloom.policy.ports import LAST_PORT, TCP, Service, named_services
from netloom.policy.repository import Repository, Update
from netloom.policy.resolve import Asked, Clause
from netloom.policy.selection import Group
from netloom.policy.table import ALLOW, AUDIT_ALLOW, Direction, Isolation

Ranges = tuple[tuple[int, int], ...]
"""Of ports: sorted, apart from each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Change:
    """What to tell the proxy, by subject; None: it has no table any more."""

    before: Mapping[int, L7Table | None]
    """Before the kernel's tables are changed."""
    after: Mapping[int, L7Table | None]
    """Once they are."""


class L7Tables:
    """Tables of one repository, as the proxy has them when all changes were told."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._tables: dict[IdentityId, L7Table] = {}

    @property
    def tables(self) -> Mapping[IdentityId, L7Table]:
        """Those that say anything, by subject."""
        return self._tables

    def renew(self, update: Update) -> L7Change:
        """Take up a change of the repository; tables that turn out to be the same are not mentioned."""
        maker = _Maker(self._repository)
        before: dict[int, L7Table | None] = {}
        after: dict[int, L7Table | None] = {}
        for subject in sorted(update.asking | (update.gone & self._tables.keys())):
            old = self._tables.get(subject)
            new = None if subject in update.gone else maker.table(subject)
            if new == old:
                continue
            if new is not None:
                before[subject] = new if old is None else both(old, new)
                self._tables[subject] = new
            else:
                del self._tables[subject]
            if subject not in before or before[subject] != new:
                after[subject] = new
        return L7Change(before=before, after=after)


def l7_table(repository: Repository, subject: IdentityId) -> L7Table | None:
    """The table of one subject; None when nothing is said of its requests."""
    return _Maker(repository).table(subject)


def both(old: L7Table, new: L7Table) -> L7Table:
    """What holds while programs have entries of either table."""
    ingress, egress = (
        tuple(dict.fromkeys((*after, *before)))
        for before, after in ((old.ingress, new.ingress), (old.egress, new.egress))
    )
    return L7Table(subject=new.subject, ingress=ingress, egress=egress)


@dataclass(slots=True)
class _Peers:
    """Who an entry is about, while it is gathered."""

    anybody: bool = False
    identities: set[int] = field(default_factory=set)
    prefixes: dict[L7Prefix, None] = field(default_factory=dict)


_Key = tuple[str, tuple[L7Rule, ...], Ranges, bool, bool]
"""An entry without its peers: protocol, rules, ports, whether it is of an audit policy, and whether by default."""


class _Maker:
    """Makes tables of what stands at one moment."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._ordered: dict[frozenset[int], tuple[int, ...]] = {}

    def table(self, subject: IdentityId) -> L7Table | None:
        """None when nothing is said of its requests."""
        if self._repository.labels_of(subject) is None:
            return None
        ingress, egress = (self._entries(subject, direction) for direction in Direction)
        return L7Table(subject=subject, ingress=ingress, egress=egress) if ingress or egress else None

    def _entries(self, subject: IdentityId, direction: Direction) -> tuple[L7Entry, ...]:
        clauses = [
            clause for rule in self._repository.rules_of(subject) for clause in rule.clauses(direction)
        ]  # fmt: skip
        found: dict[_Key, _Peers] = {}
        spoken: dict[str, Ranges] = {}
        for clause in clauses:
            if clause.asked is None or clause.effect == AUDIT_ALLOW:  # which its WATCH says once more
                continue
            if (
                clause.asked.denies and not clause.asked.requests.rules
            ):  # of an entry that allows, it would be everything
                continue
            protocol, rules = clause.asked.requests.protocol, _rules(clause.asked)
            for who, services in self._reaches(clause, direction, subject):
                ports = ranges(services)
                if ports:
                    _add(found, (protocol, rules, ports, clause.asked.audit, False), who)
                    spoken[protocol] = union(spoken.get(protocol, ()), ports)
        self._add_visible(spoken, subject, direction)
        if not spoken:
            return ()
        for clause in clauses:
            if clause.asked is None and clause.effect in (ALLOW, AUDIT_ALLOW):
                for who, services in self._reaches(clause, direction, subject):
                    _add_plain(found, spoken, ranges(services), who, audit=clause.effect == AUDIT_ALLOW)
        self._add_own(found, spoken, subject, direction)
        return tuple(self._entry(key, who) for key, who in found.items())

    def _add_visible(self, spoken: dict[str, Ranges], subject: IdentityId, direction: Direction) -> None:
        """Ports whose requests are to be seen, but for those where policies name another protocol."""
        for way, clause in self._repository.visible_at(subject):
            if way is not direction or clause.asked is None:
                continue
            protocol, ports = clause.asked.requests.protocol, ranges(clause.services)
            if not any(intersection(ports, where) for other, where in spoken.items() if other != protocol):
                spoken[protocol] = union(spoken.get(protocol, ()), ports)

    def _add_own(
        self, found: dict[_Key, _Peers], spoken: Mapping[str, Ranges], subject: IdentityId, direction: Direction
    ) -> None:
        """What is allowed without a policy: the node itself, and everybody where nothing isolates."""
        everything: Ranges = ((0, LAST_PORT),)
        if self._repository.allows_host and direction is Direction.INGRESS:
            _add_plain(found, spoken, everything, _Peers(identities={Reserved.HOST}), audit=False)
        if self._repository.table(subject).of(direction).isolation is not Isolation.ENFORCED:
            _add_plain(found, spoken, everything, _Peers(anybody=True), audit=False, default=True)

    def _reaches(
        self, clause: Clause, direction: Direction, subject: IdentityId
    ) -> Iterator[tuple[_Peers, frozenset[Service]]]:
        """Its peers with its services; a name on egress is each peer's own."""
        if clause.named and direction is Direction.EGRESS:
            by_services: dict[frozenset[Service], set[int]] = {}
            for peer in clause.group.members:
                services = named_services(clause.named, self._repository.names_of(peer))
                by_services.setdefault(services, set()).add(peer)
            yield from ((_Peers(identities=who), services) for services, who in by_services.items() if services)
        else:
            yield _peers(clause.group), clause.services_at(self._repository.names_of(subject))

    def _entry(self, key: _Key, who: _Peers) -> L7Entry:
        protocol, rules, ports, audit, default = key
        members = frozenset(who.identities)
        if members not in self._ordered:
            self._ordered[members] = tuple(sorted(members))
        return L7Entry(
            peers=None if who.anybody else self._ordered[members],
            prefixes=() if who.anybody else tuple(who.prefixes),
            ports=ports,
            protocol=protocol,
            rules=rules,
            audit=audit,
            default=default,
        )


def _rules(asked: Asked) -> tuple[L7Rule, ...]:
    policy = str(asked.policy or "")
    return tuple(
        L7Rule(rule=rule.text, policy=policy, origin=rule.origin.path, denies=asked.denies)
        for rule in asked.requests.rules
    )


def _peers(group: Group) -> _Peers:
    match group.criterion:
        case None:
            return _Peers(anybody=True)
        case CidrPeer() as cidr:
            excepts = tuple(map(str, cidr.excepts))
            prefix = L7Prefix(network=str(cidr.network), excepts=excepts, with_endpoints=cidr.with_endpoints)
            return _Peers(prefixes={prefix: None})
        case _:
            return _Peers(identities=group.members)


def _add(found: dict[_Key, _Peers], key: _Key, who: _Peers) -> None:
    known = found.setdefault(key, _Peers())
    known.anybody |= who.anybody
    known.identities |= who.identities
    known.prefixes.update(who.prefixes)


def _add_plain(
    found: dict[_Key, _Peers], spoken: Mapping[str, Ranges], ports: Ranges, who: _Peers, *, audit: bool,
    default: bool = False,
) -> None:  # fmt: skip
    """Of the ports where a protocol is spoken, those that are plainly allowed."""
    for protocol, where in spoken.items():
        if shared := intersection(ports, where):
            _add(found, (protocol, (), shared, audit, default), who)


def ranges(services: Iterable[Service]) -> Ranges:
    """The ports of TCP among some services."""
    found = ((one.port, one.last_port) for one in services if one.protocol == TCP or one.bits == 0)
    return _joined(found)


def union(one: Ranges, other: Ranges) -> Ranges:
    """Ports in either."""
    return _joined((*one, *other))


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """Ports in both."""
    return _joined(
        (max(first, start), min(last, end))
        for first, last in one
        for start, end in other
        if max(first, start) <= min(last, end)
    )


def _joined(found: Iterable[tuple[int, int]]) -> Ranges:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return tuple(joined)
