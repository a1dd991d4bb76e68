"""Structs and maps by which programs enforce policies.

Each identity that this node's endpoints have is a *subject*: an entry in ``subjects``, and, unless its policies say
nothing, a table of its own in ``policies``. An endpoint whose identity is no subject is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from netloom.datapath.layout import U8, U32, Be16, Prefix
from netloom.datapath.maps import NO_PREALLOC, InnerMap, MapKind, MapSpec


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """An identity of endpoints of this node."""

    identity: U32

    def __str__(self) -> str:
        return f"identity {self.identity}"


class Isolation(IntFlag):
    """Bits of ``subject_info.ingress`` and ``.egress``: what becomes of packets that nothing allows."""

    ENFORCED = 1
    """They are dropped."""
    AUDITED = 2
    """An audit policy would have them dropped: they are reported."""


class SubjectFlag(IntFlag):
    """Bits of ``subject_info.flags``."""

    HAS_TABLE = 1
    """There is a table in ``policies``."""
    CLOSED = 2
    """Its table could not be written as policies want it: nothing new passes until it can."""


@dataclass(frozen=True, slots=True)
class SubjectInfo:
    """What holds for a subject whatever its table says."""

    ingress: U8
    """Bits of :class:`Isolation`."""
    egress: U8
    flags: U8

    def __str__(self) -> str:
        isolation = f"ingress {_bits(Isolation, self.ingress, 'open')}, egress {_bits(Isolation, self.egress, 'open')}"
        return isolation + (f", {_bits(SubjectFlag, self.flags, '')}" if self.flags else "")


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """Peer, direction and service, as a longest-prefix lookup wants them; see :mod:`netloom.policy.table`."""

    prefix_bits: U32
    """40 to 64."""
    peer: U32
    direction: U8
    """0 ingress, 1 egress, seen from the subject."""
    protocol: U8
    port: Be16

    def __str__(self) -> str:
        direction = "egress" if self.direction else "ingress"
        return f"{direction} peer {self.peer} protocol {self.protocol} port {self.port}/{self.prefix_bits - 48}"


class PolicyEffect(IntFlag):
    """Bits of ``policy_info.effects``, as in :mod:`netloom.policy.table`."""

    DENY = 1
    ALLOW = 2
    AUDIT_DENY = 4
    AUDIT_ALLOW = 8
    REDIRECT = 16
    """Allowed by way of the proxy, which is asked about each request; a plain ALLOW leaves nothing to ask."""
    INSPECT = 32
    """What passes goes by way of the proxy, whoever allows it: some requests are denied."""
    WATCH = 64
    """What passes goes by way of the proxy, if there is one: it tells of requests and denies none."""


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """What policies say of packets that a key is the longest match for."""

    effects: U8
    """Bits of :class:`PolicyEffect`."""

    def __str__(self) -> str:
        return _bits(PolicyEffect, self.effects, "nothing")


@dataclass(frozen=True, slots=True)
class CidrKey:
    """A prefix that some policy names."""

    prefix: Prefix

    def __str__(self) -> str:
        return str(self.prefix)


@dataclass(frozen=True, slots=True)
class CidrInfo:
    """The peer that stands for it in tables."""

    number: U32


def _bits(kind: type[IntFlag], value: int, none: str) -> str:
    """Flags by name: ``allow``, ``audit deny``."""
    return " and ".join(str(flag.name).lower().replace("_", " ") for flag in kind(value)) or none


POLICY_TABLE = MapSpec(
    "policy", MapKind.LPM_TRIE, PolicyKey, PolicyInfo, 16384, "what one subject may send and receive", flags=NO_PREALLOC
)
"""The shape of every table in ``policies``."""
SUBJECTS = MapSpec(
    "subjects", MapKind.HASH, SubjectKey, SubjectInfo, 65535, "identities of this node's endpoints", flags=NO_PREALLOC
)
POLICIES = MapSpec(
    "policies",
    MapKind.HASH_OF_MAPS,
    SubjectKey,
    InnerMap,
    65535,
    "tables of subjects",
    flags=NO_PREALLOC,
    inner=POLICY_TABLE,
)
CIDRS = MapSpec("cidrs", MapKind.LPM_TRIE, CidrKey, CidrInfo, 512000, "prefixes that policies name", flags=NO_PREALLOC)
POLICY_MAPS = (SUBJECTS, POLICIES, CIDRS)
