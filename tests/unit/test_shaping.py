"""From a limit to its queue and its policer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.cni.bandwidth import LEAST_RATE_BPS, MOST_RATE_BPS, NO_BURST_BITS
from netloom.model.bandwidth import RateLimit
from netloom.plan.shaping import default_burst_bits, policer_of, queue_of

MTU_BYTES = 1450
MBIT = 10**6
GBIT = 10**9
OFFLOADED_BYTES = 64 << 10
WIRE_BYTES_MAX = 1 << 24
"""As in bpf/lib/police.h."""
MAX_U32, MAX_U64 = 2**32 - 1, 2**64 - 1
limits = st.builds(
    lambda rate, burst: RateLimit(rate_bps=rate, burst_bits=burst),
    st.integers(LEAST_RATE_BPS, MOST_RATE_BPS),
    st.integers(1, NO_BURST_BITS),
)


@pytest.mark.parametrize(
    ("rate_bps", "burst_bits"), [(1000, 1 << 20), (20 * MBIT, 1 << 20), (GBIT, 10 * MBIT), (10 * GBIT, 100 * MBIT)]
)
def test_a_burst_nobody_named_has_room_for_offloaded_packets_and_late_timers(rate_bps: int, burst_bits: int) -> None:
    assert default_burst_bits(rate_bps) == burst_bits


def test_a_queue_has_the_rate_in_bytes_and_lets_wait_what_it_sends_in_50_ms() -> None:
    queue = queue_of(RateLimit(rate_bps=GBIT, burst_bits=8 * MBIT), MTU_BYTES)
    assert (queue.rate_bytes_ps, queue.burst_bytes, queue.waiting_bytes) == (125 * MBIT, MBIT, 6_250_000)


def test_a_burst_shorter_than_a_packet_is_one_packet() -> None:
    assert queue_of(RateLimit(rate_bps=MBIT, burst_bits=8), MTU_BYTES).burst_bytes == MTU_BYTES + 14


@given(limits)
def test_every_queue_can_be_asked_of_the_kernel(limit: RateLimit) -> None:
    queue = queue_of(limit, MTU_BYTES)
    assert 0 < queue.rate_bytes_ps <= MAX_U64
    assert max(queue.burst_bytes, queue.waiting_bytes) <= MAX_U32
    assert queue.waiting_bytes >= 2 * OFFLOADED_BYTES


@given(limits)
def test_no_clock_of_a_policer_overflows(limit: RateLimit) -> None:
    """In the program: the time of a packet, times 2^16; and the time of decades, plus the burst."""
    policer = policer_of(limit)
    decades_ns = 2**61
    assert policer.ns_per_64kib * WIRE_BYTES_MAX <= MAX_U64
    assert policer.burst_ns + decades_ns <= MAX_U64


@given(limits.filter(lambda limit: limit.rate_bps < 10**11))
def test_a_policer_allows_more_than_its_queue_lets_pass_and_not_much_more(limit: RateLimit) -> None:
    """At once: the queue's burst and an offloaded packet. From then on: 5 in 100 more."""
    queue, policer = queue_of(limit, MTU_BYTES), policer_of(limit)
    rate_bytes_ps = (1 << 16) * 10**9 / policer.ns_per_64kib
    assert 1.04 < rate_bytes_ps / (limit.rate_bps / 8) < 1.06
    assert policer.burst_ns * rate_bytes_ps / 10**9 > queue.burst_bytes + OFFLOADED_BYTES
