"""The ``lab`` section of a config, and the command line's last word."""

from __future__ import annotations

import pytest

from netloom.lab.racks import RackSpec
from netloom.lab.settings import Asked, read, spec_of
from netloom.lab.topology import LabSpec
from netloom.model.errors import ConfigError, Invalid

RACKS = """
lab:
  pods_per_node: 1
  racks:
    - name: a
    - {name: b, nodes: 3}
masquerade: false
"""


def spec(text: str, nodes: int | None = None, pods: int | None = None) -> LabSpec:
    return spec_of(Asked(name="x", nodes=nodes, pods_per_node=pods), read(text, "all.yaml")[0], "all.yaml")


def test_a_file_without_the_section_makes_the_usual_lab() -> None:
    assert spec("masquerade: false") == spec("") == LabSpec(name="x")


def test_the_section_is_taken_off_before_nodes_are_given_the_rest() -> None:
    assert read(RACKS, "all.yaml")[1] == {"masquerade": False}


def test_racks_say_how_many_nodes_there_are() -> None:
    racks = (RackSpec(name="a", nodes=2), RackSpec(name="b", nodes=3))
    assert spec(RACKS) == LabSpec(name="x", nodes=5, pods_per_node=1, racks=racks)


@pytest.mark.parametrize(("nodes", "pods", "expected"), [(None, None, (4, 3)), (1, None, (1, 3)), (5, 0, (5, 0))])
def test_the_command_line_has_the_last_word(nodes: int | None, pods: int | None, expected: tuple[int, int]) -> None:
    made = spec("lab: {nodes: 4, pods_per_node: 3}", nodes, pods)
    assert (made.nodes, made.pods_per_node) == expected


def test_a_number_of_nodes_beside_racks_is_a_clash_that_names_both() -> None:
    with pytest.raises(Invalid, match=r"--nodes 5 and lab.racks of all.yaml both say how many nodes there are"):
        spec(RACKS, nodes=5)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("nodes: 0", "all.yaml:1: lab.nodes: "),
        ("rakcs: []", "lab.rakcs: "),
        ("racks: [{nodes: 2}]", r"lab.racks\[0\].name: "),
        ("racks: [{name: A}]", r"lab.racks\[0\].name: "),
        ("racks: [{name: a}, {name: a}]", "rack a more than once"),
        ("{nodes: 2, racks: [{name: a}]}", "both lab.nodes and lab.racks"),
        ("racks: [{name: a, nodes: 30}, {name: b, nodes: 30}]", "60 nodes in lab.racks"),
        ("asn: 0", "lab.asn: "),
        ("uplinks: 9", "lab.uplinks: "),
    ],
)
def test_what_is_wrong_is_named_with_its_path(section: str, says: str) -> None:
    text = f"lab: {section}" if section.startswith("{") else f"lab: {{{section}}}"
    with pytest.raises(ConfigError, match=says):
        read(text, "all.yaml")
