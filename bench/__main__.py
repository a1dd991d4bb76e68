"""``python -m bench``: measures, and writes ``bench/RESULTS.md`` and its pictures."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench import machine, networks, profile, programs, report
from bench.measure import Plan, build, run
from bench.summary import summarise

HERE = Path(__file__).parent
OUT = HERE / "out"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="how often each network is measured (default 9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement (default 0.5)")
    parser.add_argument("--dry", action="store_true", help="print the page instead of writing it")
    return parser.parse_args()


def main() -> None:
    """Needs root and two cores; takes about four minutes with the defaults."""
    arguments = _arguments()
    plan = Plan(rounds=arguments.rounds, seconds=arguments.seconds, server_cpus=(0, 1))
    program, facts = build(OUT), machine.facts()
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
        samples = list(run(program, pairs, plan, lambda sentence: print(sentence, file=sys.stderr)))
    (OUT / "samples.json").write_text(json.dumps([asdict(sample) for sample in samples], indent=1))
    measured = report.Run(
        machine=facts,
        plan=plan,
        figures=summarise(samples, report.bases()),
        profiles=profiles,
        programs=programs.measure(OUT / "objects"),
    )
    if arguments.dry:
        print(report.page(measured))
        return
    for comparison in report.COMPARISONS:
        (HERE / comparison.picture).write_text(report.picture(comparison, plan, measured.figures))
    (HERE / "RESULTS.md").write_text(report.page(measured))
    print(f"wrote {HERE / 'RESULTS.md'} and its pictures")


if __name__ == "__main__":
    main()
