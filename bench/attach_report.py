"""What attaching costs, as a part of the page and a picture. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.agents import FILLINGS, WINDOW, Cost
from bench.attach import COMMANDS, OURS, PEERS, Plan, Waiting
from bench.plot import Bar, Group, bar_chart

PICTURE = "results-attach.svg"
_NETWORKS = (*PEERS, OURS)
_MS = 1e-6
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attaching:
    """What was measured."""

    plan: Plan
    waiting: Mapping[tuple[str, str], Waiting]
    """By network and command."""
    cost: Cost


def section(measured: Attaching) -> list[str]:
    """Lines of ``RESULTS.md``."""
    plan = measured.plan
    text = (
        "How long a runtime waits for a call: a whole process each, from `posix_spawn` to its exit, one after another "
        f"for {plan.pods} pods, in {plan.rounds} rounds; each round begins with another network. The peers are "
        "Debian's `ptp` and `bridge` with `host-local` and give an IPv4 address; Netloom, through the program that "
        "`netctl cni install` builds, gives one of each family. Figures are medians of the rounds; the number in bold "
        f"is the ratio to `{PEERS[0]}`, formed within each round."
    )
    return [
        "## Attaching and detaching pods",
        "",
        text,
        "",
        f"![waiting for ADD and DEL]({PICTURE})",
        "",
        *_table(measured.waiting),
        "",
        "## The agent",
        "",
        *_costs(measured.cost),
    ]


def picture(measured: Attaching) -> str:
    """``results-attach.svg``: median and 99th percentile of both commands."""
    groups = []
    for command in COMMANDS:
        for name, rank in (("median", 50), ("99th percentile", 99)):
            found = [(network, measured.waiting[network, command]) for network in _NETWORKS]
            values = [(network, (item.p50_ns if rank == 50 else item.p99_ns) * _MS) for network, item in found]
            bars = tuple(Bar(label=network, length=value, text=f"{value:.1f} ms") for network, value in values)
            groups.append(Group(title=f"{command}, {name} (less is better)", bars=bars))
    return bar_chart("Attaching and detaching pods", "how long a runtime waits, in milliseconds", groups)


def _table(waiting: Mapping[tuple[str, str], Waiting]) -> list[str]:
    lines = [f"| | {' | '.join(_NETWORKS)} |", f"|---|{'---:|' * len(_NETWORKS)}"]
    for command in COMMANDS:
        found = [waiting[network, command] for network in _NETWORKS]
        rows = {
            "median": [(item.p50_ns, item.p50_ratio) for item in found],
            "99th percentile": [(item.p99_ns, item.p99_ratio) for item in found],
        }
        for name, cells in rows.items():
            texts = [
                f"{value * _MS:.1f} ms" + (f", **{ratio:.2f}**" if at else "")
                for at, (value, ratio) in enumerate(cells)
            ]
            lines.append(f"| {command}, {name} | {' | '.join(texts)} |")
        lines.append(f"| {command}, least | {' | '.join(f'{item.minimum_ns * _MS:.1f} ms' for item in found)} |")
    return lines


def _costs(cost: Cost) -> list[str]:
    most = cost.resident_bytes[-1][0]
    memory = ", ".join(f"{size / _MIB:.1f} MiB with {count} endpoints" for count, size in cost.resident_bytes)
    return [
        f"* **Ready** {cost.warm_s:.2f} s after its start, {cost.cold_s:.2f} s when it has to compile every program.",
        f"* **Resident memory** {memory}: {cost.bytes_per_endpoint / 1024:.1f} KiB for each endpoint.",
        (
            f"* **On a full node:** the median of the last {WINDOW} of {most} ADDs is {cost.last_ns * _MS:.1f} ms, "
            f"of the first {WINDOW} {cost.first_ns * _MS:.1f} ms; the ratio is {cost.full_ratio:.2f}, formed within "
            f"each of {FILLINGS} fillings."
        ),
    ]
