"""Which rules apply to a connection, and what they say of a request. Pure.

Whatever cannot be read closes: an entry of a protocol nobody speaks, or with a rule its plugin does not understand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal

from netloom.model.address import Address, Network, parse_network
from netloom.model.identity import Reserved
from netloom.model.l7 import L7Entry, L7Prefix, L7Rule, L7Table
from netloom.model.l7_messages import Tables
from netloom.plugins.l7.rules import read_rule
from netloom.plugins.protocols import L7Protocol

WORLD: Final = frozenset({Reserved.WORLD, Reserved.WORLD_IPV4, Reserved.WORLD_IPV6})
"""Identities of addresses that no endpoint and no node has."""
RULES_KEPT: Final = 4096
PAIRS_KEPT: Final = 4096
"""Of ends, for which what applies is known."""
REQUESTS_KEPT: Final = 64
"""Of what applies to some ends: parsers give one request many times, where one comes again and again."""
Judgement = Literal["allowed", "denied", "audited"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Who talks to whom; the source began."""

    source: Address
    source_port: int
    source_identity: int
    destination: Address
    destination_port: int
    destination_identity: int
    told: bytes = b""
    """As in each line of the access log."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be asked."""

    holds: Callable[[Any], bool]
    given: Any
    """An instance of the protocol's rule type."""
    said: L7Rule


class Judged:
    """What becomes of a request."""

    __slots__ = ("_applied", "_rules", "request", "rule", "told", "verdict")

    def __init__(self, applied: Applied, request: Any) -> None:
        self.request = request
        self.verdict, self.rule = applied.judge(request)
        self._applied = applied
        self._rules: tuple[Any, ...] | None = None
        self.told = b""
        """As in each line of the access log; made with the first."""

    @property
    def rules(self) -> tuple[Any, ...]:
        """Those that hold for it, as policies give them."""
        if self._rules is None:
            self._rules = self._applied.holding(self.request)
        return self._rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What applies to one connection, and to others of the same ends."""

    protocol: str
    """Name of the one that all entries are of."""
    denies: tuple[Rule, ...] = ()
    allows: tuple[tuple[Rule, ...], ...] = ()
    """Of each direction that is asked: one must hold. Where every request may go on, a direction is not among them."""
    direction: str = ""
    """As in :class:`~netloom.model.l7_messages.Access`."""
    problem: str = ""
    """Why no request may go on."""
    wished: Applied | None = None
    """The same with what audit policies say, where they say anything."""
    _known: dict[int, Judged] = field(init=False, repr=False, compare=False, default_factory=dict)
    """By the request's ``id()``: it is kept with what was said of it, so no other can have that."""

    def judged(self, request: Any) -> Judged:
        """What becomes of it: asked once of a request that comes again, which never changes."""
        found = self._known.get(id(request))
        if found is None:
            found = Judged(self, request)
            if len(self._known) >= REQUESTS_KEPT:
                self._known.clear()
            self._known[id(request)] = found
        return found

    def judge(self, request: Any) -> tuple[Judgement, Rule | None]:
        """What becomes of it, and the rule that decided; whatever a matcher raises comes through.

        As :func:`netloom.policy.l7_verdicts.decide` at each end that is asked, made for speed.
        """
        may, rule = self._may(request)
        if not may:
            return "denied", rule
        if self.wished is not None:
            wished, denying = self.wished._may(request)  # noqa: SLF001 - its own kind
            if not wished:
                return "audited", denying
        return "allowed", rule

    def _may(self, request: Any) -> tuple[bool, Rule | None]:
        for rule in self.denies:
            if rule.holds(request):
                return False, rule
        decisive = None
        for allows in self.allows:
            for rule in allows:
                if rule.holds(request):
                    decisive = rule
                    break
            else:
                return False, None
        return True, decisive

    def holding(self, request: Any) -> tuple[Any, ...]:
        """The rules that hold for it, as policies give them."""
        every = (*self.denies, *(rule for allows in self.allows for rule in allows))
        return tuple(rule.given for rule in every if rule.holds(request))


@dataclass(frozen=True, slots=True)
class _Prefix:
    network: Network
    excepts: tuple[Network, ...]
    with_endpoints: bool

    def has(self, address: Address, identity: int) -> bool:
        if not self.with_endpoints and identity not in WORLD:
            return False
        return address in self.network and not any(address in one for one in self.excepts)


@dataclass(frozen=True, slots=True)
class _Entry:
    protocol: str
    peers: frozenset[int] | None
    prefixes: tuple[_Prefix, ...]
    ports: tuple[tuple[int, int], ...]
    denies: tuple[Rule, ...] = ()
    allows: tuple[Rule, ...] | None = None
    """None: every request may go on."""
    audit: bool = False
    default: bool = False
    problem: str = ""

    def fits(self, address: Address, identity: int, port: int) -> bool:
        if not any(first <= port <= last for first, last in self.ports):
            return False
        if self.peers is None or identity in self.peers:
            return True
        return any(prefix.has(address, identity) for prefix in self.prefixes)


@dataclass(frozen=True, slots=True)
class _Table:
    ingress: tuple[_Entry, ...] = ()
    egress: tuple[_Entry, ...] = ()


_NOTHING: Final = _Table()


