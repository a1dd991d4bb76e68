"""From a limit to what keeps it: a queue that shapes, and a policer behind the queue that a workload could take away.

Both count whole Ethernet frames. A queue lets no more pass than its burst and, from then on, its rate; a policer allows
for somewhat more of either, so that it never meets what has come through the queue. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from netloom.datapath.registry import PolicerInfo
from netloom.model.bandwidth import RateLimit

LEAST_BURST_BYTES = 128 << 10
"""Of a burst nobody named: two buffers of segmentation offload (64 KiB each), since the queue cuts what is longer."""
ETHERNET_BYTES = 14
_BURST_MS = 10
"""A burst nobody named is what the rate moves in this time, if that is more: timers may come late."""
_LEAST_WAITING_BYTES = 128 << 10
_WAITING_MS = 50
"""How long a packet may wait in a queue at most, unless the queue would be too short for bursts of a slow sender."""
_MOST_WAITING_BYTES = 64 << 20
"""Nobody's quick queue may take all memory."""
_LENIENCE_PERCENT = 5
"""By how much a policer's rate is above the queue's."""
_LATENESS_MS = 100
"""What came through the queue in this time may reach the policer at once: softirqs wait for their CPU."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A token bucket filter (tc-tbf(8))."""

    rate_bytes_ps: int
    burst_bytes: int
    waiting_bytes: int
    """How much may wait in it; what comes then is dropped."""


def default_burst_bits(rate_bps: int) -> int:
    """A burst for whoever names none."""
    return max(8 * LEAST_BURST_BYTES, rate_bps * _BURST_MS // 1000)


def queue_of(limit: RateLimit, mtu_bytes: int) -> Queue:
    """The queue that keeps a limit; a burst shorter than one packet of ``mtu_bytes`` would let none pass."""
    rate = limit.rate_bps // 8
    return Queue(
        rate_bytes_ps=rate,
        burst_bytes=max(limit.burst_bits // 8, mtu_bytes + ETHERNET_BYTES),
        waiting_bytes=min(max(rate * _WAITING_MS // 1000, _LEAST_WAITING_BYTES), _MOST_WAITING_BYTES),
    )


def policer_of(limit: RateLimit) -> PolicerInfo:
    """The policer behind the queue. Above some Tbit/s its clock is too coarse, and it stops nothing."""
    rate = limit.rate_bps * (100 + _LENIENCE_PERCENT) // 100
    late = limit.rate_bps * _LATENESS_MS // 1000
    burst_bits = limit.burst_bits + late + 8 * LEAST_BURST_BYTES
    return PolicerInfo(ns_per_64kib=(8 << 16) * _NS // rate, burst_ns=burst_bits * _NS // rate)
