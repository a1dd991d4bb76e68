"""Which entries say nothing because others, that go before them, say as much or more. Pure, of any two rules.

Deny goes before allow, so an allow whose every packet is denied is dead. Answers are sure: where it is not plain that
one thing covers another (two ranges that meet, entities that depend on the node), it is said that it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netloom.model.policy import (
    ANY_SOURCE,
    CidrPeer,
    EndpointPeer,
    Entity,
    EntityPeer,
    Entry,
    Icmp,
    Operator,
    Peer,
    Ports,
    Protocol,
    Requirement,
    Rule,
    Selector,
)
from netloom.policy.peers import covered, inside

_PARTS: Mapping[Entity, frozenset[Entity]] = {
    Entity.WORLD: frozenset({Entity.WORLD_IPV4, Entity.WORLD_IPV6}),
    Entity.CLUSTER: frozenset({
        Entity.HOST,
        Entity.REMOTE_NODE,
        Entity.INIT,
        Entity.INGRESS,
        Entity.UNMANAGED,
        Entity.HEALTH,
        Entity.KUBE_APISERVER,
    }),
}  # fmt: skip
"""Entities that are part of others; all are of ALL."""
_WORLDS: Mapping[int, frozenset[Entity]] = {
    4: frozenset({Entity.WORLD, Entity.WORLD_IPV4}),
    6: frozenset({Entity.WORLD, Entity.WORLD_IPV6}),
}
"""By family: entities that hold every address without an endpoint."""


def shadowed(allowing: Rule, denying: Rule) -> Iterator[tuple[Entry, Entry]]:
    """Allow entries of one rule, each with a deny entry of the other (or the same) rule that leaves nothing of it."""
    if not selector_covers(denying.subject, allowing.subject):
        return
    for allow, deny in ((allowing.ingress, denying.ingress), (allowing.egress, denying.egress)):
        for entry in allow.allow or ():
            cover = next((other for other in deny.deny or () if covers(other, entry)), None)
            if cover:
                yield entry, cover


def comparisons(allowing: Rule, denying: Rule) -> int:
    """How many things :func:`shadowed` compares at most."""
    return sum(
        _size(allow.allow) * _size(deny.deny)
        for allow, deny in ((allowing.ingress, denying.ingress), (allowing.egress, denying.egress))
    )


def _size(entries: tuple[Entry, ...] | None) -> int:
    return sum(
        1 + sum(_peer_size(peer) for peer in entry.peers or ()) + len(_services(entry) or ()) for entry in entries or ()
    )


def _peer_size(peer: Peer) -> int:
    if isinstance(peer, CidrPeer):
        return 1 + len(peer.excepts)
    if isinstance(peer, EndpointPeer):
        return 1 + sum(1 + len(asked.values) for asked in peer.selector.requirements)
    return 1


def covers(wide: Entry, narrow: Entry) -> bool:
    """Whether every packet of ``narrow`` is one of ``wide``. One that never matches is not covered."""
    return _peers_cover(wide.peers, narrow.peers) and _services_cover(wide.services, _services(narrow))


def _services(entry: Entry) -> tuple[Ports | Icmp, ...] | None:
    """Those over which it is about requests too."""
    if entry.services is None:
        return None
    return (*entry.services, *(service for asked in entry.requests for service in asked.services))


def _peers_cover(wide: tuple[Peer, ...] | None, narrow: tuple[Peer, ...] | None) -> bool:
    if wide is None or EntityPeer(Entity.ALL) in wide:
        return narrow != ()
    return bool(narrow) and all(any(peer_covers(peer, other) for peer in wide) for other in narrow or ())


def _services_cover(wide: tuple[Ports | Icmp, ...] | None, narrow: tuple[Ports | Icmp, ...] | None) -> bool:
    if wide is None:
        return narrow != ()
    return bool(narrow) and all(_service_covered(wide, service) for service in narrow or ())


def _service_covered(wide: tuple[Ports | Icmp, ...], narrow: Ports | Icmp) -> bool:
    if isinstance(narrow, Icmp):
        return narrow in wide
    protocols = set(Protocol) - {Protocol.ANY} if narrow.protocol is Protocol.ANY else {narrow.protocol}
    return all(
        any(isinstance(other, Ports) and _ports_cover(other, protocol, narrow) for other in wide)
        for protocol in protocols
    )


def _ports_cover(wide: Ports, protocol: Protocol, narrow: Ports) -> bool:
    """Whether ``wide`` has the ports of ``narrow`` in one protocol. Any port may have a name."""
    if wide.protocol not in (protocol, Protocol.ANY):
        return False
    if wide.name or narrow.name:
        return wide.name == narrow.name or (not wide.name and (wide.first, wide.last) == (0, 65535))
    return wide.first <= narrow.first and narrow.last <= wide.last


def peer_covers(wide: Peer, narrow: Peer) -> bool:
    """Whether everybody of ``narrow`` is of ``wide``."""
    match wide, narrow:
        case EntityPeer(Entity.ALL), _:
            return True
        case EntityPeer(entity), EntityPeer(part):
            return entity == part or part in _PARTS.get(entity, frozenset())
        case EntityPeer(entity), CidrPeer():
            return not narrow.with_endpoints and entity in _WORLDS[narrow.network.version]
        case EndpointPeer(selector), EndpointPeer(part):
            return selector_covers(selector, part)
        case CidrPeer(), CidrPeer():
            return _cidr_covers(wide, narrow)
        case _:
            return False


def _cidr_covers(wide: CidrPeer, narrow: CidrPeer) -> bool:
    if narrow.with_endpoints and not wide.with_endpoints:
        return False
    if not inside(narrow.network, wide.network):
        return False
    missing = [
        part if inside(part, narrow.network) else narrow.network
        for part in wide.excepts
        if inside(part, narrow.network) or inside(narrow.network, part)
    ]
    return all(covered(part, narrow.excepts) for part in missing)


def selector_covers(wide: Selector, narrow: Selector) -> bool:
    """Whether everything ``narrow`` selects is selected by ``wide``, as far as it shows."""
    if wide == narrow:
        return True
    return all(any(_implies(asked, other) for asked in narrow.requirements) for other in wide.requirements)


def _implies(asked: Requirement, other: Requirement) -> bool:
    """Whether labels that meet ``asked`` always meet ``other``. A label of any source is met by each source's."""
    if asked.key != other.key:
        return False
    positive = asked.operator in (Operator.IN, Operator.EXISTS)
    if asked.source != other.source and (other if positive else asked).source != ANY_SOURCE:
        return False
    values, others = set(asked.values), set(other.values)
    match asked.operator:
        case Operator.IN:
            return other.operator is Operator.EXISTS or (other.operator is Operator.IN and values <= others)
        case Operator.NOT_IN:
            return other.operator is Operator.NOT_IN and values >= others
        case Operator.EXISTS:
            return other.operator is Operator.EXISTS
        case Operator.DOES_NOT_EXIST:
            return other.operator in (Operator.DOES_NOT_EXIST, Operator.NOT_IN)
