"""``spec`` and ``specs`` of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy to rules.

Everything left out means "any", everything empty means "none", with two exceptions Cilium makes: an empty section
(``ingress: []``) says nothing of that direction, and an entry that says nothing (``ingress: [{}]``) allows nothing; it
is how default deny is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from netloom.model.policy import CidrPeer, EndpointPeer, Entry, Icmp, Peer, Ports, Requests, Rule, Section, Selector
from netloom.policy.fields import Place, Shape
from netloom.policy.peers import cidr_block, entity, prefix
from netloom.policy.requests import requests
from netloom.policy.selectors import cilium_peer, cilium_subject
from netloom.policy.services import CILIUM_PORTS, icmp, ports

MAX_PORTS = 40
"""Of one list; Cilium's limit too."""
_T = TypeVar("_T")

_RULE = Shape(
    (
        "endpointSelector",
        "ingress",
        "ingressDeny",
        "egress",
        "egressDeny",
        "enableDefaultDeny",
        "description",
        "labels",
    ),
    {
        "nodeSelector": "policies are about pods, the node's own packets are not looked at",
        "log": "events carry no text of the policy",
        "priority": "all policies are of one rank",
        "tier": "all policies are of one rank",
        "order": "all policies are of one rank",
    },
)
_DEFAULT_DENY = Shape(("ingress", "egress"))
_PORT_RULE = Shape(
    ("ports", "rules"),
    {
        "listener": "there are no proxies but the node's own",
        "serverNames": "names in TLS are not looked at",
        "terminatingTLS": "TLS is not opened",
        "originatingTLS": "TLS is not opened",
    },
)
_ICMP_RULE = Shape(("fields",))
_CIDR_RULE = Shape(
    ("cidr", "except"),
    {
        "cidrGroupRef": "groups of prefixes are not read",
        "cidrGroupSelector": "groups of prefixes are not read",
    },
)


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction, and how Cilium calls what belongs to it."""

    allow: str
    deny: str
    prefix: str
    unsupported: Mapping[str, str]

    @property
    def peers(self) -> tuple[str, ...]:
        """Fields that say who is at the other end, of which an entry has one."""
        return tuple(self.prefix + kind for kind in ("Endpoints", "CIDR", "CIDRSet", "Entities"))

    @property
    def shape(self) -> Shape:
        return Shape((*self.peers, "toPorts", "icmps"), self.unsupported)


_AUTHENTICATION = {"authentication": "peers prove nothing before they are let through"}
_INGRESS = _Way(
    "ingress",
    "ingressDeny",
    "from",
    {
        "fromNodes": "labels of nodes are not read",
        "fromGroups": "groups of cloud providers are not looked up",
        "fromRequires": "write the labels into each fromEndpoints, or use ingressDeny",
        **_AUTHENTICATION,
    },
)
_EGRESS = _Way(
    "egress",
    "egressDeny",
    "to",
    {
        "toServices": "services are not translated to the pods behind them",
        "toFQDNs": "DNS answers are not looked at, so names have no addresses",
        "toNodes": "labels of nodes are not read",
        "toGroups": "groups of cloud providers are not looked up",
        "toRequires": "write the labels into each toEndpoints, or use egressDeny",
        **_AUTHENTICATION,
    },
)


def cilium_rules(spec: Place | None, specs: Place | None, whole: Place, namespace: str) -> tuple[Rule, ...]:
    """Rules of an object; ``namespace`` is "" for one of the whole cluster."""
    if spec and specs:
        specs.refuse("either of them", "spec and specs")
    if spec:
        return (_rule(spec, namespace),)
    if specs is None:
        whole.refuse("spec or specs", "neither spec nor specs")
        return ()
    rules = tuple(_rule(item, namespace) for item in specs.items())
    if not rules:
        specs.refuse("at least one rule")
    return rules


def _rule(place: Place, namespace: str) -> Rule:
    fields = place.fields(_RULE)
    subject = _subject(place, fields, namespace)
    explicit = fields["enableDefaultDeny"].fields(_DEFAULT_DENY) if "enableDefaultDeny" in fields else {}
    if "labels" in fields:
        fields["labels"].items()
    sections = {way.allow: _section(fields, way, explicit.get(way.allow), namespace) for way in (_INGRESS, _EGRESS)}
    if not any(name in fields for way in (_INGRESS, _EGRESS) for name in (way.allow, way.deny)):
        place.warn("this rule has neither ingress nor egress, so it says nothing")
    return Rule(
        subject=subject,
        ingress=sections["ingress"],
        egress=sections["egress"],
        origin=place.origin,
        description=fields["description"].text() if "description" in fields else "",
    )


def _subject(place: Place, fields: Mapping[str, Place], namespace: str) -> Selector:
    selector = fields.get("endpointSelector")
    if selector is None:
        if place.is_mapping and not place.has("nodeSelector"):
            place.refuse("endpointSelector: {} selects every endpoint", "no endpointSelector")
        return Selector()
    if place.has("nodeSelector"):
        selector.refuse("either of them", "endpointSelector and nodeSelector")
    return cilium_subject(selector, namespace)


def _section(fields: Mapping[str, Place], way: _Way, explicit: Place | None, namespace: str) -> Section:
    allow, deny = (
        _entries(fields[name], way, namespace, denies=name == way.deny) if name in fields else None
        for name in (way.allow, way.deny)
    )
    isolates = explicit.scalar((bool,), "true or false") if explicit else bool(allow or deny)
    return Section(allow=allow, deny=deny, isolates=bool(isolates))


def _entries(place: Place, way: _Way, namespace: str, *, denies: bool) -> tuple[Entry, ...]:
    entries = tuple(_entry(item, way, namespace, denies=denies) for item in place.items())
    if place.is_empty_list:
        place.warn("an empty list says nothing of this direction: write [{}] to deny what nothing else allows")
    return entries


def _entry(place: Place, way: _Way, namespace: str, *, denies: bool) -> Entry:
    fields = place.fields(way.shape)
    if not fields:
        return Entry(peers=(), services=None, origin=place.origin)
    services, asked = _services(fields, denies=denies)
    return Entry(peers=_peers(fields, way, namespace), services=services, origin=place.origin, requests=asked)


def _peers(fields: Mapping[str, Place], way: _Way, namespace: str) -> tuple[Peer, ...] | None:
    written = [name for name in way.peers if name in fields]
    for name in written[1:]:
        fields[name].refuse("an entry for each of them", f"{written[0]} and {name} in one entry")
    if not written:
        return None
    endpoints, cidr, cidr_set, _ = way.peers
    readers: Mapping[str, Callable[[Place], tuple[Peer, ...]]] = {
        endpoints: lambda place: (EndpointPeer(cilium_peer(place, namespace)),),
        cidr: _cidr,
        cidr_set: _cidr_rule,
    }
    return _each(fields[written[0]], readers.get(written[0], entity))


def _cidr(place: Place) -> tuple[Peer, ...]:
    network = prefix(place, or_address=True)
    return () if network is None else (CidrPeer(network),)


def _cidr_rule(place: Place) -> tuple[Peer, ...]:
    fields = place.fields(_CIDR_RULE)
    return cidr_block(place, fields.get("cidr"), fields.get("except"), with_endpoints=False)


_Services = tuple[tuple[Ports | Icmp, ...] | None, tuple[Requests, ...]]


def _services(fields: Mapping[str, Place], *, denies: bool) -> _Services:
    to_ports, icmps = fields.get("toPorts"), fields.get("icmps")
    if to_ports and icmps:
        icmps.refuse("an entry for each of them", "toPorts and icmps in one entry")
    if to_ports:
        found = _each(to_ports, lambda item: _port_rule(item, denies=denies))
        services = tuple(one for one in found if not isinstance(one, Requests))
        return services, tuple(one for one in found if isinstance(one, Requests))
    return (_each(icmps, _icmp_rule) if icmps else None), ()


def _port_rule(place: Place, *, denies: bool) -> tuple[Ports | Icmp | Requests, ...]:
    fields = place.fields(_PORT_RULE)
    written = fields.get("ports")
    found = (
        _each(written, lambda item: ports(item, CILIUM_PORTS), limit=MAX_PORTS)
        if written
        else (Ports(CILIUM_PORTS.default),)
    )
    if "rules" not in fields:
        return found
    asked = requests(fields["rules"], written or place, found, denies=denies)
    return found if asked is None else (asked,)


def _icmp_rule(place: Place) -> tuple[Ports | Icmp, ...]:
    fields = place.fields(_ICMP_RULE)
    if "fields" not in fields:
        place.refuse("fields", "nothing")
        return ()
    return _each(fields["fields"], icmp, limit=MAX_PORTS)


def _each(place: Place, read: Callable[[Place], tuple[_T, ...]], *, limit: int = 0) -> tuple[_T, ...]:
    """What all items of a list give, in order, each once."""
    found = [part for item in place.items(limit=limit) for part in read(item)]
    if place.is_empty_list:
        place.warn("an empty list never matches: leave the field out to match anything")
    return tuple(dict.fromkeys(found))
