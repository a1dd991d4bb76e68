"""Node configs among the examples: each is one that an agent takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.lab import settings
from netloom.lab.node_config import render
from netloom.lab.topology import lay_out
from support.netctl import Netctl

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["vxlan.yaml", "native.yaml", "hybrid.yaml"])
def test_an_example_passes_the_check(netctl: Netctl, name: str) -> None:
    assert netctl("config", "check", str(EXAMPLES / name)).status == 0


def test_every_node_of_the_two_racks_has_a_config_that_passes(netctl: Netctl, tmp_path: Path) -> None:
    example = EXAMPLES / "bgp-two-racks.yaml"
    section, tree = settings.read(example.read_text(), str(example))
    topology = lay_out(settings.spec_of(settings.Asked(name="racks"), section, str(example)))
    assert len(topology.nodes) == 4
    for node in topology.nodes:
        file = tmp_path / f"{node.name}.yaml"
        file.write_text(render(topology, node, tree))
        assert netctl("config", "check", str(file)).status == 0


def test_the_config_of_the_page_about_bgp_passes(netctl: Netctl, tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "bgp.md").read_text()
    file = tmp_path / "node.yaml"
    mine = "  hostscope: {pod_cidrs: [10.244.1.0/24]}\n"
    file.write_text(page.partition("```yaml\n")[2].partition("```")[0] + mine)
    assert netctl("config", "check", str(file)).status == 0
