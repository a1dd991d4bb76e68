"""Policies: what operators wrote, checked and freed from YAML, whichever of the three kinds it came from.

A policy holds :class:`Rule` s. A rule has a *subject* (the endpoints it is about), two *sections*, one for each
direction, and in each the entries that allow and the entries that deny. ``None`` stands for what was left out, an empty
tuple for what was written and holds nothing; the two mean opposite things at almost every place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from netloom.model.address import Family, Network
from netloom.model.labels import Label, Labels

ANY_SOURCE = "any"
"""Source of a label in a selector that matches that key whoever gave it."""


class PolicyKind(StrEnum):
    """Kinds of objects that are policies."""

    CILIUM = "CiliumNetworkPolicy"
    CILIUM_CLUSTERWIDE = "CiliumClusterwideNetworkPolicy"
    KUBERNETES = "NetworkPolicy"


class Operator(StrEnum):
    """How a requirement compares, as Kubernetes' label selectors name it."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """What one label must be."""

    source: str
    """``k8s``, ``reserved``, ... or ANY_SOURCE."""
    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    """Sorted; of IN and NOT_IN alone."""

    def holds(self, labels: Labels) -> bool:
        """Whether a set of labels meets it. NOT_IN holds too where the key is missing, as in Kubernetes."""
        found = {label.value for label in labels if self._names(label)}
        match self.operator:
            case Operator.IN:
                return not found.isdisjoint(self.values)
            case Operator.NOT_IN:
                return found.isdisjoint(self.values)
            case Operator.EXISTS:
                return bool(found)
            case Operator.DOES_NOT_EXIST:
                return not found

    def _names(self, label: Label) -> bool:
        return label.key == self.key and self.source in (ANY_SOURCE, label.source)


@dataclass(frozen=True, slots=True, order=True)
class Selector:
    """Requirements of which all must hold; without any, it selects everything."""

    requirements: tuple[Requirement, ...] = ()
    """Sorted, so that equal selectors are one key."""

    def selects(self, labels: Labels) -> bool:
        """Whether these labels are selected."""
        return all(requirement.holds(labels) for requirement in self.requirements)


class Entity(StrEnum):
    """Names for peers that have no labels of their own."""

    ALL = "all"
    WORLD = "world"
    WORLD_IPV4 = "world-ipv4"
    WORLD_IPV6 = "world-ipv6"
    CLUSTER = "cluster"
    HOST = "host"
    REMOTE_NODE = "remote-node"
    INIT = "init"
    INGRESS = "ingress"
    UNMANAGED = "unmanaged"
    HEALTH = "health"
    KUBE_APISERVER = "kube-apiserver"
    NONE = "none"


@dataclass(frozen=True, slots=True, order=True)
class EndpointPeer:
    """Endpoints by their labels."""

    selector: Selector


@dataclass(frozen=True, slots=True)
class CidrPeer:
    """Addresses of a prefix, without those of the prefixes taken out."""

    network: Network
    excepts: tuple[Network, ...] = ()
    """Each inside ``network``."""
    with_endpoints: bool = False
    """Whether addresses of endpoints and nodes match too. In NetworkPolicy they do; in Cilium's kinds they do not."""


@dataclass(frozen=True, slots=True, order=True)
class EntityPeer:
    """Peers by what they are."""

    entity: Entity


Peer = EndpointPeer | CidrPeer | EntityPeer


class Protocol(StrEnum):
    """Protocols that have ports."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"
    ANY = "ANY"
    """All three."""


@dataclass(frozen=True, slots=True, order=True)
class Ports:
    """Destination ports of a protocol: a range, or a name that endpoints resolve."""

    protocol: Protocol
    first: int = 0
    """0 to 65535; 0 with ``last`` 65535 is every port."""
    last: int = 65535
    name: str = ""
    """Lower case; when it is set, ``first`` and ``last`` say nothing."""


@dataclass(frozen=True, slots=True, order=True)
class Icmp:
    """One ICMP or ICMPv6 type, whatever its code."""

    family: Family
    type: int
    """0 to 255."""


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where something stands in what the operator wrote."""

    file: str
    """As it was named; "" when it did not come from a file."""
    line: int
    """1-based."""
    path: str
    """Dotted, as ``spec.ingress[0].toPorts[1]``."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path}" if self.file else self.path


@dataclass(frozen=True, slots=True)
class RequestRule:
    """One rule about requests of an application protocol."""

    text: str
    """JSON with sorted keys: what the protocol's rule type is read from."""
    origin: Origin = field(compare=False)


@dataclass(frozen=True, slots=True)
class Requests:
    """Ports over which an entry is about requests of one application protocol, not about all packets."""

    protocol: str
    """As a plugin calls it: ``http``."""
    services: tuple[Ports, ...]
    """Of TCP, each a few ports or a name."""
    rules: tuple[RequestRule, ...]
    """Of which one must hold. Empty, of entries that allow alone: every request."""
    origin: Origin = field(compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """Peers and services, of which one each must match: packets of a service, or requests over a port."""

    peers: tuple[Peer, ...] | None
    """None: any peer. Empty: none."""
    services: tuple[Ports | Icmp, ...] | None
    """None: any protocol and port. Empty: none."""
    origin: Origin = field(compare=False)
    requests: tuple[Requests, ...] = ()
    """Besides ``services``, which is not None then."""


@dataclass(frozen=True, slots=True)
class Section:
    """What a rule says of one direction."""

    allow: tuple[Entry, ...] | None = None
    """None: nothing was said."""
    deny: tuple[Entry, ...] | None = None
    isolates: bool = False
    """Whether the subject's packets of this direction are denied unless something allows them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One subject with its two directions, as they are seen from it."""

    subject: Selector
    """Confined to the policy's namespace already, if it has one."""
    ingress: Section
    egress: Section
    origin: Origin = field(compare=False)
    description: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, order=True)
class PolicyName:
    """By what a policy is known; two of the same name are two versions of one policy."""

    kind: PolicyKind
    namespace: str
    """"" for those of the whole cluster."""
    name: str

    def __str__(self) -> str:
        return "/".join(filter(None, (self.kind.value, self.namespace, self.name)))

    @classmethod
    def parse(cls, text: str) -> PolicyName:
        """Inverse of ``str()``. Raises ValueError."""
        kind, _, rest = text.partition("/")
        namespace, _, name = rest.rpartition("/")
        return cls(PolicyKind(kind), namespace, name)


@dataclass(frozen=True, slots=True)
class Policy:
    """One object of a policy file."""

    name: PolicyName
    rules: tuple[Rule, ...]
    audit: bool = False
    """Packets that this policy alone denies pass, and are reported."""
    document: str = field(default="", compare=False)
    """The object as canonical JSON, from which it can be read again."""

    @property
    def asks(self) -> bool:
        """Whether it says anything of requests."""
        return any(
            entry.requests
            for _, section in self.sections()
            for entry in (*(section.allow or ()), *(section.deny or ()))
        )

    def sections(self) -> Iterator[tuple[Rule, Section]]:
        """Every rule with each of its sections, ingress first."""
        for rule in self.rules:
            yield rule, rule.ingress
            yield rule, rule.egress
