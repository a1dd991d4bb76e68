"""The CNI program as a runtime runs it: what it asks the agent, what it prints, how it ends."""

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

from netloom.cni.main import main
from support import answers
from support.peers import listening
from support.recorded_agent import RecordedAgent

PROGRAM = Path(sys.executable).with_name("netloom-cni")
ATTACH = ("PUT", "/v1/attachments")
CALL = {
    "CNI_CONTAINERID": "c0ffee01",
    "CNI_NETNS": "/run/netns/busybox1",
    "CNI_IFNAME": "eth0",
    "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=busybox1;IgnoreUnknown=1",
}
IPS = [
    {"address": "10.244.1.2/32", "interface": 1, "gateway": "10.244.1.1"},
    {"address": "fd00:10:244:1::2/128", "interface": 1, "gateway": "fd00:10:244:1::1"},
]
RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "lxc0d15ea5e0001", "mac": "e2:d8:51:8b:44:d4"},
        {"name": "eth0", "mac": "0a:c5:89:f9:04:84", "sandbox": "/run/netns/busybox1"},
    ],
    "ips": IPS,
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}, {"dst": "::/0", "gw": "fd00:10:244:1::1"}],
    "dns": {},
}


class Ended(NamedTuple):
    """How a call ended."""

    status: int
    answer: Any
    """What was printed, decoded; None for nothing."""


Run = Callable[..., Ended]


