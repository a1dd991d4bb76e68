"""What a proxy is told of policies: which requests of whom may go on. Values alone, made to be sent.

A table is about one identity that has endpoints on the node. An entry of it is about peers and ports, and applies to a
connection when both fit. Of the entries that apply, one rule that denies decides; else one that allows; else the
request is denied. :mod:`netloom.policy.l7_verdicts` says it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Rule:
    """One rule of a protocol, as a policy has it."""

    rule: str
    """JSON with sorted keys: what the protocol's rule type is read from."""
    policy: str
    """Name of the policy, as it is printed."""
    origin: str
    """Place in it, as ``spec.ingress[0].toPorts[0].rules.http[1]``."""
    denies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Prefix:
    """Peers by their addresses, where no endpoint or node has them."""

    network: str
    excepts: tuple[str, ...] = ()
    with_endpoints: bool = False
    """Whether those of endpoints and nodes count too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Entry:
    """What some peers may ask at some ports."""

    peers: tuple[int, ...] | None
    """Identities, sorted; None: anybody."""
    prefixes: tuple[L7Prefix, ...] = ()
    """Peers besides."""
    ports: tuple[tuple[int, int], ...]
    """Ranges of destination ports of TCP, first and last."""
    protocol: str
    """Name of the protocol, as a plugin gives it."""
    rules: tuple[L7Rule, ...] = ()
    """None at all: every request of the protocol may go on, and is told of."""
    audit: bool = False
    """Of a policy under audit: it decides nothing; what would become of requests if it did is told."""
    default: bool = False
    """What passes because nothing isolates: counts only where no other entry that applies allows anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Table:
    """All that is said of one identity."""

    subject: int
    ingress: tuple[L7Entry, ...] = ()
    """Of connections to endpoints with it; peers began them."""
    egress: tuple[L7Entry, ...] = ()
    """Of connections from endpoints with it; peers are whom they go to."""
