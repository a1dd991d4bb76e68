"""What Netloom wants to reach beside others, and whether a run has reached it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.agents import Cost
from bench.attach import COMMANDS, OURS, PEERS, percentile
from bench.attach_report import Attaching
from bench.bgp import Spread
from bench.policies import BRIDGE_MANY, BRIDGE_ONE, BRIDGE_SET, MANY, ONE
from bench.policy_scale import Scaling
from bench.request_loads import ANEW, DENIED, KEPT, STREAMS, UNARY
from bench.request_peers import ENVOY, HAPROXY
from bench.requests import P99, RATE, Requests
from bench.routed import FILTERED, NATIVE, NATIVE_ONE, OVERLAY, ROUTED
from bench.routes import FAMILIES, STEPS
from bench.routes import OURS as WRITTEN_BY_US
from bench.routes import PEER as BATCH
from bench.summary import METRICS, Figure, Key

_ONE_NODE, _TWO_NODES = "netloom", "netloom over vxlan"
_NEIGHBOURS = ("bridge", "ptp")
"""Who does the same on one node."""
_PLACES = {0: "one core", 1: "two cores"}
_LESS = {metric.name: metric.less_is_better for metric in METRICS}
_TITLES = {metric.name: metric.title for metric in METRICS}
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One number that is to be reached."""

    name: str
    found: float
    limit: float
    less_is_better: bool
    unit: str = ""
    """"" for a ratio."""

    @property
    def is_met(self) -> bool:
        """Whether it is on the right side of the limit."""
        return self.found <= self.limit if self.less_is_better else self.found >= self.limit

    @property
    def verdict(self) -> str:
        """In words, with how much is missing."""
        return "reached" if self.is_met else f"missed by {abs(self.found / self.limit - 1):.0%}"


def goals(
    figures: Mapping[Key, Figure], attaching: Attaching, scaling: Scaling, spread: Spread, requests: Requests
) -> tuple[Goal, ...]:
    """All of them, in the order of the page."""
    return (
        *_of_one_node(figures),
        *_of_two_nodes(figures),
        *of_routing(figures),
        *of_policies(figures),
        *of_scaling(scaling),
        *of_bgp(spread),
        *of_requests(requests),
        *_of_attaching(attaching),
        *_of_agents(attaching.cost),
    )


def table(found: tuple[Goal, ...]) -> list[str]:
    """Lines of ``RESULTS.md``."""
    rows = [
        f"| {goal.name} | {'at most' if goal.less_is_better else 'at least'} {goal.limit:.2f}{goal.unit} "
        f"| {goal.found:.2f}{goal.unit} | {goal.verdict} |"
        for goal in found
    ]
    return [
        "## Goals",
        "",
        (
            f"{sum(goal.is_met for goal in found)} of {len(found)} were reached in this run. Ratios are those of the "
            'tables below; "beside the better" is the ratio to whichever of `bridge` and `ptp` did better.'
        ),
        "",
        "| | goal | this run | |",
        "|---|---:|---:|---|",
        *rows,
    ]


def _of_one_node(figures: Mapping[Key, Figure]) -> Iterator[Goal]:
    for cpu, place in _PLACES.items():
        own = figures[_ONE_NODE, cpu, "rr_p50_ns"].ratio
        yield Goal(name=f"one node, {place}: round trip to raw veth", found=own, limit=1.10, less_is_better=True)
        for metric in ("rr_p50_ns", "stream_bits_per_second", "connect_per_second"):
            less = _LESS[metric]
            peers = [figures[peer, cpu, metric].ratio for peer in _NEIGHBOURS]
            found = figures[_ONE_NODE, cpu, metric].ratio / (min(peers) if less else max(peers))
            name = f"one node, {place}: {_TITLES[metric]} beside the better"
            yield Goal(name=name, found=found, limit=1.0, less_is_better=less)


def _of_two_nodes(figures: Mapping[Key, Figure]) -> Iterator[Goal]:
    limits = {"rr_p50_ns": 0.90, "stream_bits_per_second": 1.05, "connect_per_second": 1.05}
    for cpu, place in _PLACES.items():
        for metric, limit in limits.items():
            name = f"two nodes, {place}: {_TITLES[metric]} to bridge+vxlan"
            found = figures[_TWO_NODES, cpu, metric].ratio
            yield Goal(name=name, found=found, limit=limit, less_is_better=_LESS[metric])


def of_routing(figures: Mapping[Key, Figure]) -> Iterator[Goal]:
    """Without a tunnel: hardly dearer than the kernel's routing, and cheaper than whatever does more."""
    pairs = ((NATIVE, ROUTED, 0.05), (NATIVE, OVERLAY, 0.0), (NATIVE_ONE, FILTERED, 0.0))
    for cpu, place in _PLACES.items():
        for network, peer, allowance in pairs:
            for metric in ("rr_p50_ns", "stream_bits_per_second", "connect_per_second"):
                less = _LESS[metric]
                yield Goal(
                    name=f"{network}, {place}: {_TITLES[metric]} to {peer}",
                    found=figures[network, cpu, metric].ratio / figures[peer, cpu, metric].ratio,
                    limit=1 + allowance if less else 1 - allowance,
                    less_is_better=less,
                )


