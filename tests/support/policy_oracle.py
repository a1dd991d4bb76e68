"""Policies for tests: short ways to write them, and an evaluator that goes from what was written straight to a verdict.

The evaluator is slow and obvious: no tables, no groups, no prefixes. It goes through every rule of every policy for
each packet, twice: once as if there were no audit policies, once as if all were enforced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from netloom.model.address import Address, parse_network
from netloom.model.identity import IdentityId, Reserved
from netloom.model.labels import Labels, label_set
from netloom.model.policy import (
    CidrPeer,
    EndpointPeer,
    Entity,
    EntityPeer,
    Entry,
    Icmp,
    Operator,
    Origin,
    Peer,
    Policy,
    PolicyKind,
    PolicyName,
    Ports,
    Protocol,
    RequestRule,
    Requests,
    Requirement,
    Rule,
    Section,
    Selector,
)
from netloom.policy.ports import NamedPorts
from netloom.policy.table import Direction, Verdict

NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}
WORLD = (Reserved.WORLD, Reserved.WORLD_IPV4, Reserved.WORLD_IPV6)
IN_CLUSTER = (
    Reserved.HOST,
    Reserved.REMOTE_NODE,
    Reserved.INIT,
    Reserved.INGRESS,
    Reserved.HEALTH,
    Reserved.UNMANAGED,
    Reserved.KUBE_APISERVER,
)


# --- short ways to write ------------------------------------------------------------------------


def labels(*texts: str) -> Labels:
    return label_set(texts)


def select(**wanted: str) -> Selector:
    """Endpoints of all these ``k8s`` labels."""
    return Selector(tuple(Requirement("k8s", key, Operator.IN, (value,)) for key, value in sorted(wanted.items())))


def endpoints(**wanted: str) -> EndpointPeer:
    return EndpointPeer(select(**wanted))


def cidr(network: str, *excepts: str, with_endpoints: bool = False) -> CidrPeer:
    return CidrPeer(parse_network(network), tuple(map(parse_network, excepts)), with_endpoints)


def entity(name: str) -> EntityPeer:
    return EntityPeer(Entity(name))


def tcp(first: int, last: int | None = None) -> Ports:
    return Ports(Protocol.TCP, first, first if last is None else last)


def entry(*peers: Peer, to: tuple[Ports | Icmp, ...] | None = None, path: str = "entry") -> Entry:
    """Without peers: any."""
    return Entry(peers or None, to, Origin("policies.yaml", 1, path))


def asked(*services: Ports, rules: tuple[str, ...] = (), protocol: str = "http") -> Requests:
    """Rules are JSON."""
    found = tuple(RequestRule(text, Origin("policies.yaml", 1, f"rule {text}")) for text in rules)
    return Requests(protocol, services, found, Origin("policies.yaml", 1, "rules"))


def about(*peers: Peer, requests: tuple[Requests, ...], path: str = "entry") -> Entry:
    """An entry about requests alone. Without peers: any."""
    return Entry(peers or None, (), Origin("policies.yaml", 1, path), requests)


def section(*allow: Entry, deny: tuple[Entry, ...] | None = None, isolates: bool = True) -> Section:
    return Section(allow, deny, isolates)


def policy(
    name: str,
    subject: Selector | None = None,
    *,
    ingress: Section | None = None,
    egress: Section | None = None,
    audit: bool = False,
) -> Policy:
    """One rule; without a subject, for all endpoints."""
    origin = Origin("policies.yaml", 1, "spec")
    rule = Rule(subject or Selector(), ingress or Section(), egress or Section(), origin)
    return Policy(PolicyName(PolicyKind.CILIUM, "default", name), (rule,), audit)


# --- the evaluator ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Packet:
    """Protocol number, and destination port or type of ICMP."""

    protocol: int
    port: int


@dataclass(frozen=True)
class Peerage:
    """The other end: its identity, and its address if the question has one."""

    identity: int
    address: Address | None = None


@dataclass
class Standing:
    """All that decides."""

    policies: dict[PolicyName, Policy] = field(default_factory=dict)
    identities: dict[IdentityId, Labels] = field(default_factory=dict)
    """Without reserved ones."""
    names: dict[IdentityId, NamedPorts] = field(default_factory=dict)
    allow_host: bool = True

    def labels_of(self, identity: int) -> Labels | None:
        if 0 < identity < 256:
            return frozenset({Reserved(identity).label})
        return self.identities.get(IdentityId(identity))

    def names_of(self, identity: int) -> Mapping[str, frozenset[tuple[Protocol, int]]]:
        return self.names.get(IdentityId(identity), {})


class Outcome(Enum):
    PASSES = 1
    DENIED = 2
    BY_DEFAULT = 3


@dataclass
class Said:
    """What all rules say of a packet."""

    isolated: bool = False
    denied: bool = False
    allowed: bool = False
    allowed_if_asked: bool = False
    """By entries about requests."""
    denied_if_asked: bool = False

    @property
    def outcome(self) -> Outcome:
        if self.denied:
            return Outcome.DENIED
        allowed = self.allowed or self.allowed_if_asked
        return Outcome.PASSES if allowed or not self.isolated else Outcome.BY_DEFAULT


def evaluate(standing: Standing, direction: Direction, subject: int, remote: Peerage, packet: Packet) -> Verdict:
    """What becomes of a packet at a subject."""
    enforced = {name: one for name, one in standing.policies.items() if not one.audit}
    audited = {name: one for name, one in standing.policies.items() if one.audit}
    really = said(replace(standing, policies=enforced), direction, subject, remote, packet)
    watched = said(replace(standing, policies=audited), direction, subject, remote, packet)
    real = really.outcome
    wished = said(standing, direction, subject, remote, packet).outcome
    if real is Outcome.DENIED:
        return Verdict.DENIED
    if real is Outcome.BY_DEFAULT:
        return Verdict.DENIED_BY_DEFAULT
    if wished is Outcome.DENIED:
        return Verdict.AUDITED
    if wished is Outcome.BY_DEFAULT:
        return Verdict.AUDITED_BY_DEFAULT
    asks = really.denied_if_asked or (really.allowed_if_asked and not really.allowed)
    watches = watched.denied_if_asked or watched.allowed_if_asked
    return Verdict.REDIRECTED if asks or watches else Verdict.ALLOWED


def said(standing: Standing, direction: Direction, subject: int, remote: Peerage, packet: Packet) -> Said:
    """By all policies there are, each enforced."""
    found = Said()
    for one in standing.policies.values():
        for rule in one.rules:
            if not _selected(rule.subject, standing.labels_of(subject)):
                continue
            section = rule.egress if direction is Direction.EGRESS else rule.ingress
            found.isolated |= section.isolates
            names = direction, remote.identity if direction is Direction.EGRESS else subject
            for item in section.allow or ():
                found.allowed |= _matches(standing, item, remote, packet, names)
                found.allowed_if_asked |= _asks(standing, item, remote, packet, names)
            for item in section.deny or ():
                found.denied |= _matches(standing, item, remote, packet, names)
                found.denied_if_asked |= _asks(standing, item, remote, packet, names)
    if standing.allow_host and direction is Direction.INGRESS and remote.identity == Reserved.HOST:
        found.allowed = True
    return found


def _asks(standing: Standing, item: Entry, remote: Peerage, packet: Packet, names: tuple[Direction, int]) -> bool:
    """Whether an entry is about requests in a packet's connection."""
    services = tuple(service for asked in item.requests for service in asked.services)
    return _matches(standing, replace(item, services=services), remote, packet, names)


