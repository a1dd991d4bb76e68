"""Explanations: why a packet passes or not, and what in the policies is to no effect.

Everything is answered from the table that the kernel has and from the groups it was made of; nothing is judged a second
time. What the rules say one by one and what the table says as a whole agree, and tests hold it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from netloom.model.address import Address
from netloom.model.identity import IdentityId
from netloom.model.policy import Origin, PolicyName
from netloom.policy.ports import NamedPorts, Service, exactly, holds
from netloom.policy.repository import Repository
from netloom.policy.resolve import Clause, ResolvedEntry, ResolvedRule
from netloom.policy.selection import has_policy
from netloom.policy.table import (
    ALLOW,
    ANY_PEER,
    AUDIT_ALLOW,
    AUDIT_DENY,
    DENY,
    Decision,
    Direction,
    DirectionTable,
    PolicyTable,
    Remote,
    Source,
    Sources,
    Verdict,
    source_order,
    together,
)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a packet."""

    identity: IdentityId
    address: Address | None = None
    """Without it, no CIDR prefix holds this end."""


@dataclass(frozen=True, slots=True)
class EntryTrace:
    """One entry of a rule, before one packet."""

    source: Source
    """Its ``effect`` says whether it allows or denies."""
    has_clauses: bool
    """Whether it names a peer and a service at all."""
    peer: bool
    service: bool
    matches: bool

    @property
    def why(self) -> str:
        """In words."""
        if self.matches:
            return "matches"
        if not self.has_clauses:
            return "names no peer or no service"
        if not self.peer and not self.service:
            return "is about other peers and other services"
        if not self.peer:
            return "is about other peers"
        return "is about other services" if not self.service else "is about this service of other peers"


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """A rule that selects the subject."""

    policy: PolicyName
    audit: bool
    origin: Origin
    description: str
    isolates: bool
    entries: tuple[EntryTrace, ...]
    """Those that allow, then those that deny, as they were written."""


@dataclass(frozen=True, slots=True)
class SideTrace:
    """A packet at one end that has a table."""

    direction: Direction
    subject: IdentityId
    remote: Remote
    rules: tuple[RuleTrace, ...]
    decision: Decision


@dataclass(frozen=True, slots=True)
class Trace:
    """A packet at both its ends; None where the end is no endpoint, and nothing there judges it."""

    egress: SideTrace | None
    ingress: SideTrace | None

    @property
    def verdict(self) -> Verdict:
        """What becomes of it in the end."""
        return together(*(side.decision.verdict for side in (self.egress, self.ingress) if side))


