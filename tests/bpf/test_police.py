"""The policer of what workloads send: how much passes, what a packet costs, and that no two CPUs spend the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest

from netloom.bpf.testrun import run
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import POLICERS, DeviceFlag, DeviceKey, EndpointFlag, PolicerInfo
from netloom.model.address import Address
from support import packets
from support.packets import TCP
from support.pipeline import ALICE, BOB, CAROL, LOOPBACK, WORLD, Pipeline, to

pytestmark = pytest.mark.bpf

REDIRECT = 7
SENDERS = 4
HOUR_NS = 3600 * 10**9
FRAME = to(ip_address("10.244.1.99"))
"""To nobody: it passes the policer, and is dropped for another reason as it came, so that it can be sent repeatedly."""
COST_NS = HOUR_NS
"""Of one FRAME in most tests: at such a rate nothing is earned while a test runs, however slow the machine."""
PASSED = (DropReason.UNKNOWN_TARGET, Direction.EGRESS)


def per_64kib(cost_ns: int, frame_bytes: int) -> int:
    """At which a frame costs that much, or a little more."""
    return -(-(cost_ns << 16) // frame_bytes)


def police(pipeline: Pipeline, *, frames: int, clock_ns: int = 0) -> None:
    """ALICE may send ``frames`` FRAMEs at once, and then next to nothing."""
    pipeline.write_pod(ALICE, device_flags=DeviceFlag.POLICED)
    # One passes whenever the clock is within the burst, so the burst is that of the others.
    burst_ns = (frames - 1) * COST_NS + COST_NS // 2
    put(pipeline, PolicerInfo(per_64kib(COST_NS, len(FRAME)), burst_ns, clock_ns))


def put(pipeline: Pipeline, policer: PolicerInfo) -> None:
    pipeline.maps.of(POLICERS).put(DeviceKey(ALICE.ifindex), policer)


def clock(pipeline: Pipeline) -> int:
    found = pipeline.maps.of(POLICERS).get(DeviceKey(ALICE.ifindex))
    assert found is not None
    return found.clock_ns


def passed(pipeline: Pipeline) -> int:
    counter = pipeline.counters().get(PASSED)
    return counter.packets if counter else 0


@pytest.mark.parametrize("target", [BOB.ipv4, BOB.ipv6, CAROL.ipv4, WORLD[0]], ids=["pod", "pod6", "node", "world"])
def test_what_is_beyond_the_burst_is_dropped_wherever_it_goes(pipeline: Pipeline, target: Address) -> None:
    police(pipeline, frames=3)
    reasons = [pipeline.run("from_container", to(target)).reason for _ in range(5)]
    through = 2 if target.version == 6 else 3  # its frames are longer
    assert reasons == [None] * through + [DropReason.RATE_LIMITED] * (5 - through)


def test_a_long_pause_earns_no_more_than_the_burst(pipeline: Pipeline) -> None:
    """The clock stands where it never was: at the beginning of time."""
    police(pipeline, frames=3, clock_ns=0)
    pipeline.run("from_container", FRAME, repeat=10)
    assert passed(pipeline) == 3


def test_a_workload_without_a_limit_is_not_measured(pipeline: Pipeline) -> None:
    put(pipeline, PolicerInfo(per_64kib(COST_NS, len(FRAME)), 0, 0))
    pipeline.run("from_container", FRAME, repeat=10)
    assert (passed(pipeline), clock(pipeline)) == (10, 0)


def test_what_is_dropped_costs_nothing(pipeline: Pipeline) -> None:
    police(pipeline, frames=1)
    pipeline.run("from_container", FRAME)
    before = clock(pipeline)
    pipeline.run("from_container", FRAME, repeat=5)
    assert clock(pipeline) == before


@pytest.mark.parametrize(
    ("payload", "gso_size", "wire_bytes"),
    [
        (1000, 0, 14 + 20 + 20 + 1000),
        (1000, 1000, 14 + 20 + 20 + 1000),
        (1001, 1000, 2 * (14 + 20 + 20) + 1001),
        (3000, 1000, 3 * (14 + 20 + 20) + 3000),
        (480, 48, 10 * (14 + 20 + 20) + 480),
    ],
)
def test_a_packet_costs_what_its_segments_are_on_the_wire(
    pipeline: Pipeline, payload: int, gso_size: int, wire_bytes: int
) -> None:
    """As the kernel's queues count (qdisc_pkt_len_init): an offloaded packet has a header for each segment."""
    pipeline.write_pod(ALICE, device_flags=DeviceFlag.POLICED)
    ahead = 2**62
    put(pipeline, PolicerInfo(ns_per_64kib=1 << 16, burst_ns=2**63, clock_ns=ahead))
    frame = to(BOB.ipv4, packets.tcp(bytes(payload)), protocol=TCP)
    assert pipeline.run("from_container", frame, gso_size=gso_size).verdict == REDIRECT
    assert clock(pipeline) - ahead == wire_bytes


def test_cpus_that_send_at_once_share_one_burst(pipeline: Pipeline) -> None:
    """Each packet that passed is in the clock, and none passed that did not fit."""
    burst = 50_000
    police(pipeline, frames=burst)
    program = pipeline.programs["from_container"]
    with ThreadPoolExecutor(SENDERS) as workers:
        list(workers.map(lambda _: run(program, FRAME, ifindex=LOOPBACK, repeat=burst), range(SENDERS)))
    assert passed(pipeline) == burst


def test_a_packet_for_a_shaped_workload_goes_by_its_queue(pipeline: Pipeline) -> None:
    """The kernel has no way through a queue from inside out: the frame leaves by the host side of the interface."""
    frame = pipeline.run("from_container", to(BOB.ipv4)).packet
    pipeline.write_pod(BOB, flags=EndpointFlag.SHAPED)
    outcome = pipeline.run("from_container", to(BOB.ipv4))
    assert (outcome.verdict, outcome.packet) == (REDIRECT, frame)