def _matches(standing: Standing, item: Entry, remote: Peerage, packet: Packet, names: tuple[Direction, int]) -> bool:
    direction, named_at = names
    for peer in (None,) if item.peers is None else item.peers:
        if not _is_peer(standing, peer, remote):
            continue
        for service in (None,) if item.services is None else item.services:
            if isinstance(service, Ports) and service.name:
                known = standing.names_of(named_at).get(service.name, frozenset())
                towards_cidr = direction is Direction.EGRESS and isinstance(peer, CidrPeer)
                if not towards_cidr and any(
                    service.protocol in (Protocol.ANY, protocol) and packet == Packet(NUMBERS[protocol], port)
                    for protocol, port in known
                ):
                    return True
            elif _is_service(service, packet):
                return True
    return False


def _is_service(service: Ports | Icmp | None, packet: Packet) -> bool:
    if service is None:
        return True
    if isinstance(service, Icmp):
        return packet == Packet(1 if service.family == 4 else 58, service.type)
    numbers = NUMBERS.values() if service.protocol is Protocol.ANY else (NUMBERS[service.protocol],)
    return packet.protocol in numbers and service.first <= packet.port <= service.last


def _selected(selector: Selector, found: Labels | None) -> bool:
    """Reserved identities by a word about their own label alone."""
    if found is None:
        return False
    reserved = any(label.source == "reserved" for label in found)
    positive = any(item.operator in (Operator.IN, Operator.EXISTS) for item in selector.requirements)
    return selector.selects(found) and (positive or not reserved)


