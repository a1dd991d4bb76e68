"""Tables: what one subject identity may send and receive, in the form in which the kernel looks it up.

**Key.** ``(peer u32, direction u8, protocol u8, port u16)``, the last in network order, in a longest-prefix trie: the
first 40 bits always count, then none, 8 or up to 24 of the :class:`~netloom.policy.ports.Service`. A *peer* is

* an identity number: remotes of that identity;
* 0: any remote;
* the number *c* of a CIDR prefix (bit 24, see ``cidrs.py``): remotes of the world whose most specific prefix is *c*;
* *c* with ENDPOINTS (bit 31): endpoints and nodes whose most specific prefix is *c*.

**Lookup.** A remote is its identity and the number of its prefix, 0 for none. At most three lookups decide: its
identity, any remote, its prefix; the last with ENDPOINTS unless the identity is one of the world's. An entry's
value is a set of *effects*, and the verdict is a function of the union of what was found and of how the direction
is isolated::

    DENY                                                          denied
    no ALLOW, no REDIRECT, and an enforced policy isolates        denied by default
    AUDIT_DENY                                                    passes, would be denied
    no ALLOW, REDIRECT or AUDIT_ALLOW, and an audit policy isolates   passes, would be denied by default
    otherwise                                                     passes

**Requests.** What passes goes by way of the proxy if :func:`goes_by_proxy` says so of the same union, whatever the
verdict is and whoever isolates::

    INSPECT                    by the proxy: some requests are denied, whoever allows the packets
    REDIRECT without ALLOW     by the proxy: it allows some requests; a plain allow of packets leaves nothing to ask
    WATCH                      by the proxy, if it is there: it tells of requests and denies none
    otherwise                  straight on

Without a proxy the first two are closed, and WATCH is passed over (:func:`needs_proxy`): an audit policy, and the wish
to see requests, deny nothing. A packet that passes without a word and goes by the proxy is REDIRECTED.

**The law of audit.** A packet passes exactly if it would pass were there no audit policies at all; and among those that
pass, it reports exactly those that would be denied were they all enforced. So an audit policy neither takes from nor
adds to what is enforced: its allowing entries only spare packets its own kind's denials by default.

**Normal form.** A longest match returns one entry alone, so each entry carries what all wider entries of its peer
say too: its effects are the union along the trie's path. An allowing entry below a denying one thereby denies, and
need not be written. Of a union only what can matter is kept: DENY alone; or one of ALLOW and REDIRECT at most, with
AUDIT_DENY if it is there; without these AUDIT_ALLOW if it is there, which any of the three makes idle; and one of
INSPECT and WATCH at most. So equal meaning is equal value, whatever was merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from netloom.model.identity import Reserved
from netloom.model.policy import Origin, PolicyName
from netloom.policy.ports import PROTOCOL_BITS, Service, exactly, wider

DENY: Final = 1
ALLOW: Final = 2
AUDIT_DENY: Final = 4
AUDIT_ALLOW: Final = 8
REDIRECT: Final = 16
INSPECT: Final = 32
WATCH: Final = 64
"""Effects. AUDIT_DENY, AUDIT_ALLOW and WATCH are of audit policies, WATCH also of endpoints whose requests somebody
wants to see; the others of enforced policies. Plain numbers: they are merged a lot."""
ALLOWS: Final = ALLOW | REDIRECT
"""Effects of which one lets packets into a direction that an enforced policy isolates."""
ANY_ALLOW: Final = ALLOWS | AUDIT_ALLOW
BY_PROXY: Final = REDIRECT | INSPECT | WATCH
"""Effects of what policies say of requests."""

ANY_PEER: Final = 0
ENDPOINTS: Final = 1 << 31
"""In the peer of a key, with the number of a prefix: for its endpoints and nodes, not for the world."""
WORLD: Final = frozenset({Reserved.WORLD, Reserved.WORLD_IPV4, Reserved.WORLD_IPV6})
"""Identities of remotes that are neither endpoints nor nodes."""
STATIC_BITS: Final = 40
"""Peer and direction, which count in every key."""


class Direction(IntEnum):
    """Seen from the subject; the numbers stand in keys."""

    INGRESS = 0
    EGRESS = 1


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Who gave an entry one of its effects."""

    policy: PolicyName | None
    """None: the agent's own setting that its node always reaches its pods."""
    origin: Origin
    effect: int


Sources = frozenset[Source]


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """Value of a table."""

    effects: int
    sources: Sources
    """All that have one of these effects here, by this service or a wider one."""