class Rulebook:
    """The tables at work. Changed between two events of connections, so each request meets one state of them."""

    def __init__(self, protocols: Mapping[str, L7Protocol]) -> None:
        """``protocols`` by name."""
        self._protocols = protocols
        self._tables: dict[int, _Table] = {}
        self._applying: dict[tuple[Any, ...], Applied | None] = {}
        self._read = lru_cache(maxsize=RULES_KEPT)(self._read_rule)
        self.revision = 0
        """Of the last change; 0 before the first."""
        self.changes = 0
        """How many there were: whoever keeps what applied asks again when this has another value."""

    def put(self, change: Tables) -> tuple[str, ...]:
        """Take tables over; sentences about what cannot be read."""
        read = {table.subject: self._table(table) for table in change.tables}
        kept = {} if change.whole else {key: old for key, old in self._tables.items() if key not in change.gone}
        self._tables = kept | read
        self._applying = {}
        self.revision = change.revision
        self.changes += 1
        entries = (entry for table in read.values() for entry in (*table.ingress, *table.egress))
        return tuple(sorted({entry.problem for entry in entries if entry.problem}))

    def applying(self, ends: Ends) -> Applied | None:
        """What applies now; None when no entry does."""
        key = (ends.source, ends.source_identity, ends.destination, ends.destination_identity, ends.destination_port)
        try:
            return self._applying[key]
        except KeyError:
            pass
        if len(self._applying) >= PAIRS_KEPT:
            self._applying.clear()
        found = self._applying[key] = self._found(ends)
        return found

    def _found(self, ends: Ends) -> Applied | None:
        port = ends.destination_port
        egress = self._tables.get(ends.source_identity, _NOTHING).egress
        ingress = self._tables.get(ends.destination_identity, _NOTHING).ingress
        by_source = [one for one in egress if one.fits(ends.destination, ends.destination_identity, port)]
        by_destination = [one for one in ingress if one.fits(ends.source, ends.source_identity, port)]
        asked = [entries for entries in (by_source, by_destination) if entries]
        if not asked:
            return None
        direction = "both" if len(asked) == 2 else "egress" if by_source else "ingress"
        return _applied(asked, direction)

    def _table(self, table: L7Table) -> _Table:
        return _Table(tuple(map(self._entry, table.ingress)), tuple(map(self._entry, table.egress)))

    def _entry(self, entry: L7Entry) -> _Entry:
        peers = None if entry.peers is None else frozenset(entry.peers)
        prefixes = tuple(map(_prefix, entry.prefixes))
        if entry.protocol not in self._protocols:
            problem = f'no installed plugin speaks "{entry.protocol}", so nobody may at ports {_ranges(entry.ports)}'
            return _Entry(entry.protocol, peers, prefixes, entry.ports, problem=problem)
        try:
            rules = [self._read(entry.protocol, rule) for rule in entry.rules]
        except Exception as error:  # noqa: BLE001 - a plugin's code: whatever it raises, the rule cannot be enforced
            problem = f'a rule of "{entry.protocol}" cannot be read: {error}'
            return _Entry(entry.protocol, peers, prefixes, entry.ports, problem=problem)
        denies = tuple(rule for rule in rules if rule.said.denies)
        allows = tuple(rule for rule in rules if not rule.said.denies) if rules else None
        return _Entry(entry.protocol, peers, prefixes, entry.ports, denies, allows, entry.audit, entry.default)

    def _read_rule(self, name: str, rule: L7Rule) -> Rule:
        protocol = self._protocols[name]
        given = read_rule(protocol, rule.rule)
        return Rule(protocol.matcher(given), given, rule)


def _applied(asked: list[list[_Entry]], direction: str) -> Applied:
    every = [entry for entries in asked for entry in entries]
    names = sorted({entry.protocol for entry in every})
    problem = next((entry.problem for entry in every if entry.problem), "")
    if len(names) > 1:
        problem = problem or f"policies want it judged as {' and as '.join(names)} at once"
    if problem:
        return Applied(protocol=names[0], allows=((),), direction=direction, problem=problem)
    in_force = [[entry for entry in entries if not entry.audit] for entries in asked]
    applied = _made(names[0], in_force, direction)
    return applied if in_force == asked else replace(applied, wished=_made(names[0], asked, direction))


def _made(protocol: str, asked: list[list[_Entry]], direction: str) -> Applied:
    denies = tuple(rule for entries in asked for entry in entries for rule in entry.denies)
    return Applied(protocol=protocol, denies=denies, allows=tuple(_allowing(asked)), direction=direction)


def _allowing(asked: Iterable[list[_Entry]]) -> Iterator[tuple[Rule, ...]]:
    """What is allowed because nothing isolates counts where nothing else allows anything."""
    for entries in asked:
        found = [entry for entry in entries if entry.allows is None or entry.allows]
        allows = [entry.allows for entry in [entry for entry in found if not entry.default] or found]
        if None not in allows:
            yield tuple(rule for rules in allows for rule in rules or ())


def _prefix(prefix: L7Prefix) -> _Prefix:
    excepts = tuple(map(parse_network, prefix.excepts))
    return _Prefix(parse_network(prefix.network), excepts, prefix.with_endpoints)


def _ranges(ports: Iterable[tuple[int, int]]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