def _is_peer(standing: Standing, peer: Peer | None, remote: Peerage) -> bool:
    outside = remote.identity in WORLD
    if peer is None:
        return True
    if isinstance(peer, EndpointPeer):
        return _selected(peer.selector, standing.labels_of(remote.identity))
    if isinstance(peer, CidrPeer):
        return (
            remote.address is not None
            and (outside or peer.with_endpoints)
            and remote.address in peer.network
            and not any(remote.address in taken_out for taken_out in peer.excepts)
        )
    return _is_entity(standing, peer.entity, remote)


def _is_entity(standing: Standing, wanted: Entity, remote: Peerage) -> bool:
    outside = remote.identity in WORLD
    version = remote.address.version if remote.address is not None else 0
    facts = {
        Entity.ALL: True,
        Entity.NONE: False,
        Entity.WORLD: outside,
        Entity.WORLD_IPV4: remote.identity == Reserved.WORLD_IPV4 or (outside and version == 4),
        Entity.WORLD_IPV6: remote.identity == Reserved.WORLD_IPV6 or (outside and version == 6),
        Entity.CLUSTER: remote.identity in IN_CLUSTER or IdentityId(remote.identity) in standing.identities,
    }
    return facts[wanted] if wanted in facts else remote.identity == Reserved[wanted.name]


# --- requests -----------------------------------------------------------------------------------


def goes_on(
    standing: Standing, direction: Direction, subject: int, remote: Peerage, packet: Packet, *, request: str
) -> bool:
    """Whether a request goes on, by all policies there are, each enforced; rules are JSON texts of one request each."""
    asking = list(_asking(standing, direction, subject, remote, packet))
    held = [
        (denies, requests, any(rule.text == f'"{request}"' for rule in requests.rules)) for denies, requests in asking
    ]
    if any(denies and holds for denies, _, holds in held):
        return False
    found = said(standing, direction, subject, remote, packet)
    if found.allowed_if_asked and not found.allowed:
        return any(holds or not requests.rules for denies, requests, holds in held if not denies)
    return found.allowed or not found.isolated


def _asking(
    standing: Standing, direction: Direction, subject: int, remote: Peerage, packet: Packet
) -> Iterator[tuple[bool, Requests]]:
    """What entries say of requests in a packet's connection, and whether they deny."""
    names = direction, remote.identity if direction is Direction.EGRESS else subject
    for rule in (rule for one in standing.policies.values() for rule in one.rules):
        section = rule.egress if direction is Direction.EGRESS else rule.ingress
        entries = (*((False, one) for one in section.allow or ()), *((True, one) for one in section.deny or ()))
        for denies, item in entries if _selected(rule.subject, standing.labels_of(subject)) else ():
            for requests in item.requests:
                if _asks(standing, replace(item, requests=(requests,)), remote, packet, names):
                    yield denies, requests
