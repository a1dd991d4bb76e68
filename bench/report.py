"""The figures as a page and a picture. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench import routed
from bench.measure import Plan
from bench.networks import MTU_BYTES
from bench.plot import Bar, Group, bar_chart
from bench.policies import OURS, PEERS
from bench.profile import Profile
from bench.programs import Row
from bench.summary import METRICS, Figure, Key, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Networks that do the same job; the first is the base of the ratios."""

    title: str
    text: str
    networks: tuple[str, ...]
    picture: str
    """Name of its file."""

    @property
    def base(self) -> str:
        """What the others are compared with."""
        return self.networks[0]


COMPARISONS = (
    Comparison(
        title="Two pods of one node",
        text=(
            "A raw veth pair is the least a packet between two namespaces can cost: no lookup, no check, no second "
            "interface. `bridge` and `ptp` are the CNI project's own plugins as Debian packages them, with "
            "`host-local`: two veth pairs on a bridge, and two veth pairs between which the host routes. Netloom has "
            "two veth pairs too; it checks the sender, finds the receiver and counts the packet, then hands it to the "
            "other pod's interface past the host's stack."
        ),
        networks=("veth", "bridge", "ptp", "netloom"),
        picture="results.svg",
    ),
    Comparison(
        title="Two pods of two nodes",
        text=(
            "The base joins two bridges by the kernel's own vxlan: packets are carried alike, all pods are one "
            "network, and nothing knows who sends them. `flannel` is built as that project does it: a subnet for each "
            "node, routed to a vxlan device that learns nothing, with a bridge for the node's pods. Netloom adds the "
            "sender's identity to each packet, and checks on arrival that a node sent it; its programs make and take "
            "off the headers at the underlay device."
        ),
        networks=("bridge+vxlan", "flannel", "netloom over vxlan"),
        picture="results-nodes.svg",
    ),
    Comparison(
        title="Two pods of two nodes, without a tunnel",
        text=(
            "The base is the kernel alone: a pod on each of two nodes behind a veth pair, and both nodes route. Beside "
            "it the same with one rule in nftables at the server's node, behind one that accepts known connections. "
            "Netloom's native mode looks up the node's route in its program and hands the packet to the underlay "
            "device, and from there to the pod, past the host's stack on both nodes; every packet's sender is checked "
            "and its connection known, with policies and without. The last column is Netloom's overlay in the same "
            "rounds. Packets are as long as an underlay of 1500 bytes takes them, in the overlay 50 bytes less."
        ),
        networks=routed.NETWORKS,
        picture="results-native.svg",
    ),
    Comparison(
        title="Two pods with policies between them",
        text=(
            "The base is Netloom without a policy, as in the first comparison. One rule lets the client reach the "
            "ports that are measured; ten thousand rules let it reach ten thousand, the measured ones last. "
            "`bridge` is the CNI project's plugin with nothing to filter; beside it are the same rules in nftables, in "
            "the forward hook through which a bridge's packets pass (`br_netfilter`), behind a rule that accepts known "
            "connections: as a list, and as a set, which whoever writes them by hand would use. Packets of a known "
            "connection meet no rule in either; connections do."
        ),
        networks=(*OURS, *PEERS),
        picture="results-policy.svg",
    ),
)


