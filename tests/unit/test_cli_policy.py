"""``netctl policy``: what it asks the agent for, what it prints, how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from support.netctl import Netctl, text
from support.policies import written
from support.policy_answers import COMPARISON, OBJECT, POLICIES, TRACE, WEB, WIDE
from support.recorded_agent import RecordedAgent

SHADOWED = (
    "CiliumNetworkPolicy/shop/web: spec.ingress[0]: warning: the entry allows nothing: other policies deny all of it: "
    "CiliumClusterwideNetworkPolicy/wide"
)
LISTS = {
    "policy list": """
KIND                             NAMESPACE   NAME   RULES   AUDIT   L7     ISOLATES   SELECTS            SELECTS
                                                                                      (endpoints here)   (identities)
CiliumClusterwideNetworkPolicy   -           wide   2       yes     -      -          1                  3
CiliumNetworkPolicy              shop        web    2       no      http   ingress    1                  3

Revision:   5
Enforced:   5
""",
    "policy selectors": """
        SELECTOR         USERS   IDENTITIES
        k8s:app=web      3       256
                                 258
        10.0.0.0/8       1       10.0.0.0/8
                                 10.1.0.0/16
        k8s:app=nobody   1
        {}               1       256
        """
    + "".join(f"                         {number}\n        " for number in range(257, 276))
    + "                         and 2 more\n",
    "policy matrix": """
            FROM \\ TO     1   2   3
        1   shop: app=a   *   b   .
        2   bank: app=b   a   *   *
        3   world         .   b

        *   everything
        .   nothing
        a   icmp (audited)
        b   tcp 80 8000-8010

        note: policy.enforcement is never on this node
        """,
}


@pytest.fixture
def folder(ask: Netctl, tmp_path: Path) -> Path:
    ask.monkeypatch.chdir(tmp_path)
    Path("web.yaml").write_text(written("endpointSelector: {}\ningress: [{}]\n", namespace="shop"))
    return tmp_path


def bodies(agent: RecordedAgent) -> list[Any]:
    return [body for method, _, body in agent.requests if method != "GET"]


@pytest.mark.parametrize("command", LISTS)
def test_a_list_has_its_columns(ask: Netctl, command: str) -> None:
    assert ask(*command.split()).out == text(LISTS[command])


def test_an_import_sends_files_whole_and_tells_what_was_done(ask: Netctl, agent: RecordedAgent, folder: Path) -> None:
    status, out, err = ask("policy", "import", "web.yaml")
    assert bodies(agent) == [
        {"files": [{"name": "web.yaml", "text": (folder / "web.yaml").read_text()}], "dry_run": False}
    ]
    assert (status, out) == (
        0,
        text("""
            CHANGE      KIND                             NAMESPACE   NAME
            changed     CiliumNetworkPolicy              shop        web
            unchanged   CiliumClusterwideNetworkPolicy   -           wide
            Revision: 6
        """),
    )
    assert err.splitlines() == [
        "web.yaml:6: spec: warning: this rule says nothing",
        SHADOWED,
        "CiliumClusterwideNetworkPolicy/wide: warning: the policy selects no identity that is known",
    ]


def test_a_dry_run_says_that_nothing_was_done(ask: Netctl, agent: RecordedAgent, folder: Path) -> None:
    assert folder
    assert ask("policy", "import", "--dry-run", "web.yaml").out.endswith(
        "\nNothing was imported: this was a dry run.\n"
    )
    assert bodies(agent)[0]["dry_run"] is True


def test_an_import_can_wait_for_its_revision(ask: Netctl, agent: RecordedAgent, folder: Path) -> None:
    assert folder
    assert ask("policy", "import", "--wait", "web.yaml").status == 0
    assert agent.requests[-1][:2] == ("GET", "/v1/policies/wait?revision=6")
    assert ask("policy", "import", "--wait", "--dry-run", "web.yaml").status == 2


def test_a_directory_stands_for_the_files_in_it_and_below(ask: Netctl, agent: RecordedAgent, folder: Path) -> None:
    (folder / "all/below").mkdir(parents=True)
    for name in ("all/b.yml", "all/below/a.json", "all/README.md", "all/c.yaml"):
        (folder / name).write_text("")
    ask.monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"{}")))
    assert ask("policy", "import", "all", "-").status == 0
    assert [file["name"] for file in bodies(agent)[0]["files"]] == ["all/b.yml", "all/below/a.json", "all/c.yaml", "-"]


def test_files_that_cannot_be_read_are_told_together_and_nobody_is_asked(
    ask: Netctl, agent: RecordedAgent, folder: Path
) -> None:
    (folder / "empty").mkdir()
    (folder / "latin.yaml").write_bytes(b"\xff")
    status, out, err = ask("policy", "import", "web.yaml", "empty", "none.yaml", "latin.yaml")
    assert (status, out, bodies(agent)) == (4, "", [])
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "empty", "none.yaml", "latin.yaml", "3 problems found",
    ]  # fmt: skip


def test_problems_the_agent_finds_end_with_4(ask: Netctl, agent: RecordedAgent, folder: Path) -> None:
    assert folder
    problem = {"file": "web.yaml", "line": 7, "key": "spec.x", "found": "an unknown field\x1b[2J", "expected": "spec"}
    error = {"error": {"kind": "invalid", "message": "...", "problems": [problem]}}
    agent.raw["/v1/policies"] = json.dumps(error).encode()
    agent.failures["PUT", "/v1/policies"] = (400, "", "")
    status, _, err = ask("policy", "import", "web.yaml")
    assert (status, err) == (
        4,
        "web.yaml:7: spec.x: found an unknown field\ufffd[2J, expected spec\n1 problem found: nothing was imported.\n",
    )


def test_policies_are_deleted_by_name_by_file_or_all(ask: Netctl, agent: RecordedAgent, folder: Path) -> None:
    assert folder
    assert ask("policy", "delete", "shop/web").out == "CiliumNetworkPolicy/shop/web is deleted.\nRevision: 7\n"
    ask("policy", "delete", "-f", "web.yaml")
    ask("policy", "delete", "--all")
    assert bodies(agent) == [
        {"names": ["shop/web"], "all": False},
        {"names": ["CiliumNetworkPolicy/shop/p"], "all": False},
        {"names": [], "all": True},
    ]


@pytest.mark.parametrize("words", [(), ("--all", "web"), ("--all", "-f", "web.yaml"), ("-f", "nothing.yaml")])
def test_what_to_delete_must_be_said_in_one_way(
    ask: Netctl, agent: RecordedAgent, folder: Path, words: tuple[str, ...]
) -> None:
    (folder / "nothing.yaml").write_text("")
    assert (ask("policy", "delete", *words).status, bodies(agent)) == (2, [])


def test_a_policy_is_printed_as_it_can_be_imported(ask: Netctl, agent: RecordedAgent) -> None:
    agent.answers["GET", "/v1/policies"] = POLICIES | {
        "policies": [WIDE | {"object": {"x": 1}}, WEB | {"object": OBJECT}]
    }
    assert yaml.safe_load(ask("policy", "get", "shop/web").out) == OBJECT
    assert json.loads(ask("policy", "get", "cnp/shop/web", "-o", "json").out) == OBJECT
    everything = yaml.safe_load(ask("policy", "get").out)
    assert everything == {"apiVersion": "v1", "kind": "List", "items": [{"x": 1}, OBJECT]}
    assert ask("policy", "get", "web", "-o", "table").out.splitlines()[2].split()[:3] == [
        "CiliumNetworkPolicy",
        "shop",
        "web",
    ]
    assert ask("policy", "get", "none") == (1, "", 'netctl: policy "none" does not exist; see `netctl policy list`\n')


def test_waiting_tells_of_identities_that_are_closed(ask: Netctl, agent: RecordedAgent) -> None:
    status, out, err = ask("policy", "wait", "5", "--timeout", "3")
    assert (status, out) == (0, "Revision 5 is enforced.\n")
    assert err.startswith("netctl: identity 257 is closed, nothing new passes from or to it: the policy table")
    assert agent.requests[-1][1] == "/v1/policies/wait?timeout_s=3&revision=5"


def test_a_trace_tells_rule_by_rule_and_ends_with_5_when_one_packet_is_denied(
    ask: Netctl, agent: RecordedAgent
) -> None:
    words = (
        "--src",
        "world",
        "--dst",
        "app=web",
        "--dport",
        "80",
        "--dport",
        "http/tcp",
        "--icmp",
        "8",
        "--icmp6",
        "128",
    )
    status, out, err = ask("policy", "trace", *words)
    assert (status, err) == (5, "")
    assert bodies(agent) == [
        {
            "source": "world",
            "destination": "app=web",
            "services": ["80", "http/tcp", "8/icmp", "128/icmp6"],
            "family": None,
        }
    ]
    assert out.partition("\n\nworld (")[0] + "\n" == text("""
        world (identity 2, 203.0.113.1) → k8s:app=web (no such identity): tcp port 80

        egress of world: no endpoint with policies, so nothing is asked here

        ingress of k8s:app=web: isolated by CiliumNetworkPolicy/shop/web
          CiliumNetworkPolicy/shop/web spec: the shop's front
            allow spec.ingress[0]      matches
            deny  spec.ingressDeny[0]  is about other services
          CiliumClusterwideNetworkPolicy/wide (audit) spec
            says nothing of ingress
          allowed by CiliumNetworkPolicy/shop/web spec.ingress[0]

        Final verdict: ALLOWED
    """)
    assert "Final verdict: DENIED\n\nnote: no identity has the labels" in out


def test_a_trace_whose_packets_all_pass_ends_with_0(ask: Netctl, agent: RecordedAgent) -> None:
    agent.answers["POST", "/v1/policies/trace"] = TRACE | {"traces": TRACE["traces"][:1]}
    assert ask("policy", "trace", "--src", "world", "--dst", "host", "--dport", "80").status == 0


def test_a_packet_for_a_closed_identity_is_denied_whatever_policies_say(ask: Netctl, agent: RecordedAgent) -> None:
    one = TRACE["traces"][0]
    closed = one | {"passes": False, "ingress": one["ingress"] | {"closed": "no room"}}
    agent.answers["POST", "/v1/policies/trace"] = TRACE | {"traces": [closed]}
    status, out, _ = ask("policy", "trace", "--src", "world", "--dst", "host", "--dport", "80")
    assert status == 5
    assert "; but the identity is closed: no room" in out
    assert "Final verdict: DENIED (closed)" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "nothing is sent: name what with --dport PORT"),
        (("--dport", "0"), '"0" has 0, expected a port from 1 to 65535'),
        (("--dport", "80/quic"), '"80/quic" has no protocol that is known'),
        (("--icmp", "256"), '"256/icmp" has 256, expected a type from 0 to 255'),
        (("--icmp", "echo"), '"echo/icmp" is no service'),
    ],
)
def test_a_packet_that_cannot_be_is_wrong_usage(
    ask: Netctl, agent: RecordedAgent, words: tuple[str, ...], sentence: str
) -> None:
    status, _, err = ask("policy", "trace", "--src", "world", "--dst", "host", *words)
    assert (status, bodies(agent)) == (2, [])
    assert sentence in err


def test_a_pod_of_another_node_is_found_where_its_agent_listens_beside(netctl: Netctl, tmp_path: Path) -> None:
    agents = {}
    for node, pod in (("node1", "one"), ("node2", "two")):
        (tmp_path / node).mkdir()
        agents[node] = RecordedAgent(tmp_path / node / "netloom.sock")
        view = {"pod_name": pod, "pod_namespace": "shop", "ipv4": "10.244.2.2", "ipv6": None}
        agents[node].answers["GET", "/v1/endpoints"] = [view]
    try:
        netctl(
            "--socket",
            str(agents["node1"].socket),
            "policy",
            "trace",
            "--src",
            "one",
            "--dst",
            "shop/two",
            "--icmp",
            "8",
        )
        (body,) = bodies(agents["node1"])
    finally:
        for agent in agents.values():
            agent.close()
    assert (body["source"], body["destination"]) == ("one", {"name": "shop/two", "addresses": ["10.244.2.2"]})


def test_what_if_tells_flows_then_pairs_and_ends_with_6(ask: Netctl, agent: RecordedAgent, folder: Path) -> None:
    status, out, _ = ask("policy", "what-if", "web.yaml", "--delete", "old")
    assert bodies(agent) == [
        {"files": [{"name": "web.yaml", "text": (folder / "web.yaml").read_text()}], "delete": ["old"]}
    ]
    assert (status, out) == (
        6,
        text("""
            Flows seen by this node: 3 (3 of connections, 1 of events)
              2 would be denied:
                FLOWS   FROM                        TO                          SERVICE   BECAUSE
                2       10.244.1.2 (identity 256)   10.244.1.3 (identity 257)   tcp 80    denied by default on ingress, isolated by CiliumNetworkPolicy/shop/web
              1 would pass:
                FLOWS   FROM                        TO                          SERVICE   BECAUSE
                1       10.244.1.2 (identity 256)   10.244.1.3 (identity 257)   udp 53    now denied on ingress by CiliumNetworkPolicy/shop/web spec.ingressDeny[0]
              and 1 more kinds of flows

            Who reaches whom: 1 pairs would change
              FROM          TO            NO MORE
              shop: app=a   bank: app=b   everything
        """),  # noqa: E501
    )


def test_what_if_of_no_consequence_ends_with_0(ask: Netctl, agent: RecordedAgent) -> None:
    nothing = {"flows": [], "flow_changes": 0, "cells": [], "cell_changes": 0, "changes": False}
    agent.answers["POST", "/v1/policies/what-if"] = COMPARISON | nothing
    status, out, _ = ask("policy", "what-if", "--delete", "old")
    assert (status, out.splitlines()[-1]) == (0, "Nothing would change.")
    assert ask("policy", "what-if").status == 2
