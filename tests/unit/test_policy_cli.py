"""What netctl says of policy files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.netctl import Netctl, text
from support.policies import written

GOOD = written("endpointSelector: {}\ningress: [{}]\n")
STRANGE = written("endpointSelector: {}\n", namespace="team")
BAD = written("endpointSelector: {}\nfoo: 1\nbar: 2\n", namespace="bad")


@pytest.fixture
def alone(netctl: Netctl, tmp_path: Path) -> Netctl:
    """Netctl on a machine without agents, beside some files."""
    netctl.monkeypatch.setattr("netloom.cli.options.agents", dict)
    netctl.monkeypatch.chdir(tmp_path)
    for name, content in (("good", GOOD), ("strange", STRANGE), ("bad", BAD), ("empty", "")):
        Path(f"{name}.yaml").write_text(content)
    return netctl


def test_policies_of_good_files_are_listed(alone: Netctl) -> None:
    assert alone("policy", "validate", "good.yaml", "empty.yaml") == (
        0,
        text("""
            good.yaml is valid:
            KIND                  NAMESPACE   NAME   RULES   AUDIT
            CiliumNetworkPolicy   default     p      1       no
            empty.yaml is valid, and holds no policy.
        """),
        "",
    )


def test_warnings_go_to_standard_error_and_are_no_failure(alone: Netctl) -> None:
    status, out, err = alone("policy", "validate", "strange.yaml")
    assert (status, out.splitlines()[0]) == (0, "strange.yaml is valid:")
    assert err == "strange.yaml:6: spec: warning: this rule has neither ingress nor egress, so it says nothing\n"


def test_all_problems_of_all_files_are_told_and_the_status_is_4(alone: Netctl) -> None:
    status, out, err = alone("policy", "validate", "bad.yaml", "none.yaml", "good.yaml")
    assert (status, out.splitlines()[:3]) == (
        4,
        ["bad.yaml is not valid.", "none.yaml is not valid.", "good.yaml is valid:"],
    )
    assert [line.split(": ")[0] for line in err.splitlines()] == [
        "bad.yaml:7", "bad.yaml:8", "none.yaml", "3 problems found.",
    ]  # fmt: skip


def test_a_policy_of_two_files_is_a_problem_of_the_second(alone: Netctl) -> None:
    status, _, err = alone("policy", "validate", "good.yaml", "good.yaml")
    assert (status, "again (first in good.yaml:1)" in err) == (4, True)


def test_findings_can_be_had_as_json(alone: Netctl) -> None:
    status, out, err = alone("policy", "validate", "strange.yaml", "bad.yaml", "-o", "json")
    strange, bad = json.loads(out)
    assert (status, err) == (4, "")
    assert strange["policies"] == [
        {"kind": "CiliumNetworkPolicy", "namespace": "team", "name": "p", "rules": 1, "audit": False}
    ]
    assert [warning["path"] for warning in strange["warnings"]] == ["spec"]
    assert (bad["file"], bad["valid"], [problem["line"] for problem in bad["problems"]]) == ("bad.yaml", False, [7, 8])


def test_standard_input_is_a_file_too(alone: Netctl) -> None:
    alone.monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(GOOD.encode())))
    assert alone("policy", "validate", "-").out.startswith("- is valid:\nKIND")


def test_a_file_cannot_steer_the_terminal(alone: Netctl) -> None:
    Path("evil.yaml").write_text('kind: "\\e[2J"\n"a\\e[2J": 1\n' + GOOD.replace("metadata", '"\\e[2J"'))
    _, _, err = alone("policy", "validate", "evil.yaml")
    assert err
    assert "\x1b" not in err


def test_a_protocol_that_no_installed_plugin_gives_is_a_problem(alone: Netctl) -> None:
    rules = "ports: [{port: '80', protocol: TCP}], rules: {l7proto: gopher}"
    Path("l7.yaml").write_text(written(f"endpointSelector: {{}}\ningress: [{{toPorts: [{{{rules}}}]}}]\n"))
    status, _, err = alone("policy", "validate", "l7.yaml")
    assert (status, 'protocol "gopher", expected the name of a protocol that a plugin gives' in err) == (4, True)
