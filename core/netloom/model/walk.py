"""The way of one packet through the nodes, hop by hop, as a packet walk tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Place(StrEnum):
    """Where a hop happens."""

    POD = "pod"
    """A workload's own network: its stack and the interface it has."""
    PROGRAM = "program"
    """A device with one of our programs at that hook."""
    DEVICE = "device"
    """A device without one, which passes the packet on; a tunnel device wraps or unwraps it."""
    STACK = "stack"
    """The node's own IP stack: routes, forwarding, masquerading, local delivery."""
    PROXY = "proxy"
    """The node's proxy, which has a connection of its own with each end."""


class Fate(StrEnum):
    """How a packet ends on a node."""

    DELIVERED = "delivered"
    """A workload or the node itself has it."""
    DROPPED = "dropped"
    NODE = "node"
    """It leaves for another node of the cluster."""
    WORLD = "world"
    """It leaves for an address outside of the cluster."""
    PROXY = "proxy"
    """The node's proxy has it, and lets each request go on that may."""
    DENIED = "denied"
    """The connection stands; the proxy lets the request go no further, and answers the client itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Why a packet went no further."""

    reason: int
    """Number of the drop reason; 0 when it was not our data path that dropped it."""
    name: str
    """Of the drop reason, such as ``UNKNOWN_TARGET``; ``KERNEL`` when the kernel dropped it."""
    text: str
    hint: str = ""
    direction: str = ""
    source_identity: int = 0
    destination_identity: int = 0
    line: int = 0
    """Line of the C source that decided; 0 when it was not our data path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A helper that a stage called: a lookup, a redirect, a change."""

    helper: str
    text: str
    """In words, for people."""
    map: str = ""
    key: Any = None
    """Decoded; None when the call has none."""
    value: Any = None
    """What was found or written, decoded; None when there is nothing of it."""
    result: int = 0
    made: bool = True
    """False when it would have reached beyond the packet: it was told to have succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One program of the pipeline and what it asked for."""

    program: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One header field that is another than before."""

    field: str
    """Such as ``ttl`` or ``destination_mac``; of a tunnel's own headers, ``outer.source``."""
    before: str
    """"" where the frame had no such field."""
    after: str
    """"" where it has none any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step of the way."""

    node: str
    place: Place
    device: str
    """Name of the device; "" in the node's stack."""
    direction: str
    """``ingress`` or ``egress`` of the device; "" in the node's stack."""
    text: str
    """What happened, in a sentence without its full stop."""
    packet: str
    """As it leaves the hop, in one line."""
    frame: bytes
    """The same, byte by byte."""
    captured: bool
    """Whether a capture on the device sees the packet pass."""
    endpoint_id: int = 0
    """The workload whose own side this is, for ``pod``."""
    program: str = ""
    """Attached there; "" when none is."""
    tag: str = ""
    """The kernel's hash of that program's instructions, equal to that of the twin which was run."""
    stages: tuple[Stage, ...] = ()
    changes: tuple[Rewrite, ...] = ()
    drop: Drop | None = None
    answer: bool = False
    """Whether what moves on is an answer to the packet, which itself was dropped."""
    notes: tuple[str, ...] = ()
    requests: tuple[Mapping[str, Any], ...] = ()
    """What the proxy says of each, for ``proxy``: as a trace of policies has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the packet ended on a node."""

    fate: Fate
    text: str
    node: str = ""
    """The next node, for ``NODE``."""
    endpoint_id: int = 0
    """Who has it, for ``DELIVERED`` to a workload; 0 for the node itself."""
    drop: Drop | None = None
    answer: str = ""
    """What was sent back, for ``DROPPED`` and ``DENIED``; "" when nothing was."""
    frame: bytes = b""
    """On the wire, for ``NODE`` and ``WORLD``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The way on one node."""

    node: str
    hops: tuple[Hop, ...]
    ending: Ending
