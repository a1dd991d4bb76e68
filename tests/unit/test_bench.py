"""What the benchmark says of its samples."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from bench.measure import Plan, Sample
from bench.plot import Bar, Group, bar_chart
from bench.profile import REST, Profile, part_of, shares_in
from bench.programs import Row
from bench.report import COMPARISONS, Comparison, Run, bases, page, picture
from bench.summary import METRICS, Figure, Key, summarise

PLAN = Plan(rounds=3, seconds=0.5, server_cpus=(0, 1))


def sample(network: str, number: int, value: float) -> Sample:
    return Sample(network=network, server_cpu=0, metric="rr_p50_ns", round=number, value=value)


def test_a_ratio_is_formed_within_a_round() -> None:
    """One slow round makes both networks slow, and leaves their ratio as it is."""
    veth = [sample("veth", 0, 10), sample("veth", 1, 100), sample("veth", 2, 10)]
    ours = [sample("ours", 0, 11), sample("ours", 1, 110), sample("ours", 2, 20)]
    figures = summarise([*veth, *ours], {"veth": "veth", "ours": "veth"})
    assert figures["ours", 0, "rr_p50_ns"] == Figure(value=20, ratio=1.1, low=1.1, high=1.55)
    assert figures["veth", 0, "rr_p50_ns"].ratio == 1.0


@pytest.fixture
def figures() -> dict[Key, Figure]:
    figure = Figure(value=12345.0, ratio=1.25, low=1.2, high=1.3)
    return {(name, cpu, metric.name): figure for name in bases() for cpu in PLAN.server_cpus for metric in METRICS}


def test_the_page_holds_every_network_and_metric(figures: dict[Key, Figure]) -> None:
    """And the machine it was measured on."""
    row = Row(configuration="vxlan", program="encap", instructions=700, walked=1000, budget=2000)
    shares = {"bridge": 0.5, "netfilter": 0.5}
    profiles = [Profile(network="netloom", what=what, shares=shares) for what in ("rr", "stream")]
    text = page(Run(machine=[("kernel", "6.18")], plan=PLAN, figures=figures, profiles=profiles, programs=[row]))
    wanted = [*bases(), *(metric.title for metric in METRICS), "| kernel | 6.18 |", "**1.25** (1.20 to 1.30)"]
    wanted += ["| netfilter | 6.2 |", "| netfilter | 324017821.0 |"]
    wanted.append("| vxlan | `encap` | 700 | 1000 | 2000 |")
    assert [word for word in wanted if word not in text] == []


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.picture)
def test_a_picture_is_an_svg_with_a_bar_for_each_figure(comparison: Comparison, figures: dict[Key, Figure]) -> None:
    """Well-formed, and nothing left out."""
    root = ET.fromstring(picture(comparison, PLAN, figures))  # noqa: S314 - our own text
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 1 + len(comparison.networks) * len(METRICS) * len(PLAN.server_cpus)


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    """Half the value, half the length; text is escaped."""
    chart = bar_chart(
        "t", "s", [Group(title="<g>", bars=(Bar(label="a", length=1, text=""), Bar(label="b", length=2, text="")))]
    )
    root = ET.fromstring(chart)  # noqa: S314 - our own text
    _, short, long = (float(bar.attrib["width"]) for bar in root.findall("{http://www.w3.org/2000/svg}rect"))
    assert long == pytest.approx(2 * short, abs=0.1)


@pytest.mark.parametrize(
    ("symbol", "part"),
    [
        ("bpf_prog_2c5e9d4f8b31aa07_from_container", "our programs"),
        ("bpf_prog_2c5e9d4f8b31aa07_somebody", "maps and helpers of eBPF"),
        ("br_nf_pre_routing", "netfilter"),
        ("__br_forward", "bridge"),
        ("vxlan_rcv", "tunnel device"),
        ("finish_task_switch.isra.0", REST),
    ],
)
def test_a_function_belongs_to_one_part(symbol: str, part: str) -> None:
    assert part_of(symbol) == part


def test_shares_are_of_what_was_sampled() -> None:
    """Other lines of the report mean nothing, and the parts are the whole."""
    report = "# comment\n    30.00%  [k] vxlan_rcv\n    10.00%  [.] main\n\n    20.00%  [k] __br_forward\n"
    shares = shares_in(report)
    assert shares["tunnel device"] == 0.5
    assert shares["bridge"] == pytest.approx(1 / 3)
    assert sum(shares.values()) == pytest.approx(1)
