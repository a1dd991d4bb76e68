"""``python -m bench``: measures, and writes ``bench/RESULTS.md`` and its pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench import (
    agents,
    attach,
    attach_report,
    bgp,
    bgp_report,
    bystanders,
    goals,
    machine,
    networks,
    policies,
    policy_report,
    policy_scale,
    prefilter,
    prefilter_report,
    profile,
    programs,
    report,
    request_places,
    request_profile,
    requests,
    requests_report,
    routed,
)
from bench.attach_report import Attaching
from bench.measure import Plan, Sample, build, run
from bench.policy_scale import Scaling
from bench.requests import Requests
from bench.summary import summarise

HERE = Path(__file__).parent
OUT = HERE / "out"
PREFILTER_FRAMES = 1_000_000
"""Of one measurement."""
REQUESTS_ROUNDS, REQUESTS_SECONDS = 5, 4
"""Long enough that the first requests, which wait for all connections to be made, are not one in a hundred."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each network is measured (default 9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement (default 0.5)")
    parser.add_argument("--dry", action="store_true", help="print the page instead of writing it")
    parser.add_argument("--only", choices=list(_PARTS), help="measure this alone, and print its part")
    return parser.parse_args()


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _attaching() -> Attaching:
    plan, driver = attach.Plan(rounds=5, pods=200), attach.build(OUT)
    calls = list(attach.run(driver, networks.MARK, plan, _say))
    (OUT / "attaching.json").write_text(json.dumps([asdict(item) for item in calls], indent=1))
    cost = agents.measure(driver, networks.MARK, _say)
    return Attaching(plan=plan, waiting=attach.summarise(calls), cost=cost)


def _prefilter(rounds: int) -> list[str]:
    """The section about dropping packets by their source."""
    samples = list(prefilter.run(OUT / "objects", networks.MARK, rounds, PREFILTER_FRAMES, _say))
    OUT.mkdir(exist_ok=True)
    (OUT / "prefilter.json").write_text(json.dumps([asdict(sample) for sample in samples], indent=1))
    return prefilter_report.section(prefilter.summarise(samples), rounds, PREFILTER_FRAMES)


def _with_policies(program: Path, plan: Plan) -> list[Sample]:
    """The same measurements between pods with policies between them."""
    with policies.both() as pairs:
        return list(run(program, pairs, plan, _say))


def _without_tunnel(program: Path, plan: Plan) -> list[Sample]:
    """The same measurements between pods of two nodes that no tunnel joins."""
    with routed.both() as pairs:
        return list(run(program, pairs, plan, _say))


def _native_alone(plan: Plan) -> list[str]:
    """Everything about the native mode, with its goals."""
    figures = summarise(_without_tunnel(build(OUT), plan), report.bases())
    return [*goals.table(tuple(goals.of_routing(figures))), "", *report.part(report.COMPARISONS[2], plan, figures)]


def _requests(program: Path, plan: Plan) -> Requests:
    """Those through proxies, and round trips beside them."""
    seconds = max(REQUESTS_SECONDS, round(plan.seconds))
    with request_places.standing() as places:
        idle = {place.name: requests.idle_bytes(place) for place in places}
        samples = list(requests.run(places, min(plan.rounds, REQUESTS_ROUNDS), seconds, _say))
        shares = request_profile.profiles(places, OUT)
    (OUT / "requests.json").write_text(json.dumps([asdict(sample) for sample in samples], indent=1))
    with bystanders.both() as pairs:
        figures = bystanders.summarise(run(program, pairs, plan, _say))
    return requests.summarise(samples, seconds, idle=idle, shares=shares, bystanders=figures)


def _requests_alone(plan: Plan) -> list[str]:
    """Everything about requests, with its goals."""
    found = _requests(build(OUT), plan)
    (OUT / requests_report.PICTURE).write_text(requests_report.picture(found))
    return [*goals.table(tuple(goals.of_requests(found))), "", *requests_report.section(found)]


