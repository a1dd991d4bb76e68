"""Bandwidth: how fast a workload may receive and send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Of one direction."""

    rate_bps: int
    """Bits per second, Ethernet headers included."""
    burst_bits: int
    """How much may pass at once after a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """Limits of a workload, by direction; None for no limit."""

    ingress: RateLimit | None = None
    """Of what it receives."""
    egress: RateLimit | None = None
    """Of what it sends."""


UNLIMITED = Bandwidth()
