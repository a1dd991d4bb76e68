"""Flows: what the data path reports of single packets, and what is known of them besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from netloom.model.address import Address, Network
from netloom.model.labels import Labels
from netloom.model.policy import Origin, PolicyName


class FlowKind(StrEnum):
    """What is reported."""

    DROP = "drop"
    TRACE = "trace"
    VERDICT = "policy-verdict"
    """Policies were asked about a new connection, and let it pass; where they do not it is a drop."""
    L7 = "l7"
    """The proxy was asked about a request, and tells of it with its answer."""


class FlowVerdict(StrEnum):
    """What became of the packet, in one word."""

    FORWARDED = "forwarded"
    DROPPED = "dropped"
    AUDIT = "audit"
    """It went on; an audit policy would have it dropped."""
    REDIRECTED = "redirected"
    """It went to the proxy, which tells of the requests itself."""
    ERROR = "error"
    """Of a request: it was none, or the connection broke."""


AUDITED = (1, 2)
"""Codes of verdicts that let a packet pass and tell that an audit policy would not."""
REDIRECTED = 3
"""Code of the verdict that sends a packet to the proxy."""
L7_VERDICTS: Final[Mapping[str, FlowVerdict]] = MappingProxyType({
    "allowed": FlowVerdict.FORWARDED,
    "denied": FlowVerdict.DROPPED,
    "audited": FlowVerdict.AUDIT,
    "error": FlowVerdict.ERROR,
})  # fmt: skip
"""What the proxy says of a request, in the order of the codes of flows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Request:
    """A request and its answer, as the proxy tells of them."""

    protocol: str
    """Of the application: ``http``."""
    verdict: str
    """A key of L7_VERDICTS."""
    policy: str = ""
    """Name of the policy whose rule decided, as it is printed; "" when none did."""
    origin: str = ""
    """Place of the rule in it."""
    direction: str = ""
    """Whose policies were asked: ``egress`` the source's, ``ingress`` the destination's, ``both``."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What the protocol tells of the request."""
    answer: Mapping[str, str] = field(default_factory=dict)
    """And of its answer."""
    latency_ns: int = 0
    """From the request to the beginning of its answer; 0 without one."""
    why: str = ""
    """Of an error, or of a request without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What could be read of a packet's headers; None and "" where it could not."""

    protocol: str
    """``tcp``, ``udp``, ``sctp``, ``icmp``, ``icmp6``, ``arp``, another's number, or an ethertype as ``0x88cc``."""
    source: Address | None = None
    destination: Address | None = None
    source_port: int | None = None
    destination_port: int | None = None
    detail: str = ""
    """TCP flags, ICMP type, or what was wrong with the headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleHit:
    """A rule that is the cause of a verdict: an entry that allows or denies, or, by default, one that isolates."""

    policy: PolicyName | None
    """None: a setting of the agent; the origin's path says which: ``allow_host``, or ``enforcement``."""
    origin: Origin
    description: str = ""
    """What its author wrote of the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Because:
    """Why policies decided as they did, by what stood when the event was read."""

    verdict: str
    """``allowed``, ``denied``, ``denied by default``, ``audited``, ``audited by default``; "" when none was given."""
    match: str = "none"
    """What the narrowest entry that decided is about, in Cilium's words: ``L3-L4``, ``L4-Only``, ..., ``none``."""
    rules: tuple[RuleHit, ...] = ()
    """All that are the cause, each alone sufficient."""
    isolated_by: tuple[PolicyName, ...] = ()
    """All policies that isolate the endpoint in this direction, sorted."""
    prefix: Network | None = None
    """The most specific prefix in policies that holds the peer's address."""
    outdated: bool = False
    """Policies had changed before the event was read: they would decide otherwise now, and no rule is named."""

    @property
    def policies(self) -> tuple[PolicyName, ...]:
        """The policies of the rules, each once, sorted."""
        return tuple(sorted({rule.policy for rule in self.rules if rule.policy is not None}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One event of the data path."""

    kind: FlowKind
    at_ns: int
    """Wall clock when the agent read it."""
    code: int
    """Number of the drop reason, of the observation point, or of the verdict."""
    text: str
    """The reason or verdict in words, or the observation point as ``monitor`` prints it."""
    direction: str
    """``ingress`` or ``egress``, seen from the endpoint; "" when neither. Of a verdict: that of the connection."""
    source_identity: int
    destination_identity: int
    endpoint_id: int
    """The local endpoint concerned; 0 when there is none."""
    ifindex: int
    hash: int
    packet_bytes: int
    packet: Packet
    line: int
    """Line of the C source that reported it."""
    tracking: str = ""
    """``new``, ``established``, ``reply`` or ``related``: how it stands to its connection; "" when nobody asked."""
    service: int = 0
    """Destination port of whoever began, or type of ICMP: what policies know it by."""
    source_labels: Labels = frozenset()
    destination_labels: Labels = frozenset()
    source_pod: str = ""
    """``namespace/name``; "" when no pod is known at its address."""
    destination_pod: str = ""
    because: Because | None = None
    """Of verdicts, and of drops by policies; None where policies decided nothing."""
    request: L7Request | None = None
    """Of an L7 flow alone; its packet has the ends of the connection."""

    @property
    def verdict(self) -> FlowVerdict:
        """In one word."""
        if self.request is not None:
            return L7_VERDICTS[self.request.verdict]
        if self.kind is FlowKind.VERDICT and self.code == REDIRECTED:
            return FlowVerdict.REDIRECTED
        if self.kind is FlowKind.TRACE or (self.kind is FlowKind.VERDICT and self.code == 0):
            return FlowVerdict.FORWARDED
        return FlowVerdict.AUDIT if self.kind is FlowKind.VERDICT and self.code in AUDITED else FlowVerdict.DROPPED
