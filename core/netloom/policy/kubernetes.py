"""``spec`` of NetworkPolicy to a rule. An empty ``from``, ``to`` or ``ports`` is as good as a missing one: any."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from netloom.model.policy import EndpointPeer, Entry, Operator, Peer, Requirement, Rule, Section, Selector
from netloom.policy.fields import Place, Shape
from netloom.policy.peers import cidr_block
from netloom.policy.selectors import (
    IN_ANY_NAMESPACE,
    in_namespace,
    namespace_names,
    pod_names,
    requirements,
    selector,
)
from netloom.policy.services import KUBERNETES_PORTS, ports

_SPEC = Shape(("podSelector", "policyTypes", "ingress", "egress"))
_PEER = Shape(("podSelector", "namespaceSelector", "ipBlock"))
_BLOCK = Shape(("cidr", "except"))


class _PolicyType(StrEnum):
    INGRESS = "Ingress"
    EGRESS = "Egress"


def kubernetes_rules(spec: Place | None, whole: Place, namespace: str) -> tuple[Rule, ...]:
    """The one rule of a NetworkPolicy."""
    if spec is None:
        whole.refuse("spec", "no spec")
        return ()
    fields = spec.fields(_SPEC)
    types = _types(fields)
    if "podSelector" in fields:
        place = fields["podSelector"]
        subject = selector(place, {*requirements(place, pod_names), in_namespace(namespace)})
    else:
        subject = Selector()
        if spec.is_mapping:
            spec.refuse("podSelector: {} selects every pod of the namespace", "no podSelector")
    ingress = _section(fields.get("ingress"), "from", namespace, applies=_PolicyType.INGRESS in types)
    egress = _section(fields.get("egress"), "to", namespace, applies=_PolicyType.EGRESS in types)
    return (Rule(subject=subject, ingress=ingress, egress=egress, origin=spec.origin),)


def _types(fields: Mapping[str, Place]) -> set[_PolicyType]:
    """Directions the policy is about; when none is written, ingress, and egress if there is such a section."""
    written = {item.word(_PolicyType) for item in fields["policyTypes"].items()} if "policyTypes" in fields else set()
    types = {word for word in written if word}
    if types:
        return types
    if "egress" not in fields:
        return {_PolicyType.INGRESS}
    if fields["egress"].is_empty_list:
        fields["egress"].warn("an empty list denies everything that leaves: write policyTypes to make that plain")
    return {_PolicyType.INGRESS, _PolicyType.EGRESS}


def _section(place: Place | None, peers: str, namespace: str, *, applies: bool) -> Section:
    entries = tuple(_entry(item, peers, namespace) for item in place.items()) if place else ()
    if applies:
        return Section(allow=entries, isolates=True)
    if place:
        place.warn("policyTypes does not name this direction, so nothing of it applies")
    return Section()


def _entry(place: Place, peers: str, namespace: str) -> Entry:
    fields = place.fields(Shape((peers, "ports")))
    others = [peer for item in fields[peers].items() for peer in _peer(item, namespace)] if peers in fields else []
    services = (
        [port for item in fields["ports"].items() for port in ports(item, KUBERNETES_PORTS)]
        if "ports" in fields
        else []
    )
    return Entry(
        peers=tuple(dict.fromkeys(others)) or None, services=tuple(dict.fromkeys(services)) or None, origin=place.origin
    )


def _peer(place: Place, namespace: str) -> tuple[Peer, ...]:
    fields = place.fields(_PEER)
    block, pods, namespaces = (fields.get(name) for name in ("ipBlock", "podSelector", "namespaceSelector"))
    if block:
        if pods or namespaces:
            block.refuse("a peer for each of them", "ipBlock beside a selector")
        parts = block.fields(_BLOCK)
        return cidr_block(block, parts.get("cidr"), parts.get("except"), with_endpoints=True)
    if pods is None and namespaces is None:
        if place.is_mapping:
            place.refuse("podSelector, namespaceSelector or ipBlock", "a peer without any")
        return ()
    asked: set[Requirement] = requirements(pods, pod_names) if pods else set()
    asked |= _namespaces(namespaces) if namespaces else {in_namespace(namespace)}
    return (EndpointPeer(selector(place, asked)),)


def _namespaces(place: Place) -> set[Requirement]:
    """Namespaces by their labels; whatever is asked, only what has a namespace is meant."""
    asked = requirements(place, namespace_names)
    if not any(item.operator in (Operator.IN, Operator.EXISTS) for item in asked):
        asked.add(IN_ANY_NAMESPACE)
    return asked
