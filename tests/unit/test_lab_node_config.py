"""A lab node's config: the user's settings and the lab's own, in one file."""

from __future__ import annotations

import pytest
import yaml

from netloom.lab.node_config import merge, parse_settings, render
from netloom.lab.topology import LabSpec, lay_out
from netloom.model.errors import Invalid

TOPOLOGY = lay_out(LabSpec())


def test_settings_of_the_user_and_of_the_lab_are_joined() -> None:
    """Sections are merged key by key, also those of plugins."""
    settings = {"masquerade": False, "plugins": {"vxlan": {"port": 4789}}}
    config = yaml.safe_load(render(TOPOLOGY, TOPOLOGY.node("node2"), settings))
    assert config["masquerade"] is False
    assert config["node"]["name"] == "node2"
    assert config["plugins"]["vxlan"] == {"port": 4789}
    assert "10.244.2.0/24" in config["plugins"]["hostscope"]["pod_cidrs"]


@pytest.mark.parametrize("settings", [{"node": {"name": "mine"}}, {"paths": {"run_dir": "/x"}}, {"plugins": 3}])
def test_what_only_the_lab_can_know_is_refused(settings: dict[str, object]) -> None:
    """Two nodes of one name, or two agents in one directory, would be no lab."""
    with pytest.raises(Invalid, match="the lab sets it"):
        render(TOPOLOGY, TOPOLOGY.node("node1"), settings)


def test_merging_leaves_both_trees_as_they_were() -> None:
    """One settings tree serves all nodes."""
    base = {"a": {"b": 1}}
    assert merge(base, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert base == {"a": {"b": 1}}


@pytest.mark.parametrize(("text", "says"), [("[1]", "a list"), ("a: [", "not YAML")])
def test_settings_that_are_no_mapping_are_refused(text: str, says: str) -> None:
    """The file is named, and what is in it."""
    with pytest.raises(Invalid, match=says):
        parse_settings(text, "lab.yaml")


def test_an_empty_file_changes_nothing() -> None:
    """YAML calls that null."""
    assert parse_settings("", "lab.yaml") == {}