class PolicyKey(NamedTuple):
    """Key of a table, in the order of its bytes."""

    prefix_bits: int
    """40 to 64."""
    peer: int
    direction: Direction
    protocol: int
    port: int


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Slice:
    """Entries of one peer in one direction, in normal form. Tables share slices that are alike."""

    entries: Mapping[Service, PolicyEntry]

    def match(self, wanted: Service) -> tuple[Service, PolicyEntry] | None:
        """The longest match, as a trie finds it."""
        for bits in (*range(wanted.bits, PROTOCOL_BITS - 1, -1), 0):
            service = wider(wanted, bits)
            entry = self.entries.get(service)
            if entry is not None:
                return service, entry
        return None


class Isolation(StrEnum):
    """What happens to packets of a direction that nothing allows."""

    NONE = "none"
    """They pass."""
    AUDITED = "audited"
    """They pass and are reported."""
    ENFORCED = "enforced"
    """They are dropped."""


@lru_cache(maxsize=1024)
def policies_of(sources: Sources) -> tuple[PolicyName, ...]:
    """Policies of some sources, each once, sorted. Cached: every decision of a table asks for the same ones."""
    return tuple(sorted({source.policy for source in sources if source.policy is not None}))


@dataclass(frozen=True, slots=True)
class DirectionTable:
    """One direction of a table."""

    isolating: Sources = frozenset()
    """Rules that isolate, each with the effect of its default: DENY or AUDIT_DENY."""
    slices: Mapping[int, Slice] = field(default_factory=dict)
    """By peer; none is empty."""

    @property
    def isolation(self) -> Isolation:
        """Enforced as soon as one rule that isolates is."""
        if any(source.effect == DENY for source in self.isolating):
            return Isolation.ENFORCED
        return Isolation.AUDITED if self.isolating else Isolation.NONE

    @property
    def isolated_by(self) -> tuple[PolicyName, ...]:
        """The policies of the rules that isolate, sorted."""
        return policies_of(self.isolating)


@dataclass(frozen=True, slots=True)
class Remote:
    """The other end of a packet, as the data path knows it."""

    identity: int
    """WORLD when nobody is known at its address."""
    prefix: int = 0
    """Number of the most specific CIDR prefix that holds its address; 0: none does."""

    @property
    def peers(self) -> tuple[int, ...]:
        """The peers of the keys to look up."""
        if not self.prefix:
            return (self.identity, ANY_PEER)
        return (self.identity, ANY_PEER, self.prefix if self.identity in WORLD else self.prefix | ENDPOINTS)


class Verdict(StrEnum):
    """What becomes of a packet."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """By an entry."""
    DENIED_BY_DEFAULT = "denied by default"
    """Its direction is isolated, and nothing allows it."""
    AUDITED = "audited"
    """It passes; an audit policy's entry would deny it."""
    AUDITED_BY_DEFAULT = "audited by default"
    """It passes; an audit policy isolates, and nothing allows it."""
    REDIRECTED = "redirected"
    """It passes by way of the proxy, which judges its requests."""

    @property
    def passes(self) -> bool:
        """Whether the packet gets through."""
        return self not in (Verdict.DENIED, Verdict.DENIED_BY_DEFAULT)

    @property
    def is_audited(self) -> bool:
        """Whether it passes only because who would deny it is an audit policy."""
        return self in (Verdict.AUDITED, Verdict.AUDITED_BY_DEFAULT)


def together(*verdicts: Verdict) -> Verdict:
    """What becomes of a packet that several ends judge: who denies decides, else who would deny, else who redirects."""
    denying = (one for one in verdicts if not one.passes)
    auditing = (one for one in verdicts if one.is_audited)
    redirecting = (one for one in verdicts if one is not Verdict.ALLOWED)
    return next(denying, None) or next(auditing, None) or next(redirecting, Verdict.ALLOWED)


def judge(effects: int, isolation: Isolation) -> Verdict:
    """The verdict of a union of effects."""
    if effects & DENY:
        return Verdict.DENIED
    if isolation is Isolation.ENFORCED and not effects & ALLOWS:
        return Verdict.DENIED_BY_DEFAULT
    if effects & AUDIT_DENY:
        return Verdict.AUDITED
    if isolation is Isolation.AUDITED and not effects & ANY_ALLOW:
        return Verdict.AUDITED_BY_DEFAULT
    return Verdict.REDIRECTED if goes_by_proxy(effects) else Verdict.ALLOWED