def of_policies(figures: Mapping[Key, Figure]) -> Iterator[Goal]:
    """What packets pay for policies."""
    for cpu, place in _PLACES.items():
        for network in (ONE, MANY):
            own = figures[network, cpu, "rr_p50_ns"].ratio
            yield Goal(name=f"{network}, {place}: round trip to no policy", found=own, limit=1.03, less_is_better=True)
        for metric in ("rr_p50_ns", "connect_per_second"):
            for network, peer in ((ONE, BRIDGE_ONE), (MANY, BRIDGE_MANY), (MANY, BRIDGE_SET)):
                found = figures[network, cpu, metric].ratio / figures[peer, cpu, metric].ratio
                name = f"{network}, {place}: {_TITLES[metric]} to {peer}"
                yield Goal(name=name, found=found, limit=1.0, less_is_better=_LESS[metric])


def of_scaling(scaling: Scaling) -> Iterator[Goal]:
    """What a node pays for them."""
    few, adding = scaling.scales[0], scaling.adding
    times = (
        ("one more policy", max(few.policy_s, few.wide_policy_s), 50),
        ("one more identity", max(few.identity_s, few.wide_identity_s), 20),
    )
    yield Goal(
        name="1,000 policies imported and enforced", found=scaling.import_s, limit=1, less_is_better=True, unit=" s"
    )
    for name, found, limit in times:
        yield Goal(name=f"{name} enforced", found=found * 1e3, limit=limit, less_is_better=True, unit=" ms")
    known = adding.known_ns / adding.known_before_ns
    yield Goal(name="ADD with policies to without, identity known", found=known, limit=1.1, less_is_better=True)
    new = (adding.new_ns - adding.known_ns) / 1e6
    yield Goal(name="ADD with policies, more for a new identity", found=new, limit=20, less_is_better=True, unit=" ms")


def of_bgp(spread: Spread) -> Iterator[Goal]:
    """With FRR at the other end."""
    slow = percentile(sorted(spread.announcing.announced_s), 99) * 1e3
    yield Goal(
        name="BGP: a prefix announced into FRR's kernel, 99th percentile",
        found=slow,
        limit=100,
        less_is_better=True,
        unit=" ms",
    )
    for one, limit in zip(spread.learning, (1, 20), strict=True):
        name = f"BGP: {one.routes:,} routes of FRR learnt into the kernel"
        yield Goal(name=name, found=one.all_s, limit=limit, less_is_better=True, unit=" s")
    for step in STEPS:
        found = max(spread.writing.ratios[WRITTEN_BY_US, family, step][0] for family in FAMILIES)
        name = f"{spread.writing.routes:,} routes {step}, the slower IP version to `{BATCH}`"
        yield Goal(name=name, found=found, limit=1.0, less_is_better=True)


def of_requests(requests: Requests) -> Iterator[Goal]:
    """As fast as the proxies that only do this, and free for whom it is not about."""
    rates = (
        (KEPT, HAPROXY, 1.0),
        (KEPT, ENVOY, 2.0),
        (DENIED, HAPROXY, 1.0),
        (ANEW, ENVOY, 1.0),
        (STREAMS, ENVOY, 1.0),
        (UNARY, ENVOY, 1.0),
    )
    for load, peer, limit in rates:
        name = f"requests, {load}: how many to {peer}"
        found = requests.ratios[load, peer, RATE].median
        yield Goal(name=name, found=found, limit=limit, less_is_better=False)
    for load in (KEPT, DENIED):
        name = f"requests, {load}: 99th percentile to {HAPROXY}"
        found = requests.ratios[load, HAPROXY, P99].median
        yield Goal(name=name, found=found, limit=1.0, less_is_better=True)
    for cpu, figure in requests.bystanders.items():
        name = f"ports without rules about requests, {_PLACES[cpu]}: round trip to none anywhere"
        yield Goal(name=name, found=figure.ratio, limit=1.02, less_is_better=True)


def _of_attaching(attaching: Attaching) -> Iterator[Goal]:
    for command in COMMANDS:
        waiting = attaching.waiting[OURS, command]
        for rank, ratio in (("median", waiting.p50_ratio), ("99th percentile", waiting.p99_ratio)):
            yield Goal(name=f"{command}, {rank} to {PEERS[0]}", found=ratio, limit=1.0, less_is_better=True)


def _of_agents(cost: Cost) -> Iterator[Goal]:
    resident = max(size for count, size in cost.resident_bytes if count <= 100)
    yield Goal(name="the last ADDs of a full node to the first", found=cost.full_ratio, limit=1.2, less_is_better=True)
    yield Goal(name="agent ready, compiling", found=cost.cold_s, limit=2.0, less_is_better=True, unit=" s")
    yield Goal(name="agent ready, compiled before", found=cost.warm_s, limit=0.7, less_is_better=True, unit=" s")
    yield Goal(
        name="resident memory with 100 endpoints", found=resident / MIB, limit=80, less_is_better=True, unit=" MiB"
    )
