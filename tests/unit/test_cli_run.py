"""How netctl runs and ends: documents, exit statuses, sentences, which agent it asks, what it loads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from netloom.agent.openapi import OPERATIONS, SCHEMAS
from netloom.agent.openapi_parts import Operation
from netloom.cli.errors import AgentAway, Ambiguous
from netloom.cli.sockets import agents, find_socket
from support import answers, node_answers
from support.netctl import Netctl
from support.peers import leave_behind, listening
from support.recorded_agent import RecordedAgent

NOBODY = 65534
DOCUMENTS = {
    "status": answers.STATUS,
    "endpoint list": answers.ENDPOINTS,
    "endpoint get 1": answers.ENDPOINTS[0],
    "identity list": answers.IDENTITIES,
    "node list": node_answers.NODES,
    "map list": answers.MAPS,
    "map get tunnels": answers.TUNNELS,
    "bpf tunnel list": answers.TUNNELS["entries"],
    "bpf endpoint list": answers.ENDPOINTS_MAP["entries"],
    "bpf ipcache list": answers.IPCACHE["entries"],
    "bpf metrics list": answers.COUNTERS,
    "bpf ct list": answers.CONNECTIONS["connections"],
    "plugins list": answers.PLUGINS,
    "config show": answers.CONFIG,
}


@pytest.mark.parametrize("command", DOCUMENTS)
def test_every_list_can_be_had_as_json_and_yaml(ask: Netctl, command: str) -> None:
    assert DOCUMENTS[command] == json.loads(ask(*command.split(), "-o", "json").out)
    assert DOCUMENTS[command] == yaml.safe_load(ask(*command.split(), "--output", "yaml").out)


def items(answer: Any) -> list[dict[str, Any]]:
    return answer if isinstance(answer, list) else [answer]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}")
def test_the_recorded_answers_have_the_shapes_the_agent_promises(operation: Operation) -> None:
    """The one seam of these tests: the keys of every recorded answer are those of its schema."""
    pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", operation.path))
    expected = set(SCHEMAS[operation.schema.removeprefix("*")].get("required", ()))
    for (method, path), answer in answers.ANSWERS.items():
        if method == operation.method.upper() and pattern.fullmatch(path):
            assert [expected] * len(items(answer)) == [set(item) for item in items(answer)]


def test_without_an_agent_it_says_what_to_do_and_ends_with_3(netctl: Netctl, tmp_path: Path) -> None:
    missing = tmp_path / "none.sock"
    status, out, err = netctl("--socket", str(missing), "status")
    assert (status, out) == (3, "")
    assert f"netctl: no agent listens at {missing}: start netloom-agent on this node, or see its log\n" == err


def test_a_socket_nobody_listens_at_any_more_is_an_agent_away(netctl: Netctl, tmp_path: Path) -> None:
    leave_behind(tmp_path / "left.sock")
    assert netctl("--socket", str(tmp_path / "left.sock"), "status").status == 3


def test_an_error_of_the_agent_is_told_in_its_words_and_ends_with_1(ask: Netctl, agent: RecordedAgent) -> None:
    agent.failures["GET", "/v1/endpoints/9"] = (404, "not_found", "endpoint 9 does not exist on this node")
    assert ask("endpoint", "get", "9") == (1, "", "netctl: endpoint 9 does not exist on this node\n")


@pytest.mark.parametrize("words", ["nonsense", "endpoint get one", "status --output xml", "endpoint get"])
def test_wrong_usage_ends_with_2(ask: Netctl, words: str) -> None:
    status, out, err = ask(*words.split())
    assert (status, out) == (2, "")
    assert "Error: " in err


def test_an_agent_that_does_not_answer_is_away(netctl: Netctl, tmp_path: Path) -> None:
    netctl.monkeypatch.setattr("netloom.cli.client.TIMEOUT_S", 0.05)
    with listening(tmp_path / "silent.sock", None):
        status, _, err = netctl("--socket", str(tmp_path / "silent.sock"), "status")
    assert (status, "has not answered within 0.05 s" in err) == (3, True)


def test_a_socket_one_may_not_use_says_what_to_do(ask: Netctl, agent: RecordedAgent) -> None:
    agent.socket.chmod(0)
    own = os.geteuid()
    os.seteuid(own or NOBODY)
    try:
        status, _, err = ask("status")
    finally:
        os.seteuid(own)
    assert (status, "run netctl as root, or join the socket's group" in err) == (3, True)


def test_an_answer_that_is_cut_short_is_an_agent_away(ask: Netctl, agent: RecordedAgent) -> None:
    agent.raw["/v1/status"] = b'{"node": "no'
    status, _, err = ask("status")
    assert (status, "ended its answer half-way" in err) == (3, True)


def test_a_failure_without_a_sentence_still_has_one(ask: Netctl, agent: RecordedAgent) -> None:
    agent.failures["GET", "/v1/status"] = (500, "", "")
    agent.raw["/v1/status"] = b"<html>"
    assert ask("status").err == "netctl: the agent answered with status 500 and no sentence; see its log\n"


def test_forgetting_a_node_says_so(ask: Netctl) -> None:
    assert ask("node", "forget", "node3") == (0, 'Node "node3" is forgotten.\n', "")


def test_forgetting_a_node_that_is_not_there_fails(ask: Netctl) -> None:
    assert ask("node", "forget", "node9")[:2] == (1, "")


def test_names_are_quoted_on_their_way_to_the_agent(ask: Netctl, agent: RecordedAgent) -> None:
    ask("map", "get", "../status?x")
    assert agent.requests[-1][1] == "/v1/maps/..%2Fstatus%3Fx"


def test_options_of_a_command_win_over_those_of_netctl_and_those_over_the_environment(
    ask: Netctl, agent: RecordedAgent
) -> None:
    right, wrong = str(agent.socket), "/nonexistent.sock"
    assert ask("--socket", wrong, "status", "--socket", right).status == 0
    assert ask("--socket", right, "status", "--socket", wrong).status == 3
    assert ask("--socket", wrong, "status").status == 3
    ask.monkeypatch.setenv("NETLOOM_SOCKET", wrong)
    assert ask("--socket", right, "status").status == 0
    assert ask("status").status == 3


def test_a_node_is_asked_by_its_name(ask: Netctl, agent: RecordedAgent) -> None:
    ask.monkeypatch.setenv("NETLOOM_SOCKET", "/nonexistent.sock")
    ask.monkeypatch.setattr("netloom.cli.options.agents", lambda: {"node1": agent.socket})
    assert (ask("--node", "node1", "status").status, ask("status", "--node", "node1").status) == (0, 0)


def test_agents_are_found_by_their_sockets(tmp_path: Path) -> None:
    own, lab = (
        tmp_path / "run" / "node1" / "netloom.sock",
        tmp_path / "labs" / "demo" / "run" / "node2" / "netloom.sock",
    )
    for path in (own, lab):
        path.parent.mkdir(parents=True)
        path.touch()
    assert {"node1": own, "demo/node2": lab} == agents(tmp_path / "run", tmp_path / "labs")


@pytest.mark.parametrize(
    ("node", "names", "expected"),
    [
        (None, ["node1"], "node1"),
        ("node2", ["node1", "node2"], "node2"),
        ("node2", ["node2", "lab/node2"], "node2"),
        ("node2", ["node1", "lab/node2"], "lab/node2"),
        ("two/node1", ["one/node1", "two/node1"], "two/node1"),
    ],
)
def test_a_node_is_named_as_shortly_as_is_clear(node: str | None, names: list[str], expected: str) -> None:
    found = {name: Path("/nonexistent", name) for name in names}
    assert found[expected] == find_socket(node, found)


@pytest.mark.parametrize(("node", "names"), [(None, ["node1", "node2"]), ("node1", ["one/node1", "two/node1"])])
def test_several_agents_are_listed_for_a_choice(node: str | None, names: list[str]) -> None:
    with pytest.raises(Ambiguous, match=", ".join(names)):
        find_socket(node, {name: Path("/nonexistent", name) for name in names})


def test_of_several_sockets_the_one_where_somebody_listens_is_meant(agent: RecordedAgent, tmp_path: Path) -> None:
    found = {"node1": agent.socket, "node2": tmp_path / "left.sock"}
    leave_behind(found["node2"])
    assert agent.socket == find_socket(None, found)


def test_an_unknown_node_is_answered_with_those_there_are() -> None:
    with pytest.raises(AgentAway, match="found node1, lab/node2"):
        find_socket("node7", {"node1": Path("/a"), "lab/node2": Path("/b")})


def test_status_loads_none_of_the_agents_libraries() -> None:
    """What keeps netctl quick: the heavy imports stay with the commands that need them."""
    code = "import sys, netloom.cli.main, netloom.cli.status; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {"aiohttp", "asyncio", "pyroute2", "msgspec", "yaml", "stevedore", "pluggy", "structlog", "netloom.agent"}
    assert set() == loaded & heavy


def test_a_reader_that_has_gone_before_the_output_came_is_no_news(agent: RecordedAgent) -> None:
    """The output is small: it is only when netctl ends that the pipe turns out to be broken."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"NETLOOM_SOCKET": str(agent.socket)}
    command = [str(Path(sys.executable).with_name("netctl")), "status"]
    ended = subprocess.run(command, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")