@pytest.fixture
def run(agent: RecordedAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the program in this process: ``run("ADD", cniVersion="1.1.0")``."""

    def call(command: str, **config: Any) -> Ended:
        for name, value in (CALL | {"CNI_COMMAND": command}).items():
            monkeypatch.setenv(name, value)
        whole = {"cniVersion": "1.0.0", "type": "netloom-cni", "socket": str(agent.socket)} | config
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(whole).encode())))
        status = main()
        out = capsys.readouterr().out
        return Ended(status, json.loads(out) if out else None)

    return call


def test_add_asks_the_agent_for_an_attachment_and_prints_the_result(agent: RecordedAgent, run: Run) -> None:
    assert run("ADD", args={"cni": {"labels": [{"key": "app", "value": "busybox1"}]}}) == (0, RESULT)
    body = {
        "container_id": "c0ffee01",
        "ifname": "eth0",
        "netns": "/run/netns/busybox1",
        "labels": ["k8s:app=busybox1"],
        "pod_name": "busybox1",
        "pod_namespace": "default",
    }
    assert agent.requests == [(*ATTACH, body)]


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0"])
def test_before_1_0_an_address_says_its_family(run: Run, version: str) -> None:
    families = [ip | {"version": family} for ip, family in zip(IPS, "46", strict=True)]
    assert run("ADD", cniVersion=version).answer == RESULT | {"cniVersion": version, "ips": families}


def test_since_1_1_an_interface_says_its_mtu(run: Run) -> None:
    assert [interface["mtu"] for interface in run("ADD", cniVersion="1.1.0").answer["interfaces"]] == [1450, 1450]


def test_an_endpoint_of_one_family_has_one_address_and_one_route(agent: RecordedAgent, run: Run) -> None:
    agent.answers[ATTACH] = answers.ATTACHED | {"endpoint": answers.ENDPOINTS[0] | {"ipv6": None}}
    answer = run("ADD").answer
    assert (answer["ips"], answer["routes"]) == (IPS[:1], RESULT["routes"][:1])  # type: ignore[index]


def test_in_a_chain_the_result_before_is_extended(run: Run) -> None:
    before = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "bond0"}],
        "ips": [{"address": "192.0.2.1/24", "interface": 0}],
        "routes": [{"dst": "192.0.2.0/24"}],
        "dns": {"nameservers": ["192.0.2.53"]},
    }
    answer = run("ADD", prevResult=before).answer
    assert [interface["name"] for interface in answer["interfaces"]] == ["bond0", "lxc0d15ea5e0001", "eth0"]
    assert [(ip["address"], ip["interface"]) for ip in answer["ips"]] == [
        ("192.0.2.1/24", 0),
        ("10.244.1.2/32", 2),
        ("fd00:10:244:1::2/128", 2),
    ]
    assert [route["dst"] for route in answer["routes"]] == ["192.0.2.0/24", "0.0.0.0/0", "::/0"]
    assert answer["dns"] == {"nameservers": ["192.0.2.53"]}


def test_a_family_without_gateway_gets_no_route(agent: RecordedAgent, run: Run) -> None:
    agent.answers[ATTACH] = answers.ATTACHED | {"gateways": ["10.244.1.1"]}
    answer = run("ADD", prevResult={"routes": None}).answer
    assert answer["ips"][1] == {"address": "fd00:10:244:1::2/128", "interface": 1}
    assert answer["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}]


def test_del_names_the_attachment_and_prints_nothing(agent: RecordedAgent, run: Run) -> None:
    assert run("DEL") == (0, None)
    path = "/v1/attachments/c0ffee01/eth0?netns=/run/netns/busybox1"
    assert agent.requests == [("DELETE", path, None)]


def test_odd_names_are_quoted_on_their_way(agent: RecordedAgent, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CALL, "CNI_IFNAME", "eth%0?#")
    monkeypatch.setitem(CALL, "CNI_NETNS", "/run/a b&c=d")
    run("DEL")
    assert agent.requests[0][1] == "/v1/attachments/c0ffee01/eth%250%3F%23?netns=/run/a%20b%26c%3Dd"


@pytest.mark.parametrize("version", ["0.4.0", "9.0.0"])
def test_version_needs_no_agent_and_refuses_nothing(run: Run, version: str) -> None:
    supported = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    expected = {"cniVersion": version, "supportedVersions": supported}
    assert run("VERSION", cniVersion=version, socket="/nonexistent") == (0, expected)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid", 4),
        (404, "not_found", 3),
        (409, "conflict", 101),
        (507, "exhausted", 102),
        (503, "unavailable", 11),
        (500, "internal", 100),
        (501, "unsupported", 100),
    ],
)
def test_an_error_of_the_agent_keeps_its_words_and_gets_a_code(
    agent: RecordedAgent, run: Run, status: int, kind: str, code: int
) -> None:
    agent.failures[ATTACH] = (status, kind, "the agent's own sentence")
    error = {"cniVersion": "1.0.0", "code": code, "msg": "the agent's own sentence", "details": ""}
    assert run("ADD") == (1, error)


@pytest.mark.parametrize(("names", "code"), [([], 11), (["one"], 0), (["one", "two"], 7)])
def test_without_a_socket_in_the_config_the_only_agent_is_meant(
    agent: RecordedAgent, run: Run, monkeypatch: pytest.MonkeyPatch, names: list[str], code: int
) -> None:
    runs = agent.socket.parent / "run"
    for name in names:
        (runs / name).mkdir(parents=True)
        (runs / name / "netloom.sock").symlink_to(agent.socket)
    monkeypatch.setattr("netloom.cni.agent.SOCKETS", f"{runs}/*/netloom.sock")
    answer = run("DEL", socket="").answer
    assert (answer["code"] if answer else 0) == code


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (None, "timed out"),
        (b"", "without an HTTP answer"),
        (b"220 mail.example ESMTP\r\n", "without an HTTP answer"),
        (b"HTTP/1.0 fine\r\n\r\n{}", "without an HTTP answer"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 1000, "more than 999 bytes"),
    ],
)
def test_whoever_else_listens_there_is_no_agent(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: bytes | None, words: str
) -> None:
    monkeypatch.setattr("netloom.cni.agent.TIMEOUT_S", 0.05 if reply is None else 10.0)
    monkeypatch.setattr("netloom.cni.agent.MAX_ANSWER_BYTES", 999)
    with listening(tmp_path / "other.sock", reply):
        status, answer = run("ADD", socket=str(tmp_path / "other.sock"))
    assert (status, answer["code"], words in answer["msg"]) == (1, 11, True)


def test_without_an_agent_the_runtime_is_told_to_try_again_later(run: Run) -> None:
    status, answer = run("ADD", socket="/nonexistent.sock", cniVersion="0.4.0")
    assert (status, answer["code"], answer["cniVersion"]) == (1, 11, "0.4.0")
    assert "/nonexistent.sock: No such file or directory" in answer["msg"]


@pytest.mark.parametrize(("body", "code"), [(b"<html>", 100), (b'{"endpoint": ', 100), (b"", 100)])
def test_an_answer_that_is_no_json_is_the_agents_failure(
    agent: RecordedAgent, run: Run, body: bytes, code: int
) -> None:
    agent.raw["/v1/attachments"] = body
    assert run("ADD").answer["code"] == code


def test_check_agrees_with_what_add_printed(run: Run) -> None:
    assert run("CHECK", prevResult=RESULT) == (0, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ipv4": "10.244.1.9"}, "it has 10.244.1.9/32 and fd00:10:244:1::2/128, expected 10.244.1.2/32 and"),
        ({"state": "invalid"}, 'its state is "invalid"'),
        ({"mac": "02:00:00:00:00:01"}, "its MAC address is 02:00:00:00:00:01, expected 0a:c5:89:f9:04:84"),
    ],
)
def test_check_says_what_has_changed(agent: RecordedAgent, run: Run, change: dict[str, str], words: str) -> None:
    agent.answers["GET", "/v1/endpoints"] = [answers.ENDPOINTS[0] | change]
    status, answer = run("CHECK", prevResult=RESULT)
    assert (status, answer["code"], words in answer["msg"]) == (1, 103, True)


def test_check_misses_no_address_that_was_added(run: Run) -> None:
    assert run("CHECK", prevResult=RESULT | {"ips": IPS[:1]}).answer["code"] == 103


def test_check_of_what_was_never_attached_has_code_3(agent: RecordedAgent, run: Run) -> None:
    agent.answers["GET", "/v1/endpoints"] = []
    assert run("CHECK", prevResult=RESULT).answer["code"] == 3


def test_check_needs_the_result_of_add(run: Run) -> None:
    assert run("CHECK").answer["code"] == 7


def test_status_is_good_when_the_agent_answers(run: Run) -> None:
    assert run("STATUS", cniVersion="1.1.0") == (0, None)


def test_status_without_an_agent_is_not_available(run: Run) -> None:
    assert run("STATUS", cniVersion="1.1.0", socket="/nonexistent").answer["code"] == 50


def test_status_of_an_agent_that_starts_is_not_available(agent: RecordedAgent, run: Run) -> None:
    agent.answers["GET", "/v1/status"] = answers.STATUS | {"state": "starting"}
    assert run("STATUS", cniVersion="1.1.0").answer["code"] == 50


def test_collecting_garbage_takes_nothing_away(agent: RecordedAgent, run: Run) -> None:
    assert run("GC", cniVersion="1.1.0") == (0, None)
    assert agent.requests == []


def test_the_executable_speaks_on_standard_input_and_output(agent: RecordedAgent) -> None:
    config = json.dumps({"cniVersion": "1.0.0", "type": "netloom-cni", "socket": str(agent.socket)})
    environment = os.environ | CALL | {"CNI_COMMAND": "ADD"}
    ended = subprocess.run([PROGRAM], env=environment, input=config, capture_output=True, text=True, check=True)
    assert (json.loads(ended.stdout), ended.stderr) == (RESULT, "")


def test_a_config_that_never_ends_is_refused() -> None:
    environment = os.environ | CALL | {"CNI_COMMAND": "ADD"}
    with Path("/dev/zero").open("rb") as endless:
        ended = subprocess.run([PROGRAM], env=environment, stdin=endless, capture_output=True, check=False)
    assert (ended.returncode, json.loads(ended.stdout)["code"]) == (1, 6)


def test_the_program_loads_little() -> None:
    """It runs for every container: what is slow to load stays out."""
    code = "import sys, netloom.cni.main; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"dataclasses", "inspect", "http.client", "email", "asyncio", "logging", "click", "netloom.model"}
    assert heavy & set(ended.stdout.split()) == set()
