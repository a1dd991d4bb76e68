"""The CNI program as a runtime runs it: what it carries to the agent, and what it does when nobody answers."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from netloom.cni import pending
from netloom.cni.main import main
from support.peers import leave_behind, listening, listening_as
from support.recorded_agent import RecordedAgent

PROGRAM = Path(sys.executable).with_name("netloom-cni")
CALL = {
    "CNI_CONTAINERID": "c0ffee01",
    "CNI_NETNS": "/run/netns/busybox1",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=busybox1;IgnoreUnknown=1",
}
COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS")


class Ended(NamedTuple):
    """How a call ended."""

    status: int
    answer: Any
    """What was printed, decoded; None for nothing."""


Run = Callable[..., Ended]


@pytest.fixture
def run(agent: RecordedAgent, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Call the program in this process: ``run("ADD", cniVersion="1.1.0")``."""

    def call(command: str, *arguments: str, **config: Any) -> Ended:
        for name, value in (CALL | {"CNI_COMMAND": command}).items():
            monkeypatch.setenv(name, value)
        whole = {"cniVersion": "1.1.0", "name": "netloom", "type": "netloom-cni", "socket": str(agent.socket)} | config
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(whole).encode())))
        status = main(arguments)
        out = capsysbinary.readouterr().out
        return Ended(status, json.loads(out) if out else None)

    return call


def left(socket: Path) -> list[str]:
    """Keys of the detachments that wait beside a socket."""
    found = map(pending.read, pending.waiting(pending.directory_of(str(socket))))
    return ["/".join(detachment) for detachment in found if detachment]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_call_goes_to_the_agent_as_it_came(agent: RecordedAgent, run: Run, command: str) -> None:
    assert run(command) == (0, {})
    ((environment, stdin),) = agent.calls
    assert environment == CALL | {"CNI_COMMAND": command}
    assert json.loads(stdin)["socket"] == str(agent.socket)


def test_the_agents_words_and_status_are_the_programs(agent: RecordedAgent, run: Run) -> None:
    agent.ending = (1, b'{"code": 101}\n')
    assert run("ADD") == (1, {"code": 101})


def test_what_the_agent_need_not_see_is_refused_here(agent: RecordedAgent, run: Run) -> None:
    assert run("ADD", cniVersion="9.0.0").answer["code"] == 1
    assert agent.calls == []


@pytest.mark.parametrize("version", ["0.4.0", "9.0.0"])
def test_version_needs_no_agent_and_refuses_nothing(run: Run, version: str) -> None:
    supported = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    expected = {"cniVersion": version, "supportedVersions": supported}
    assert run("VERSION", cniVersion=version, socket="/nonexistent") == (0, expected)


@pytest.mark.parametrize(("names", "code"), [([], 11), (["one"], 0), (["one", "two"], 7)])
def test_without_a_socket_in_the_config_the_only_agent_is_meant(
    agent: RecordedAgent, run: Run, monkeypatch: pytest.MonkeyPatch, names: list[str], code: int
) -> None:
    runs = agent.socket.parent / "run"
    for name in names:
        (runs / name).mkdir(parents=True)
        os.link(agent.socket, runs / name / "netloom.sock")
    monkeypatch.setattr("netloom.cni.agent.RUN_DIRS", f"{runs}/*")
    answer = run("ADD", socket="").answer
    assert answer.get("code", 0) == code


def test_an_agent_that_has_not_run_since_the_machine_started_is_known_by_its_lock(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "run/n1").mkdir(parents=True)
    (tmp_path / "run/n1/lock").touch()
    monkeypatch.setattr("netloom.cni.agent.RUN_DIRS", f"{tmp_path}/run/*")
    assert run("DEL", socket="") == (0, None)
    assert left(tmp_path / "run/n1/netloom.sock") == ["c0ffee01/eth0"]


def test_the_socket_told_at_installation_serves_a_config_without_one(agent: RecordedAgent, run: Run) -> None:
    assert run("ADD", str(agent.socket), socket="") == (0, {})
    assert run("ADD", "/nonexistent") == (0, {}), "a config that names a socket is right"


@pytest.mark.parametrize(("command", "code"), [("ADD", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50)])
def test_without_an_agent_the_runtime_is_told_to_try_again_later(run: Run, command: str, code: int) -> None:
    status, answer = run(command, socket="/nonexistent.sock")
    assert (status, answer["code"], answer["cniVersion"]) == (1, code, "1.1.0")
    assert "/nonexistent.sock: No such file or directory" in answer["msg"]


def test_a_del_without_an_agent_is_remembered_and_succeeds(run: Run, tmp_path: Path) -> None:
    socket = tmp_path / "n1/netloom.sock"
    assert run("DEL", socket=str(socket)) == (0, None)
    assert left(socket) == ["c0ffee01/eth0"]


def test_a_del_that_finds_a_dead_agents_socket_is_remembered(run: Run, tmp_path: Path) -> None:
    leave_behind(tmp_path / "left.sock")
    assert run("DEL", socket=str(tmp_path / "left.sock")) == (0, None)
    assert left(tmp_path / "left.sock") == ["c0ffee01/eth0"]


