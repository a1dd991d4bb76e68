"""The benchmark measures every network in every way. What it measures is nobody's truth but the machine's."""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from bench import networks, policies, routed
from bench.measure import Plan, build, run
from bench.report import bases
from bench.summary import METRICS

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")]


def test_every_network_is_measured_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One short round; all namespaces are gone afterwards."""
    monkeypatch.setattr(networks, "MARK", f"benchtest{os.getpid()}")
    with ExitStack() as stack:
        pairs = [stack.enter_context(make()) for make in (networks.raw_veth, networks.bridge_vxlan, networks.flannel)]
        pairs += [stack.enter_context(networks.reference(kind)) for kind in ("bridge", "ptp")]
        pairs += stack.enter_context(networks.netloom())
        pairs += stack.enter_context(policies.both(rules=90))
        pairs += stack.enter_context(routed.both())
        plan = Plan(rounds=1, seconds=0.02, server_cpus=(0, 1))
        samples = list(run(build(tmp_path), pairs, plan, lambda _: None))
    wanted = set(product(bases(), plan.server_cpus, [metric.name for metric in METRICS]))
    found = {(sample.network, sample.server_cpu, sample.metric) for sample in samples}
    assert wanted <= found
    assert all(sample.value > 0 for sample in samples)
    assert not [path for path in Path("/run/netns").iterdir() if path.name.startswith(networks.MARK)]
