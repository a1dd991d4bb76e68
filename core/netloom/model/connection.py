"""Connections: what a node's data path remembers of those who speak."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from netloom.model.address import Address


class ConnectionState(StrEnum):
    """How far a connection has come. What is not TCP is opening or established."""

    OPENING = "opening"
    """One end has spoken."""
    ANSWERED = "answered"
    """SYN has been answered, and nothing more has come."""
    ESTABLISHED = "established"
    CLOSING = "closing"
    """One end has sent FIN."""
    CLOSED = "closed"
    """Both have."""
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection; its *source* is whoever began it."""

    source: Address
    destination: Address
    source_port: int
    """Of ICMP: the number of the query."""
    destination_port: int
    """Of ICMP: the type of the query."""
    protocol: int
    """Number of the IP protocol."""
    service: int
    """What policies were asked about: destination port, or type of ICMP."""
    source_identity: int
    destination_identity: int
    sent_packets: int
    """By the source."""
    sent_bytes: int
    received_packets: int
    """By the source: what the other end sent."""
    received_bytes: int
    state: ConnectionState
    refused: bool
    """Its last packet was refused: policies, or who its ends are, have changed since it began."""
    expires_in_s: float
    """When it is forgotten unless another packet comes."""