def bases() -> dict[str, str]:
    """The base of each network."""
    return {network: comparison.base for comparison in COMPARISONS for network in comparison.networks}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that was measured, and where."""

    machine: Sequence[tuple[str, str]]
    plan: Plan
    figures: Mapping[Key, Figure]
    profiles: Sequence[Profile]
    """None without perf."""
    programs: Sequence[Row]
    goals: Sequence[str] = ()
    """Lines about what is to be reached."""
    more: Sequence[str] = ()
    """Lines about other things than packets."""


def page(run: Run) -> str:
    """``RESULTS.md``."""
    lines = [
        "# Results",
        "",
        "Written by `make bench`; run it for your own. Times are only worth something beside others of the same run.",
        "",
        *run.goals,
        "",
    ]
    for comparison in COMPARISONS:
        lines += part(comparison, run.plan, run.figures)
    if run.profiles:
        lines += [*_profiles(run.profiles, run.figures), ""]
    lines += [
        *_programs(run.programs),
        "",
        *_method(run.plan),
        "",
        *run.more,
        "",
        "## Machine",
        "",
        *_facts(run.machine),
        "",
    ]
    return "\n".join(lines)


def part(comparison: Comparison, plan: Plan, figures: Mapping[Key, Figure]) -> list[str]:
    """The lines of one comparison."""
    lines = [f"## {comparison.title}", "", comparison.text, "", f"![ratios]({comparison.picture})", ""]
    for cpu in plan.server_cpus:
        lines += [f"**{_placement(cpu)}**", "", *_table(comparison, cpu, figures), ""]
    return lines


def picture(comparison: Comparison, plan: Plan, figures: Mapping[Key, Figure]) -> str:
    """A comparison as ratios to its base, in SVG."""
    groups = [
        Group(
            title=f"{metric.title} ({'less' if metric.less_is_better else 'more'} is better), {_placement(cpu)}",
            bars=tuple(_bar(network, metric, figures[network, cpu, metric.name]) for network in comparison.networks),
        )
        for cpu in plan.server_cpus
        for metric in METRICS
    ]
    return bar_chart(comparison.title, f"ratio to {comparison.base}", groups)


def _bar(network: str, metric: Metric, figure: Figure) -> Bar:
    return Bar(label=network, length=figure.ratio, text=f"{figure.ratio:.2f}  ({_value(metric, figure)})")


def _table(comparison: Comparison, cpu: int, figures: Mapping[Key, Figure]) -> Iterator[str]:
    yield f"| | {' | '.join(comparison.networks)} |"
    yield f"|---|{'---:|' * len(comparison.networks)}"
    for metric in METRICS:
        cells = [
            _cell(network, comparison, metric, figures[network, cpu, metric.name]) for network in comparison.networks
        ]
        yield f"| {metric.title} | {' | '.join(cells)} |"


def _cell(network: str, comparison: Comparison, metric: Metric, figure: Figure) -> str:
    if network == comparison.base:
        return _value(metric, figure)
    return f"{_value(metric, figure)}, **{figure.ratio:.2f}** ({figure.low:.2f} to {figure.high:.2f})"


def _value(metric: Metric, figure: Figure) -> str:
    return f"{figure.value * metric.scale:.{metric.digits}f} {metric.unit}"


def _placement(server_cpu: int) -> str:
    return "both ends on one core" if server_cpu == 0 else "each end on a core of its own"


def _method(plan: Plan) -> list[str]:
    return [
        "## How it was measured",
        "",
        (
            "`bench/tcpbench.c` is both ends, each held to its core. "
            f"{plan.rounds} rounds; in each round every network is measured once, for {plan.seconds:g} s, one after "
            "another, beginning with another one each time. A figure is the median of the rounds. The number in bold "
            "is the ratio to the first column: it is formed within each round, and the median is shown with the "
            "quartiles, between which half of the rounds lie. "
            f"All networks have an MTU of {MTU_BYTES} bytes, and TCP uses cubic."
        ),
        "",
        "* **round trip**: one byte there and one byte back over a standing connection",
        "* **stream**: as many bytes as will go over one connection, counted when they have arrived",
        "* **connections**: connect, one byte there, one byte back, close, one after another",
    ]


def _profiles(profiles: Sequence[Profile], figures: Mapping[Key, Figure]) -> list[str]:
    lines = [
        "## Where the time goes",
        "",
        (
            "Both ends on one core, split as perf's samples of that core are. The underlay between the nodes is a "
            "bridge in this machine, which all overlays pay for alike."
        ),
    ]
    for what, text, unit_time in _PROFILED:
        found = [item for item in profiles if item.what == what]
        lines += ["", text, "", *_profile_table(found, [unit_time(figures, item.network) for item in found])]
    return lines


def _profile_table(profiles: Sequence[Profile], times_us: Sequence[float]) -> list[str]:
    rows = {
        part: [f"{item.shares[part] * time_us:.1f}" for item, time_us in zip(profiles, times_us, strict=True)]
        for part in profiles[0].shares
    }
    return [
        f"| | {' | '.join(item.network for item in profiles)} |",
        f"|---|{'---:|' * len(profiles)}",
        *(f"| {part} | {' | '.join(cells)} |" for part, cells in rows.items()),
    ]


def _round_trip_us(figures: Mapping[Key, Figure], network: str) -> float:
    return figures[network, 0, "rr_p50_ns"].value / 1e3


def _megabyte_us(figures: Mapping[Key, Figure], network: str) -> float:
    return 8e6 / figures[network, 0, "stream_bits_per_second"].value * 1e6


_PROFILED: tuple[tuple[str, str, Callable[[Mapping[Key, Figure], str], float]], ...] = (
    ("rr", "**Round trip:** microseconds of the median one.", _round_trip_us),
    ("stream", "**Stream:** microseconds for each megabyte.", _megabyte_us),
)


def _programs(rows: Sequence[Row]) -> list[str]:
    head = [
        "## Programs",
        "",
        (
            "Instructions of each program, and how many the verifier walked over all its paths before it let the "
            "program in. A test fails when that is more than the budget (`core/netloom/bpf/budgets.py`)."
        ),
        "",
        "| configuration | program | instructions | walked | budget |",
        "|---|---|---:|---:|---:|",
    ]
    return head + [
        f"| {row.configuration} | `{row.program}` | {row.instructions} | {row.walked} | {row.budget} |" for row in rows
    ]


def _facts(machine: Sequence[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine)]
