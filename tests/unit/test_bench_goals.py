"""Goals of the benchmark, and what a run has reached of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bench.agents import Cost
from bench.attach import COMMANDS, OURS, PEERS, Calls, Plan, summarise
from bench.attach_report import Attaching
from bench.bgp import Announcing, Learning, Spread
from bench.bgp_report import section
from bench.goals import MIB, Goal, goals, table
from bench.policies import OURS as WITH_POLICIES
from bench.policy_scale import Adding, Scale, Scaling
from bench.report import bases
from bench.request_loads import LOADS
from bench.request_peers import PEERS as PEERS_OF_PROXY
from bench.requests import P99, RATE, Ratio, Requests
from bench.routes import CHANGED, FAMILIES, PEER, STEPS, Sample
from bench.routes import OURS as BY_US
from bench.routes import summarise as summarise_routes
from bench.summary import METRICS, Figure, Key

from netloom.model.address import Family

COST = Cost(
    cold_s=1.5,
    warm_s=0.5,
    resident_bytes=((0, 60 * MIB), (100, 70 * MIB), (250, 90 * MIB)),
    first_ns=3e6,
    last_ns=3e6,
    full_ratio=1.0,
)


SCALE = Scale(
    identities=200,
    all_s=1.0,
    policy_s=0.01,
    wide_policy_s=0.04,
    identity_s=0.005,
    wide_identity_s=0.015,
    restart_s=1.0,
    resident_bytes=80 * MIB,
    resident_before_bytes=70 * MIB,
    entries=8000,
    table_bytes=MIB,
)
SCALING = Scaling(
    import_s=0.9, scales=(SCALE,), adding=Adding(known_before_ns=5e6, known_ns=5e6, new_before_ns=7e6, new_ns=1e7)
)


LEARNING = Learning(
    routes=10_000,
    first_s=0.2,
    all_s=0.7,
    withdrawn_s=0.6,
    agent_bytes=90 * MIB,
    speaker_bytes=40 * MIB,
    agent_before_bytes=80 * MIB,
    speaker_before_bytes=20 * MIB,
)
SPREAD = Spread(
    announcing=Announcing(announced_s=(0.06, 0.07), withdrawn_s=(0.06, 0.08)),
    learning=(LEARNING, replace(LEARNING, routes=100_000, all_s=13.0)),
    writing=summarise_routes(
        [
            Sample(way=way, family=family, step=step, round=number, seconds=seconds * (number + 1))
            for way, seconds in ((PEER, 0.4), (BY_US, 0.3))
            for family in FAMILIES
            for step in STEPS
            for number in range(3)
        ],
        routes=10_000,
        rounds=3,
    ),
)
REQUESTS = Requests(
    rounds=1,
    seconds=1,
    medians={},
    ratios={
        (load.name, peer, metric): Ratio(median=ratio, low=ratio, high=ratio)
        for load in LOADS
        for peer in PEERS_OF_PROXY
        for metric, ratio in ((RATE, 2.1), (P99, 0.9))
    },
    idle_bytes={},
    shares={},
    bystanders={0: Figure(value=1, ratio=1.01, low=1, high=1)},
)
SLOW: dict[tuple[str, Family, str], tuple[float, float, float]] = {(BY_US, 6, CHANGED): (1.2, 1.0, 1.4)}


@pytest.fixture
def attaching() -> Attaching:
    calls = [
        Calls(network=network, command=command, round=0, took_ns=(1 if network == OURS else 2,))
        for network in (*PEERS, OURS)
        for command in COMMANDS
    ]
    return Attaching(plan=Plan(rounds=1, pods=1), waiting=summarise(calls), cost=COST)


@pytest.fixture
def figures() -> dict[Key, Figure]:
    """Ours a tenth better than all others in everything."""
    found = {}
    for network in bases():
        for metric in METRICS:
            ratio = (
                1.0
                if "netloom" not in network and network not in WITH_POLICIES
                else 0.9
                if metric.less_is_better
                else 1.1
            )
            for cpu in (0, 1):
                found[network, cpu, metric.name] = Figure(value=1, ratio=ratio, low=ratio, high=ratio)
    return found


def test_who_is_better_in_everything_has_reached_all(figures: dict[Key, Figure], attaching: Attaching) -> None:
    assert [goal.name for goal in goals(figures, attaching, SCALING, SPREAD, REQUESTS) if not goal.is_met] == []


def test_one_peer_that_is_better_is_enough_to_miss(figures: dict[Key, Figure], attaching: Attaching) -> None:
    """The better of the two counts, whichever it is."""
    key = ("ptp", 0, "rr_p50_ns")
    figures[key] = replace(figures[key], ratio=0.8)
    (missed,) = [goal for goal in goals(figures, attaching, SCALING, SPREAD, REQUESTS) if not goal.is_met]
    assert missed.found == pytest.approx(0.9 / 0.8)


def test_the_dearest_of_policies_and_of_identities_counts(figures: dict[Key, Figure], attaching: Attaching) -> None:
    """One for all pods of the node, where that takes longer."""
    dear = replace(SCALING, scales=(replace(SCALE, wide_policy_s=0.06, identity_s=0.03), replace(SCALE, policy_s=9.0)))
    missed = {goal.name: goal.found for goal in goals(figures, attaching, dear, SPREAD, REQUESTS) if not goal.is_met}
    assert missed == {"one more policy enforced": pytest.approx(60), "one more identity enforced": pytest.approx(30)}


def test_a_rule_that_costs_packets_more_than_three_in_a_hundred_misses(
    figures: dict[Key, Figure], attaching: Attaching
) -> None:
    key = ("10,000 rules", 1, "rr_p50_ns")
    figures[key] = replace(figures[key], ratio=1.04)
    missed = [goal.name for goal in goals(figures, attaching, SCALING, SPREAD, REQUESTS) if not goal.is_met]
    assert "10,000 rules, two cores: round trip to no policy" in missed


def test_memory_counts_up_to_a_hundred_endpoints(figures: dict[Key, Figure], attaching: Attaching) -> None:
    (memory,) = [goal for goal in goals(figures, attaching, SCALING, SPREAD, REQUESTS) if goal.unit == " MiB"]
    assert memory.found == 70


@pytest.mark.parametrize(
    ("found", "less", "verdict"),
    [(0.9, True, "reached"), (1.0, True, "reached"), (1.1, True, "missed by 10%"), (0.8, False, "missed by 20%")],
)
def test_a_goal_that_is_missed_says_by_how_much(found: float, less: bool, verdict: str) -> None:
    assert Goal(name="g", found=found, limit=1.0, less_is_better=less).verdict == verdict


def test_the_table_counts_what_was_reached() -> None:
    lines = table((Goal(name="a", found=1, limit=2, less_is_better=True, unit=" s"),))
    assert "| a | at most 2.00 s | 1.00 s | reached |" in lines
    assert any(line.startswith("1 of 1 ") for line in lines)


@pytest.mark.parametrize(
    ("spread", "name"),
    [
        (replace(SPREAD, announcing=replace(SPREAD.announcing, announced_s=(0.06, 0.2))), "99th percentile"),
        (replace(SPREAD, learning=(replace(LEARNING, all_s=1.1), SPREAD.learning[1])), "10,000 routes"),
        (replace(SPREAD, learning=(LEARNING, replace(SPREAD.learning[1], all_s=21))), "100,000 routes"),
        (
            replace(SPREAD, writing=replace(SPREAD.writing, ratios={**SPREAD.writing.ratios, **SLOW})),
            "10,000 routes changed, the slower IP version to `ip -batch`",
        ),
    ],
)
def test_slow_routes_are_missed(figures: dict[Key, Figure], attaching: Attaching, spread: Spread, name: str) -> None:
    missed = [goal.name for goal in goals(figures, attaching, SCALING, spread, REQUESTS) if not goal.is_met]
    assert [name in found for found in missed] == [True]


def test_the_section_about_bgp_has_times_and_memory() -> None:
    text = "\n".join(section(SPREAD))
    for wanted in (
        "| announced | 60 ms | 70 ms | 70 ms |",
        "| 10,000 | 0.20 s | 0.70 s | 0.60 s | 90 MiB, 10 more | 40 MiB, 20 more |",
        "| changed to two, IPv6 | 800 ms | 600 ms, **0.75** (0.75 to 0.75) |",
    ):
        assert wanted in text
