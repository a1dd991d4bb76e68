"""The benchmark of attachments attaches, detaches and leaves nothing. What it measures is the machine's truth alone."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest
from bench import agents, attach
from bench.attach import COMMANDS, OURS, PEERS, Plan

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not attach.PLUGINS.is_dir(), reason="needs the reference plugins")]

MARK = f"attachtest{os.getpid()}"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What calls the programs."""
    return attach.build(tmp_path_factory.mktemp("driver"))


def namespaces() -> list[str]:
    return [path.name for path in Path("/run/netns").iterdir() if path.name.startswith(MARK)]


def test_every_network_attaches_and_detaches_every_pod(driver: Path) -> None:
    plan = Plan(rounds=1, pods=3)
    found = list(attach.run(driver, MARK, plan, lambda _: None))
    assert {(item.network, item.command) for item in found} == set(product((OURS, *PEERS), COMMANDS))
    assert all(len(item.took_ns) == plan.pods and min(item.took_ns) > 0 for item in found)
    assert namespaces() == []


def test_starts_and_memory_of_an_agent_are_measured(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "STARTS", 1)
    cost = agents.measure(driver, MARK, lambda _: None, full=4, fillings=1)
    assert [count for count, _ in cost.resident_bytes] == [0, 2, 4]
    assert min(cost.cold_s, cost.warm_s, cost.first_ns, cost.last_ns, cost.full_ratio) > 0
    assert namespaces() == []


def test_a_call_that_fails_ends_the_measurement_with_what_the_program_said(driver: Path) -> None:
    """Never a fast figure of something that did not work."""
    with attach.pods(MARK, 1) as prefix:
        program, netns = attach.PLUGINS / "ptp", f"{prefix}0"
        here = attach.Candidate(name="ptp", netns=netns, program=program, config=Path("/dev/null"))
        with pytest.raises(RuntimeError, match=r'ADD by ptp failed: \{\s+"code"'):
            attach.call(driver, here, "ADD", prefix, range(1))
