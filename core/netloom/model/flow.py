"""Flows: what the data path reports of single packets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from netloom.model.address import Address


class FlowKind(StrEnum):
    """What is reported."""

    DROP = "drop"
    TRACE = "trace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What could be read of a packet's headers; None and "" where it could not."""

    protocol: str
    """``tcp``, ``udp``, ``icmp``, ``icmp6``, ``arp``, an IP protocol number, or an ethertype such as ``0x88cc``."""
    source: Address | None = None
    destination: Address | None = None
    source_port: int | None = None
    destination_port: int | None = None
    detail: str = ""
    """TCP flags, ICMP type, or what was wrong with the headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One event of the data path."""

    kind: FlowKind
    at_ns: int
    """Wall clock when the agent read it."""
    code: int
    """Number of the drop reason, or of the observation point."""
    text: str
    """The reason in words, or the observation point as ``monitor`` prints it."""
    direction: str
    """``ingress`` or ``egress``, seen from the endpoint; "" when neither."""
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