def _scaling() -> Scaling:
    scaling = policy_scale.measure(attach.build(OUT), networks.MARK, _say)
    (OUT / "scaling.json").write_text(json.dumps(asdict(scaling), indent=1))
    return scaling


def _policies_alone(plan: Plan) -> list[str]:
    """Everything about policies, with its goals."""
    figures, scaling = summarise(_with_policies(build(OUT), plan), report.bases()), _scaling()
    (OUT / policy_report.PICTURE).write_text(policy_report.picture(scaling))
    reached = goals.table((*goals.of_policies(figures), *goals.of_scaling(scaling)))
    return [*reached, "", *report.part(report.COMPARISONS[-1], plan, figures), *policy_report.section(scaling)]


def _packets(program: Path, plan: Plan) -> tuple[tuple[profile.Profile, ...], list[Sample]]:
    """Between pods without policies, and between such with some."""
    with ExitStack() as stack:
        pairs = [
            stack.enter_context(networks.raw_veth()),
            stack.enter_context(networks.reference("bridge")),
            stack.enter_context(networks.reference("ptp")),
            stack.enter_context(networks.bridge_vxlan()),
            stack.enter_context(networks.flannel()),
            *stack.enter_context(networks.netloom()),
        ]
        profiles = profile.profiles(program, pairs, OUT)
        samples = list(run(program, pairs, plan, _say))
    samples += _without_tunnel(program, plan)
    samples += _with_policies(program, plan)
    (OUT / "samples.json").write_text(json.dumps([asdict(sample) for sample in samples], indent=1))
    return profiles, samples


def _write(measured: report.Run, attaching: Attaching, scaling: Scaling, asked: Requests) -> None:
    for comparison in report.COMPARISONS:
        (HERE / comparison.picture).write_text(report.picture(comparison, measured.plan, measured.figures))
    (HERE / attach_report.PICTURE).write_text(attach_report.picture(attaching))
    (HERE / policy_report.PICTURE).write_text(policy_report.picture(scaling))
    (HERE / requests_report.PICTURE).write_text(requests_report.picture(asked))
    (HERE / "RESULTS.md").write_text(report.page(measured))
    print(f"wrote {HERE / 'RESULTS.md'} and its pictures")


def _bgp_alone(_plan: Plan) -> list[str]:
    spread = bgp.measure(networks.MARK, _say)
    return [*goals.table(tuple(goals.of_bgp(spread))), "", *bgp_report.section(spread)]


_PARTS: Mapping[str, Callable[[Plan], list[str]]] = {
    "prefilter": lambda plan: _prefilter(plan.rounds),
    "policies": _policies_alone,
    "native": _native_alone,
    "bgp": _bgp_alone,
    "requests": _requests_alone,
}


def main() -> None:
    """Needs root and two cores; takes about a quarter of an hour with the defaults."""
    arguments = _arguments()
    plan = Plan(rounds=arguments.rounds, seconds=arguments.seconds, server_cpus=(0, 1))
    if arguments.only:
        print("\n".join(_PARTS[arguments.only](plan)))
        return
    program, facts = build(OUT), machine.facts()
    profiles, samples = _packets(program, plan)
    attaching, scaling = _attaching(), _scaling()
    spread, asked = bgp.measure(networks.MARK, _say), _requests(program, plan)
    figures = summarise(samples, report.bases())
    sections = (
        policy_report.section(scaling),
        _prefilter(arguments.rounds),
        bgp_report.section(spread),
        requests_report.section(asked),
        attach_report.section(attaching),
    )
    measured = report.Run(
        machine=facts,
        plan=plan,
        figures=figures,
        profiles=profiles,
        programs=programs.measure(OUT / "objects"),
        goals=goals.table(goals.goals(figures, attaching, scaling, spread, asked)),
        more=[line for section in sections for line in (*section, "")][:-1],
    )
    if arguments.dry:
        print(report.page(measured))
    else:
        _write(measured, attaching, scaling, asked)


if __name__ == "__main__":
    main()