def test_a_del_that_cannot_be_remembered_has_code_11(run: Run, tmp_path: Path) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1/detachments").write_text("in the way")
    status, answer = run("DEL", socket=str(tmp_path / "n1/netloom.sock"))
    assert (status, answer["code"]) == (1, 11)


REPLIES = [
    (b"", "without an HTTP answer"),
    (b"220 mail.example ESMTP\r\n", "without an HTTP answer"),
    (b"HTTP/1.0 fine\r\n\r\n{}", "without an HTTP answer"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\nNetloom-Exit-Status: 0\r\n\r\n{", "in the middle"),
    (b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 1000, "more than 999 bytes"),
]


@pytest.mark.parametrize(("reply", "words"), REPLIES)
def test_whoever_else_listens_there_is_no_agent(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: bytes, words: str
) -> None:
    monkeypatch.setattr("netloom.cni.agent.MAX_ANSWER_BYTES", 999)
    with listening(tmp_path / "other.sock", reply):
        status, answer = run("ADD", socket=str(tmp_path / "other.sock"))
    assert (status, answer["code"], words in answer["msg"]) == (1, 11, True)


def test_an_agent_that_hangs_is_waited_for_no_longer_than_the_bound(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("netloom.cni.agent.TIMEOUT_S", 0.05)
    with listening(tmp_path / "other.sock", None):
        answer = run("ADD", socket=str(tmp_path / "other.sock")).answer
        assert (answer["code"], "did not answer within 0.05 s" in answer["msg"]) == (11, True)
        assert run("DEL", socket=str(tmp_path / "other.sock")) == (0, None)


def test_an_agent_that_the_relay_waited_for_is_not_asked_again(agent: RecordedAgent, run: Run) -> None:
    assert "did not answer within 30 s" in run("ADD", str(agent.socket), "hung").answer["msg"]
    assert agent.calls == []


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b"<html>", "<html>"),
        (404, b'{"error": {"kind": "not_found", "message": "the agent\'s own sentence"}}', "own sentence"),
        (200, b"{}", "status 200"),
    ],
)
def test_an_agent_that_does_not_know_calls_has_failed(
    agent: RecordedAgent, run: Run, status: int, body: bytes, words: str
) -> None:
    agent.refusal = (status, body)
    answer = run("ADD").answer
    assert (answer["code"], words in answer["msg"]) == (100, True)


def refused(run: Run, socket: Path) -> str:
    status, answer = run("ADD", socket=str(socket))
    assert (status, answer["code"]) == (1, 11)
    words: str = answer["msg"]
    return words


def test_what_is_no_socket_is_not_asked(run: Run, agent: RecordedAgent, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link.sock").symlink_to(agent.socket)
    for name in ("file", "link.sock"):
        assert "is no socket" in refused(run, tmp_path / name)
    assert agent.calls == []


def test_a_socket_in_a_directory_others_can_write_is_not_asked(agent: RecordedAgent, run: Run) -> None:
    agent.socket.parent.chmod(0o777)
    assert "can be written by others" in refused(run, agent.socket)
    assert agent.calls == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a socket away")
def test_a_socket_that_belongs_to_somebody_else_is_not_asked(agent: RecordedAgent, run: Run) -> None:
    os.chown(agent.socket, 12345, -1)
    assert "belongs to uid 12345" in refused(run, agent.socket)
    assert agent.calls == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_listener_who_is_not_root_is_told_nothing(run: Run, tmp_path: Path) -> None:
    with listening_as(tmp_path / "other.sock", 12345):
        assert "uid 12345 listens at" in refused(run, tmp_path / "other.sock")


def test_the_executable_speaks_on_standard_input_and_output(agent: RecordedAgent) -> None:
    config = json.dumps({"cniVersion": "1.0.0", "name": "n", "type": "netloom-cni", "socket": str(agent.socket)})
    environment = os.environ | CALL | {"CNI_COMMAND": "ADD"}
    ended = subprocess.run([PROGRAM], env=environment, input=config, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("{}\n", "")


def test_a_config_that_never_ends_is_refused() -> None:
    environment = os.environ | CALL | {"CNI_COMMAND": "ADD"}
    with Path("/dev/zero").open("rb") as endless:
        ended = subprocess.run([PROGRAM], env=environment, stdin=endless, capture_output=True, check=False)
    assert (ended.returncode, json.loads(ended.stdout)["code"]) == (1, 6)


def test_without_standard_input_there_is_no_config() -> None:
    environment = os.environ | CALL | {"CNI_COMMAND": "ADD"}
    command = ["sh", "-c", f"exec {PROGRAM} <&-"]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (ended.returncode, json.loads(ended.stdout)["code"]) == (1, 6)


def test_the_program_loads_little() -> None:
    """It runs for every container where there is no relay: what is slow to load stays out."""
    code = "import sys, netloom.cni.main; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"dataclasses", "inspect", "http.client", "email", "asyncio", "logging", "click", "netloom.model"}
    assert heavy & set(ended.stdout.split()) == set()
