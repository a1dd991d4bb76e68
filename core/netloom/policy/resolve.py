"""From entries of policies to slices of tables.

An entry becomes *clauses*: one for each group its peers are, and for each of these one for plain services and one
for ports that have names. What a subject's table holds for a peer is a function of the clauses that concern both,
of the names of ports at one end, and of nothing else: :func:`slice_of`.

**Named ports** belong to the end that is connected to: on ingress to the subject, on egress to each peer. An egress
entry with a name is therefore resolved for each identity on its own, also where its peer is anybody. Addresses have
no names of ports: a name towards a CIDR peer stands for nothing, also where endpoints have such addresses, because
a key cannot hold an identity and a prefix at once. Nothing is thereby allowed that was not written.

**World by family.** ``world-ipv4`` is ``0.0.0.0/0`` without endpoints, ``world-ipv6`` is ``::/0``: a lookup of
addresses knows the family, an identity of the world does not. For the same reason a CIDR peer of everything needs
no entry for the world's identity: once its prefix has a number, each address of the family has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from netloom.model.policy import (
    CidrPeer,
    EndpointPeer,
    Entity,
    Entry,
    Icmp,
    Origin,
    Peer,
    Policy,
    PolicyName,
    Ports,
    Requests,
    Rule,
    Section,
)
from netloom.policy.cidrs import ALL_IPV4, ALL_IPV6
from netloom.policy.ports import ANY_SERVICE, NamedPorts, Service, named_services, plain_services, wider
from netloom.policy.selection import Criterion, Group
from netloom.policy.table import (
    ALLOW,
    AUDIT_ALLOW,
    AUDIT_DENY,
    DENY,
    INSPECT,
    REDIRECT,
    WATCH,
    Direction,
    PolicyEntry,
    Slice,
    Source,
    Sources,
)

Acquire = Callable[[Criterion | CidrPeer | None], Group]


@dataclass(frozen=True, slots=True)
class Asked:
    """What an entry says of requests."""

    requests: Requests
    policy: PolicyName | None
    denies: bool
    audit: bool


@dataclass(slots=True, eq=False)
class Clause:
    """One group of an entry's peers with some of its services. Compared as an object."""

    group: Group
    effect: int
    sources: Sources
    """One, as the set that is merged with others'."""
    services: frozenset[Service]
    named: tuple[Ports, ...] = ()
    """When there are any, ``services`` is empty."""
    asked: Asked | None = None
    """What is said of requests over these services; None: it is about packets."""

    def services_at(self, names: NamedPorts) -> frozenset[Service]:
        """Its services, given the names of ports where they belong."""
        return named_services(self.named, names) if self.named else self.services


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedEntry:
    """An entry with its clauses."""

    entry: Entry
    source: Source
    """Whose effect says whether it allows or denies, be it packets or requests."""
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedSection:
    """One direction of a rule."""

    isolating: Sources
    """One or none."""
    entries: tuple[ResolvedEntry, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedRule:
    """A rule of a policy that stands. Compared as an object."""

    policy: Policy
    index: int
    """Its place in the policy."""
    rule: Rule
    subject: Group
    ingress: ResolvedSection
    egress: ResolvedSection

    def of(self, direction: Direction) -> ResolvedSection:
        """One of the two directions."""
        return self.egress if direction else self.ingress

    def clauses(self, direction: Direction) -> Iterator[Clause]:
        """All clauses of a direction."""
        for entry in self.of(direction).entries:
            yield from entry.clauses

    def groups(self) -> Iterator[Group]:
        """Every group it holds, as often as it was acquired."""
        yield self.subject
        for direction in Direction:
            for clause in self.clauses(direction):
                yield clause.group


def resolve(policy: Policy, acquire: Acquire) -> tuple[ResolvedRule, ...]:
    """The rules of a policy, with groups acquired."""
    return tuple(
        ResolvedRule(
            policy,
            index,
            rule,
            acquire(rule.subject),
            _section(policy, rule.ingress, rule.origin, Direction.INGRESS, acquire),
            _section(policy, rule.egress, rule.origin, Direction.EGRESS, acquire),
        )
        for index, rule in enumerate(policy.rules)
    )


def _section(
    policy: Policy, section: Section, origin: Origin, direction: Direction, acquire: Acquire
) -> ResolvedSection:
    denies, allows = (AUDIT_DENY, AUDIT_ALLOW) if policy.audit else (DENY, ALLOW)
    effects = [(allows, entry) for entry in section.allow or ()] + [(denies, entry) for entry in section.deny or ()]
    entries = tuple(
        ResolvedEntry(entry, source, tuple(_clauses(entry, source, direction, acquire)))
        for effect, entry in effects
        for source in (Source(policy.name, entry.origin, effect),)
    )
    isolating = frozenset({Source(policy.name, origin, denies)} if section.isolates else ())
    return ResolvedSection(isolating, entries)


_OF_REQUESTS: Final[Mapping[int, tuple[int, ...]]] = {
    ALLOW: (REDIRECT,),
    DENY: (INSPECT,),
    AUDIT_ALLOW: (AUDIT_ALLOW, WATCH),
    AUDIT_DENY: (WATCH,),
}
"""Effects of an entry about requests, by that of one about packets. A denial of requests denies no packet."""


def _clauses(entry: Entry, source: Source, direction: Direction, acquire: Acquire) -> Iterator[Clause]:
    yield from _of_services(entry, entry.services, source, direction, acquire)
    for requests in entry.requests:
        denies, audit = source.effect in (DENY, AUDIT_DENY), source.effect in (AUDIT_ALLOW, AUDIT_DENY)
        asked = Asked(requests, source.policy, denies, audit)
        for effect in _OF_REQUESTS[source.effect]:
            one = replace(source, effect=effect)
            for clause in _of_services(entry, requests.services, one, direction, acquire):
                clause.asked = asked
                yield clause


def _of_services(
    entry: Entry, services: Iterable[Ports | Icmp] | None, source: Source, direction: Direction, acquire: Acquire
) -> Iterator[Clause]:
    sources = frozenset((source,))
    plain = plain_services(services)
    if plain:
        for criterion in _criteria(entry.peers):
            yield Clause(acquire(criterion), source.effect, sources, plain)
    named = tuple(item for item in services or () if isinstance(item, Ports) and item.name)
    if named:
        for criterion in _criteria(entry.peers):
            if direction is Direction.INGRESS:
                yield Clause(acquire(criterion), source.effect, sources, frozenset(), named)
            elif not isinstance(criterion, CidrPeer):
                group = acquire(Entity.ALL if criterion is None else criterion)
                yield Clause(group, source.effect, sources, frozenset(), named)


def _criteria(peers: tuple[Peer, ...] | None) -> dict[Criterion | CidrPeer | None, None]:
    """What peers are looked up as; None stands for any peer."""
    if peers is None:
        return {None: None}
    return {criterion: None for peer in peers for criterion in _criteria_of(peer)}


def _criteria_of(peer: Peer) -> tuple[Criterion | CidrPeer | None, ...]:
    if isinstance(peer, EndpointPeer):
        return (peer.selector,)
    if isinstance(peer, CidrPeer):
        return (peer,)
    return _SPECIAL.get(peer.entity, (peer.entity,))


_SPECIAL: Final[Mapping[Entity, tuple[Criterion | CidrPeer | None, ...]]] = {
    Entity.ALL: (None,),
    Entity.NONE: (),
    Entity.WORLD_IPV4: (Entity.WORLD_IPV4, CidrPeer(ALL_IPV4)),
    Entity.WORLD_IPV6: (Entity.WORLD_IPV6, CidrPeer(ALL_IPV6)),
}


def slice_of(clauses: Iterable[Clause], names: NamedPorts) -> Slice:
    """What clauses say together, in normal form."""
    said: dict[Service, tuple[int, Sources]] = {}
    for clause in clauses:
        for service in clause.services_at(names):
            known = said.get(service)
            said[service] = (
                (known[0] | clause.effect, known[1] | clause.sources) if known else (clause.effect, clause.sources)
            )
    if len(said) == 1 and ANY_SERVICE in said:
        return Slice({ANY_SERVICE: _entry(*said[ANY_SERVICE])})
    return Slice(_normal(said))


def _normal(said: dict[Service, tuple[int, Sources]]) -> dict[Service, PolicyEntry]:
    """Adds to each service what wider ones say, widest first; leaves out what thereby says nothing of its own."""
    path: dict[Service, tuple[int, Sources, PolicyEntry]] = {}
    entries: dict[Service, PolicyEntry] = {}
    for service, around in _nested(frozenset(said)):
        effects, sources = said[service]
        wide = None
        if around is not None:
            more, others, wide = path[around]
            effects, sources = effects | more, sources | others
        entry = _entry(effects, sources)
        path[service] = effects, sources, entry
        if entry != wide:
            entries[service] = entry
    return entries


@lru_cache(maxsize=4096)
def _nested(services: frozenset[Service]) -> tuple[tuple[Service, Service | None], ...]:
    """Each with the narrowest one around it, widest first. Cached: many peers have the same few services."""
    lengths = sorted({service.bits for service in services}, reverse=True)
    return tuple(
        (
            service,
            next((one for bits in lengths if bits < service.bits and (one := wider(service, bits)) in services), None),
        )
        for service in sorted(services, key=lambda service: service.bits)
    )


def _entry(effects: int, sources: Sources) -> PolicyEntry:
    """A value in normal form, with the sources of what is left."""
    kept = _kept(effects)
    if kept == effects:
        return PolicyEntry(effects, sources)
    return PolicyEntry(kept, frozenset(source for source in sources if source.effect & kept))


@lru_cache(maxsize=128)
def _kept(effects: int) -> int:
    """Those that can matter; ``table.py`` says why."""
    if effects & DENY:
        return DENY
    allows = effects & ALLOW or effects & REDIRECT
    denies = effects & AUDIT_DENY
    spares = 0 if allows or denies else effects & AUDIT_ALLOW
    return allows | denies | spares | (effects & INSPECT or effects & WATCH)
