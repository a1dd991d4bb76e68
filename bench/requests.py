"""Requests through Netloom's proxy, HAProxy and Envoy with the same rules: interleaved, all on one core."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from bench.request_loads import LOADS, PATH, Load, Measured, measure
from bench.request_peers import HTTP1_PORT, NETLOOM, PEERS, PLACES
from bench.request_places import Place, open_socket
from bench.request_profile import Shares
from bench.summary import Figure

IDLE: Final = 1000
"""Connections that have asked once, and say nothing more."""
RATE, P50, P99, USER, KERNEL = "rate", "p50", "p99", "user", "kernel"
METRICS: Final = (RATE, P50, P99, USER, KERNEL)
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement."""

    place: str
    load: str
    round: int
    values: Mapping[str, float]
    """By metric: requests a second; microseconds of percentiles, and of the proxy's CPU for each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Netloom's number to a peer's: formed within each round, with its quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """All that was found."""

    rounds: int
    seconds: int
    medians: Mapping[tuple[str, str, str], float]
    """By load, place and metric."""
    ratios: Mapping[tuple[str, str, str], Ratio]
    """By load, peer and metric; none of what nobody told."""
    idle_bytes: Mapping[str, float]
    """Resident memory for each idle connection, by place."""
    shares: Shares
    """Of the proxies' CPU time."""
    bystanders: Mapping[int, Figure]
    """Median round trip at a port whose requests nobody judges, by the server's core; the ratio is to that where
    nobody's are judged."""


def run(places: Sequence[Place], rounds: int, seconds: int, say: Callable[[str], None]) -> Iterator[Sample]:
    """Every load by every place once a round; each round begins with another place."""
    for number in range(rounds):
        say(f"requests, round {number + 1} of {rounds}")
        shift = number % len(places)
        for load in LOADS:
            for place in (*places[shift:], *places[:shift]):
                yield _sample(place, load, number, seconds)


def _sample(place: Place, load: Load, number: int, seconds: int) -> Sample:
    before = cpu_us(place.proxy_pid)
    found = measure(load, place.client_netns, place.server, seconds)
    user, kernel = (after - first for after, first in zip(cpu_us(place.proxy_pid), before, strict=True))
    values = _values(found, user / found.requests, kernel / found.requests)
    return Sample(place=place.name, load=load.name, round=number, values=values)


def _values(found: Measured, user_us: float, kernel_us: float) -> dict[str, float]:
    values = {RATE: found.requests_per_second, USER: user_us, KERNEL: kernel_us}
    return values | ({P50: found.p50_us, P99: found.p99_us} if found.p99_us else {})


def cpu_us(pid: int) -> tuple[float, float]:
    """What a process has taken so far, in user space and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, kernel = (int(field) / _TICKS_PER_SECOND * 1e6 for field in fields[11:13])
    return user, kernel


def idle_bytes(place: Place, count: int = IDLE) -> float:
    """How much resident memory of the proxy each connection holds that has asked once, and waits."""
    before = _resident_bytes(place.proxy_pid)
    with ExitStack() as stack:
        for _ in range(count):
            end = stack.enter_context(open_socket(place.client_netns))
            end.settimeout(5)
            end.connect((place.server, HTTP1_PORT))
            end.sendall(f"GET {PATH} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            if not end.recv(4096).startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"a request by {place.name} was not answered")
        return (_resident_bytes(place.proxy_pid) - before) / count


def _resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


def summarise(
    samples: Iterable[Sample],
    seconds: int,
    *,
    idle: Mapping[str, float],
    shares: Shares,
    bystanders: Mapping[int, Figure],
) -> Requests:
    """Medians, and ratios that are formed within a round."""
    found = {(sample.load, sample.place, sample.round): sample.values for sample in samples}
    rounds = 1 + max(number for _, _, number in found)
    medians: dict[tuple[str, str, str], float] = {}
    ratios: dict[tuple[str, str, str], Ratio] = {}
    for load in LOADS:
        metrics = [metric for metric in METRICS if metric in found[load.name, NETLOOM, 0]]
        for metric in metrics:
            by_place = {
                place: [found[load.name, place, number][metric] for number in range(rounds)] for place in PLACES
            }
            medians |= {(load.name, place, metric): median(values) for place, values in by_place.items()}
            if metric in {RATE, P50, P99}:
                ratios |= {(load.name, peer, metric): _ratio(by_place[NETLOOM], by_place[peer]) for peer in PEERS}
    return Requests(
        rounds=rounds,
        seconds=seconds,
        medians=medians,
        ratios=ratios,
        idle_bytes=idle,
        shares=shares,
        bystanders=bystanders,
    )


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Ratio(median=middle, low=low, high=high)