@dataclass(frozen=True, slots=True)
class Blame:
    """Who is the cause of a verdict."""

    verdict: Verdict
    sources: tuple[Source, ...]
    """Entries that deny; or, by default, all rules that isolate, since each alone would."""

    @property
    def policies(self) -> tuple[PolicyName, ...]:
        """Their policies, each once."""
        return tuple(sorted({source.policy for source in self.sources if source.policy is not None}))


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that is to no effect."""

    policy: PolicyName
    origin: Origin
    text: str
    by: tuple[PolicyName, ...] = ()
    """Policies that are the cause."""


def trace(repository: Repository, source: End, destination: End, service: tuple[int, int]) -> Trace:
    """A packet of a protocol and port (ICMP: type): out of its source if that is an endpoint, into its destination."""
    return Trace(
        _side(repository, Direction.EGRESS, source, destination, service),
        _side(repository, Direction.INGRESS, destination, source, service),
    )


def explain_drop(table: PolicyTable, direction: Direction, remote: Remote, service: tuple[int, int]) -> Blame:
    """Who denies a packet, or would; nobody when it passes without a word."""
    decision = table.decide(direction, remote, *service)
    match decision.verdict:
        case Verdict.DENIED_BY_DEFAULT:
            sources = isolating(table.of(direction).isolating, DENY)
        case Verdict.AUDITED_BY_DEFAULT:
            sources = isolating(table.of(direction).isolating, AUDIT_DENY)
        case Verdict.ALLOWED | Verdict.REDIRECTED:
            sources = ()
        case _:
            sources = decision.sources
    return Blame(decision.verdict, sources)


def advice(repository: Repository, only: Collection[PolicyName] | None = None) -> tuple[Advice, ...]:
    """Policies that select nobody who is known, and entries that other policies' denials leave nothing of.

    ``only``: the policies to say it of; None for all.
    """
    found: list[Advice] = []
    names = [policy.name for policy in repository.policies if only is None or policy.name in only]
    for name in names:
        rules = repository.rules_in(name)
        if not any(rule.subject.members for rule in rules):
            found.append(Advice(name, rules[0].rule.origin if rules else Origin("", 0, ""), _NOBODY))
    shadows = _Shadows(repository)
    for rule in (rule for name in names for rule in repository.rules_in(name)):
        for direction in Direction:
            for entry in rule.of(direction).entries:
                by = shadows.over(rule, direction, entry)
                if by:
                    found.append(Advice(rule.policy.name, entry.source.origin, _SHADOWED, by))
    return tuple(found)


_NOBODY = "the policy selects no identity that is known"
_SHADOWED = "the entry allows nothing: other policies deny all of it"


def _side(
    repository: Repository, direction: Direction, subject: End, peer: End, service: tuple[int, int]
) -> SideTrace | None:
    if not has_policy(repository.labels_of(subject.identity)):
        return None
    remote = repository.remote(peer.identity, peer.address)
    names = repository.names_of(peer.identity if direction else subject.identity)
    rules = tuple(
        RuleTrace(
            rule.policy.name,
            rule.policy.audit,
            rule.rule.origin,
            rule.rule.description,
            bool(rule.of(direction).isolating),
            tuple(_entry(entry, remote, exactly(*service), names) for entry in rule.of(direction).entries),
        )
        for rule in repository.rules_of(subject.identity)
    )
    decision = repository.table(subject.identity).decide(direction, remote, *service)
    return SideTrace(direction, subject.identity, remote, rules, decision)


def _entry(entry: ResolvedEntry, remote: Remote, packet: Service, names: NamedPorts) -> EntryTrace:
    peers = [not clause.group.members.isdisjoint(remote.peers) for clause in entry.clauses]
    services = [any(holds(one, packet) for one in clause.services_at(names)) for clause in entry.clauses]
    both = any(peer and service for peer, service in zip(peers, services, strict=True))
    return EntryTrace(entry.source, bool(entry.clauses), any(peers), any(services), both)


@lru_cache(maxsize=1024)
def isolating(sources: Sources, effect: int) -> tuple[Source, ...]:
    """Those that isolate with an effect, sorted. Cached: packets are denied by the same ones over and over."""
    return tuple(sorted((source for source in sources if source.effect == effect), key=source_order))


class _Shadows:
    """Tables by subject, kept while one piece of advice after the other asks for them."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._tables: dict[int, PolicyTable] = {}

    def over(self, rule: ResolvedRule, direction: Direction, entry: ResolvedEntry) -> tuple[PolicyName, ...]:
        """Other policies that deny all an entry allows, for every subject and peer; none when something is left."""
        if entry.source.effect not in (ALLOW, AUDIT_ALLOW):
            return ()
        denying = DENY if entry.source.effect == ALLOW else DENY | AUDIT_DENY
        blamed: set[PolicyName] = set()
        for subject in rule.subject.members:
            one = self._table(subject).of(direction)
            for clause in entry.clauses:
                for peer, service in self._reach(clause, direction, subject):
                    by = _deniers(one, peer, service, denying)
                    if not by:
                        return ()
                    blamed |= by
        return tuple(sorted(blamed - {rule.policy.name}))

    def _table(self, subject: int) -> PolicyTable:
        if subject not in self._tables:
            self._tables[subject] = self._repository.table(IdentityId(subject))
        return self._tables[subject]

    def _reach(self, clause: Clause, direction: Direction, subject: int) -> Iterator[tuple[int, Service]]:
        for peer in clause.group.members:
            for service in clause.services_at(self._repository.names_of(peer if direction else subject)):
                yield peer, service


def _deniers(one: DirectionTable, peer: int, service: Service, denying: int) -> set[PolicyName]:
    """Policies that deny the whole service to a peer, by its own entries or by those of any peer."""
    found: set[PolicyName] = set()
    for key in {peer, ANY_PEER}:
        match = one.slices[key].match(service) if key in one.slices else None
        if match is not None and match[1].effects & denying:
            found |= {item.policy for item in match[1].sources if item.effect & denying and item.policy is not None}
    return found