def needs_proxy(effects: int) -> bool:
    """Whether what passes with these effects must not go on unless the proxy takes it."""
    return bool(effects & INSPECT) or effects & ALLOWS == REDIRECT


def goes_by_proxy(effects: int) -> bool:
    """Whether what passes with these effects goes by way of the proxy, if it is there."""
    return needs_proxy(effects) or bool(effects & WATCH)


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with what led to it."""

    verdict: Verdict
    matches: Mapping[PolicyKey, PolicyEntry]
    """What each lookup found, at most one for each."""
    isolated_by: tuple[PolicyName, ...]
    by_proxy: bool = False
    """Whether it goes by way of the proxy, if it passes."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """Entries of policies that decided, sorted; none when it was by default or when nothing isolates."""
        wanted = {
            Verdict.DENIED: DENY,
            Verdict.AUDITED: AUDIT_DENY,
            Verdict.ALLOWED: ALLOW | AUDIT_ALLOW,
            Verdict.REDIRECTED: ANY_ALLOW | BY_PROXY,
        }.get(self.verdict, 0)
        found = {source for entry in self.matches.values() for source in entry.sources if source.effect & wanted}
        return tuple(sorted(found, key=source_order))


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """All that is said of one subject identity."""

    ingress: DirectionTable = DirectionTable()
    egress: DirectionTable = DirectionTable()

    def of(self, direction: Direction) -> DirectionTable:
        """One of the two directions."""
        return self.egress if direction else self.ingress

    def entries(self) -> Iterator[tuple[PolicyKey, PolicyEntry]]:
        """Everything to write to the kernel, but for the two isolations."""
        for direction in Direction:
            for peer, one in self.of(direction).slices.items():
                for service, entry in one.entries.items():
                    yield key_of(peer, direction, service), entry

    def effects_for(self, key: PolicyKey) -> int:
        """Effects of the longest match of a key; 0 without one."""
        one = self.of(key.direction).slices.get(key.peer)
        found = one.match(service_of(key)) if one else None
        return found[1].effects if found else 0

    def decide(self, direction: Direction, remote: Remote, protocol: int, port: int) -> Decision:
        """What the kernel does with a packet, by the same lookups."""
        one = self.of(direction)
        packet = exactly(protocol, port)
        matches: dict[PolicyKey, PolicyEntry] = {}
        effects = 0
        for peer in remote.peers:
            found = one.slices[peer].match(packet) if peer in one.slices else None
            if found is not None:
                matches[key_of(peer, direction, found[0])] = found[1]
                effects |= found[1].effects
        return Decision(judge(effects, one.isolation), matches, one.isolated_by, goes_by_proxy(effects))


def key_of(peer: int, direction: Direction, service: Service) -> PolicyKey:
    """The key of a service of a peer."""
    return PolicyKey(STATIC_BITS + service.bits, peer, direction, service.protocol, service.port)


def service_of(key: PolicyKey) -> Service:
    """The service of a key."""
    return Service(key.protocol, key.port, key.prefix_bits - STATIC_BITS)


def source_order(source: Source) -> tuple[bool, str, Origin, int]:
    """The agent's own first."""
    return source.policy is not None, str(source.policy), source.origin, source.effect


@dataclass(frozen=True, slots=True)
class TableChange:
    """What separates two tables in the kernel; an entry whose sources alone differ is none."""

    upserts: Mapping[PolicyKey, int]
    """Effects."""
    deletes: frozenset[PolicyKey]
    growth: int = 0
    """How many entries more the new table has; it may be negative."""


def difference(old: PolicyTable, new: PolicyTable) -> TableChange:
    """Steps from one table to another; slices that they share cost next to nothing."""
    upserts: dict[PolicyKey, int] = {}
    deletes: set[PolicyKey] = set()
    growth = 0
    for direction in Direction:
        before, after = old.of(direction).slices, new.of(direction).slices
        touched = [peer for peer, now in after.items() if before.get(peer) is not now]
        for peer in (*touched, *(before.keys() - after.keys())):
            was, now = before.get(peer, _NOTHING), after.get(peer, _NOTHING)
            growth += len(now.entries) - len(was.entries)
            for service, entry in now.entries.items():
                known = was.entries.get(service)
                if known is None or known.effects != entry.effects:
                    upserts[key_of(peer, direction, service)] = entry.effects
            deletes |= {key_of(peer, direction, gone) for gone in was.entries.keys() - now.entries.keys()}
    return TableChange(upserts, frozenset(deletes), growth)


_NOTHING: Final = Slice({})
