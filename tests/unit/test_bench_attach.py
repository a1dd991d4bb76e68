"""What the benchmark says of attachments."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from bench.agents import Cost
from bench.attach import COMMANDS, OURS, PEERS, Calls, Plan, percentile, summarise
from bench.attach_report import Attaching, picture, section

MS = 1_000_000


def calls(network: str, number: int, *took_ms: int) -> Calls:
    return Calls(network=network, command="ADD", round=number, took_ns=tuple(value * MS for value in took_ms))


@pytest.fixture
def measured() -> Attaching:
    each = [
        Calls(network=network, command=command, round=0, took_ns=(2 * MS, 4 * MS))
        for network in (*PEERS, OURS)
        for command in COMMANDS
    ]
    cost = Cost(
        cold_s=1.9,
        warm_s=0.66,
        resident_bytes=((0, 64 << 20), (100, 65 << 20), (200, 68 << 20)),
        first_ns=3.0 * MS,
        last_ns=3.3 * MS,
        full_ratio=1.1,
    )
    return Attaching(plan=Plan(rounds=1, pods=2), waiting=summarise(each), cost=cost)


@pytest.mark.parametrize(("rank", "wanted"), [(0, 1), (1, 1), (50, 2), (51, 3), (75, 3), (99, 4), (100, 4)])
def test_a_percentile_is_one_of_the_values(rank: int, wanted: int) -> None:
    assert percentile([4, 2, 1, 3], rank) == wanted


def test_ratios_of_waiting_are_formed_within_a_round() -> None:
    """A round in which everything takes ten times as long changes nothing."""
    rounds = [(1, 10, 5), (10, 100, 50), (1, 10, 5)]
    peers = [calls(PEERS[0], number, base) for number, (_, base, _) in enumerate(rounds)]
    own = [calls(OURS, number, mine) for number, (_, _, mine) in enumerate(rounds)]
    found = summarise([*peers, *own])[OURS, "ADD"]
    assert (found.p50_ratio, found.p99_ratio, found.p50_ns, found.minimum_ns) == (0.5, 0.5, 5 * MS, 5 * MS)


def test_the_section_names_every_network_and_every_figure(measured: Attaching) -> None:
    text = "\n".join(section(measured))
    wanted = [*PEERS, OURS, "ADD, median", "DEL, 99th percentile", "**1.00**", "0.66 s", "1.90 s", "20.5 KiB", "1.10"]
    assert [word for word in wanted if word not in text] == []


def test_the_picture_has_a_bar_for_each_network_command_and_percentile(measured: Attaching) -> None:
    root = ET.fromstring(picture(measured))  # noqa: S314 - our own text
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 1 + len((*PEERS, OURS)) * len(COMMANDS) * 2
