"""The figures as a page and a picture. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.measure import Plan
from bench.networks import MTU_BYTES
from bench.plot import Bar, Group, bar_chart
from bench.summary import METRICS, Figure, Key, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Networks that do the same job; the first is the base of the ratios."""

    title: str
    text: str
    networks: tuple[str, ...]

    @property
    def base(self) -> str:
        """What the others are compared with."""
        return self.networks[0]


COMPARISONS = (
    Comparison(
        title="Two pods of one node",
        text=(
            "A raw veth pair is the least a packet between two namespaces can cost: no lookup, no check, no second "
            "interface. A bridge is what most container networks of one machine are. Netloom has two veth pairs too; "
            "it checks the sender, finds the receiver and counts the packet, then hands it to the other pod's "
            "interface past the host's stack."
        ),
        networks=("veth", "bridge", "netloom"),
    ),
    Comparison(
        title="Two pods of two nodes",
        text=(
            "The base joins two bridges by the kernel's own vxlan: packets are carried alike, and nothing knows who "
            "sends them. Netloom adds the sender's identity to each packet, and checks on arrival that a node sent it."
        ),
        networks=("bridge+vxlan", "netloom over vxlan"),
    ),
)


def bases() -> dict[str, str]:
    """The base of each network."""
    return {network: comparison.base for comparison in COMPARISONS for network in comparison.networks}


def page(machine: Sequence[tuple[str, str]], plan: Plan, figures: Mapping[Key, Figure]) -> str:
    """``RESULTS.md``."""
    lines = [
        "# Results",
        "",
        "Written by `make bench`; run it for your own. Times are only worth something beside others of the same run.",
        "",
        "![ratios](results.svg)",
        "",
    ]
    for comparison in COMPARISONS:
        lines += [f"## {comparison.title}", "", comparison.text, ""]
        for cpu in plan.server_cpus:
            lines += [f"**{_placement(cpu)}**", "", *_table(comparison, cpu, figures), ""]
    return "\n".join([*lines, *_method(plan), "", "## Machine", "", *_facts(machine), ""])


def picture(plan: Plan, figures: Mapping[Key, Figure]) -> str:
    """``results.svg``: the same-node comparison, as ratios to the base."""
    comparison = COMPARISONS[0]
    groups = [
        Group(
            title=f"{metric.title} ({'less' if metric.less_is_better else 'more'} is better), {_placement(cpu)}",
            bars=tuple(_bar(network, metric, figures[network, cpu, metric.name]) for network in comparison.networks),
        )
        for cpu in plan.server_cpus
        for metric in METRICS
    ]
    return bar_chart("Two pods of one node", f"ratio to a raw {comparison.base} pair", groups)


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


def _facts(machine: Sequence[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine)]
