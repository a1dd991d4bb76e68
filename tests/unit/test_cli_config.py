"""What netctl says of a node config and of plugins, with and without an agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.netctl import Netctl

GOOD = """\
node:
  name: node1
plugins:
  hostscope:
    pod_cidrs: [10.244.1.0/24]
"""
BAD = """\
node:
  nam: node1
mtu_bytes: 3
plugins:
  hostscope:
    pod_cidrs: [10.244.1.0/24]
"""


@pytest.fixture
def alone(netctl: Netctl, tmp_path: Path) -> Netctl:
    """Netctl on a machine without agents."""
    netctl.monkeypatch.setattr("netloom.cli.options.agents", dict)
    netctl.monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)
    return netctl


def test_a_good_config_is_said_to_be_good(alone: Netctl) -> None:
    status, out, err = alone("config", "check", "good.yaml")
    assert (status, err) == (0, "")
    assert out.startswith("good.yaml is valid: 2 settings are written in it, ")


def test_all_problems_of_a_config_are_told_with_their_lines_and_the_status_is_4(alone: Netctl) -> None:
    status, out, err = alone("config", "check", "bad.yaml")
    assert (status, out) == (4, "")
    assert [line.split(": ")[0] for line in err.splitlines()] == ["bad.yaml:2", "bad.yaml:3", "2 problems found."]


def test_problems_can_be_had_as_json(alone: Netctl) -> None:
    status, out, err = alone("config", "check", "bad.yaml", "-o", "json")
    answer = json.loads(out)
    assert (status, answer["valid"], err) == (4, False, "")
    assert [(problem["line"], problem["key"]) for problem in answer["problems"]] == [(2, "node.nam"), (3, "mtu_bytes")]


def test_a_file_that_is_not_there_is_a_problem(alone: Netctl) -> None:
    status, _, err = alone("config", "check", "none.yaml")
    assert (status, "No such file" in err) == (4, True)


def test_every_setting_of_a_file_is_shown_with_its_origin(alone: Netctl) -> None:
    rows = {row["key"]: row for row in json.loads(alone("config", "show", "good.yaml", "-o", "json").out)}
    assert rows["node.name"] == {"key": "node.name", "value": "node1", "origin": "good.yaml:2"}
    assert rows["masquerade"]["origin"] == "default"
    assert rows["plugins.hostscope.pod_cidrs"]["value"] == ["10.244.1.0/24"]


def test_a_bad_config_is_not_shown(alone: Netctl) -> None:
    assert alone("config", "show", "bad.yaml")[:2] == (4, "")


def test_without_an_agent_the_installed_plugins_are_listed(alone: Netctl) -> None:
    status, out, err = alone("plugins", "list", "-o", "yaml")
    assert status == 0
    assert "name: local\n  kind: store\n" in out
    assert "These plugins are installed:" in err


def test_plugins_of_a_certain_agent_that_is_away_are_not_made_up(alone: Netctl) -> None:
    assert alone("plugins", "list", "--socket", "/nonexistent.sock")[:2] == (3, "")


def test_without_an_agent_there_is_still_a_version(alone: Netctl) -> None:
    status, out, err = alone("version")
    assert (status, err) == (0, "")
    assert "no agent is running" in out
