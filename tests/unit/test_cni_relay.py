"""The compiled relay: what is ordinary it carries itself, everything else it leaves to the Python program."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from netloom.cni import pending
from netloom.cni.frame import MAX_CONFIG_BYTES
from support.cni import CONFIG, ENVIRONMENT, Program, install_relay
from support.peers import leave_behind, listening_as, replying, silent
from support.recorded_agent import RecordedAgent

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nNetloom-Exit-Status: 0\r\n\r\n{}\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relay")


@pytest.fixture(scope="module")
def socket(place: Path) -> Path:
    """Where the module's relay looks for its agent."""
    return place / "netloom.sock"


@pytest.fixture(scope="module")
def relay(place: Path, socket: Path) -> Program:
    return install_relay(place, socket, "-DRELAY_TIMEOUT_MS=200")


@pytest.fixture(autouse=True)
def _nobody_there(place: Path, socket: Path) -> None:
    socket.unlink(missing_ok=True)
    place.chmod(0o700)
    for path in pending.waiting(pending.directory_of(str(socket))):
        Path(path).unlink()


def test_a_call_goes_to_the_agent_as_it_came(relay: Program, socket: Path) -> None:
    agent = RecordedAgent(socket)
    try:
        assert relay("ADD", CNI_ARGS="A=b;C=d", CNI_NETNS="/n") == (0, {})
    finally:
        agent.close()
    given = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    assert agent.calls == [(given | {"CNI_ARGS": "A=b;C=d", "CNI_NETNS": "/n"}, json.dumps(CONFIG).encode())]


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000, 5_000_000])
def test_the_agents_words_and_status_are_the_relays(relay: Program, socket: Path, size: int) -> None:
    """An answer larger than the relay has room for goes by the Python program."""
    agent = RecordedAgent(socket)
    agent.ending = (1, json.dumps({"code": 101, "msg": "x" * size}).encode())
    try:
        assert len(relay("ADD", CNI_NETNS="/n").message) == size
    finally:
        agent.close()


def test_a_config_of_the_greatest_length_is_carried(relay: Program, socket: Path) -> None:
    stdin = b'{"a": "' + b"x" * (MAX_CONFIG_BYTES - 9) + b'"}'
    agent = RecordedAgent(socket)
    try:
        assert relay.raw(ENVIRONMENT | {"CNI_COMMAND": "ADD"}, stdin) == (0, {})
    finally:
        agent.close()
    assert agent.calls[0][1] == stdin


@pytest.mark.parametrize(
    "parts",
    [
        [ANSWER],
        [ANSWER[:1], ANSWER[1:40], ANSWER[40:]],
        [bytes((byte,)) for byte in ANSWER],
        [ANSWER.replace(b"Netloom-Exit-Status", b"netloom-exit-status").replace(b"HTTP/1.0", b"HTTP/1.1")],
    ],
)
def test_an_answer_may_come_in_any_pieces(relay: Program, socket: Path, parts: list[bytes]) -> None:
    with replying(socket, *parts):
        assert relay("DEL") == (0, {})


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\0" * 5000,
        b"220 mail.example ESMTP\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        ANSWER[:-1],
        ANSWER + b"more",
        ANSWER.replace(b"200 OK", b"500 No"),
        ANSWER.replace(b"Length: 3", b"Length: -3"),
        ANSWER.replace(b"Length: 3", b"Length: 99999999999999999999"),
        ANSWER.replace(b"Length: 3", b"Length: 3x"),
        ANSWER.replace(b"Status: 0", b"Status: 7"),
    ],
)
def test_an_answer_that_is_none_is_never_printed(relay: Program, socket: Path, reply: bytes) -> None:
    """The Python program, asked to say what is wrong, meets the same peer."""
    with replying(socket, reply):
        ended = relay("ADD", CNI_NETNS="/n")
    assert ended.code in (11, 100)
    assert str(socket) in ended.message


def test_an_agent_that_hangs_is_waited_for_once(relay: Program, socket: Path) -> None:
    with silent(socket) as connections:
        ended = relay("ADD", CNI_NETNS="/n")
        assert (ended.code, "did not answer within" in ended.message) == (11, True)
        assert relay("DEL") == (0, None)
    assert len(connections) == 2
    assert len(pending.waiting(pending.directory_of(str(socket)))) == 1


@pytest.mark.parametrize("left_behind", [True, False])
def test_without_an_agent_a_del_is_remembered_and_an_add_told_to_wait(
    relay: Program, socket: Path, *, left_behind: bool
) -> None:
    if left_behind:
        leave_behind(socket)
    assert relay("ADD", CNI_NETNS="/n").code == 11
    assert relay("DEL", CNI_NETNS="") == (0, None)
    assert len(pending.waiting(pending.directory_of(str(socket)))) == 1


def test_a_config_that_names_a_socket_is_obeyed(relay: Program, socket: Path, tmp_path: Path) -> None:
    agents = [RecordedAgent(path) for path in (socket, tmp_path / "other.sock")]
    try:
        assert relay("ADD", CNI_NETNS="/n", socket=str(tmp_path / "other.sock")) == (0, {})
    finally:
        for agent in agents:
            agent.close()
    assert [len(agent.calls) for agent in agents] == [0, 1]


def test_a_config_beyond_all_bounds_is_refused(relay: Program, socket: Path) -> None:
    agent = RecordedAgent(socket)
    try:
        ended = relay.raw(ENVIRONMENT | {"CNI_COMMAND": "ADD"}, b" " * (MAX_CONFIG_BYTES + 1))
    finally:
        agent.close()
    assert (ended.code, agent.calls) == (6, [])


@pytest.mark.parametrize(
    ("stdin", "code"), [(b"", 6), (b"{", 6), (b"\xff", 6), (b"[" * 100_000, 6), (b" " * (MAX_CONFIG_BYTES + 1), 6)]
)
def test_what_is_no_config_is_refused_with_or_without_an_agent(relay: Program, stdin: bytes, code: int) -> None:
    assert relay.raw(ENVIRONMENT | {"CNI_COMMAND": "ADD"}, stdin).code == code


def test_an_environment_beyond_all_bounds_is_refused(relay: Program, socket: Path) -> None:
    agent = RecordedAgent(socket)
    try:
        ended = relay("ADD", CNI_NETNS="/n", CNI_ARGS="A=" + "x" * 70_000)
    finally:
        agent.close()
    assert (ended.code, agent.calls) == (4, [])


def test_without_standard_input_there_is_no_config(relay: Program) -> None:
    command = ["sh", "-c", f"exec {relay.path} <&-"]
    environment = ENVIRONMENT | {"CNI_COMMAND": "ADD"}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (ended.returncode, json.loads(ended.stdout)["code"]) == (1, 6)


def test_a_door_others_could_have_put_there_is_not_entered(relay: Program, socket: Path, place: Path) -> None:
    agent = RecordedAgent(socket)
    try:
        place.chmod(0o777)
        assert "can be written by others" in relay("ADD", CNI_NETNS="/n").message
        place.chmod(0o700)
        socket.rename(place / "moved.sock")
        socket.symlink_to(place / "moved.sock")
        assert "is no socket" in relay("ADD", CNI_NETNS="/n").message
    finally:
        agent.close()
        (place / "moved.sock").unlink(missing_ok=True)
    assert agent.calls == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a socket away")
def test_a_socket_that_belongs_to_somebody_else_is_not_entered(relay: Program, socket: Path) -> None:
    agent = RecordedAgent(socket)
    try:
        os.chown(socket, 12345, -1)
        assert "belongs to uid 12345" in relay("ADD", CNI_NETNS="/n").message
    finally:
        agent.close()
    assert agent.calls == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_listener_who_is_not_root_is_told_nothing(relay: Program, socket: Path) -> None:
    """Whatever the socket's file says: the kernel's word counts."""
    with listening_as(socket, 12345):
        assert "uid 12345 listens at" in relay("ADD", CNI_NETNS="/n").message


def test_without_its_python_it_still_says_what_to_do(tmp_path: Path) -> None:
    alone = install_relay(tmp_path, tmp_path / "no.sock", python="/nonexistent/python")
    ended = alone("ADD", CNI_NETNS="/n")
    assert (ended.status, ended.code, ended.answer["details"]) == (1, 11, "run netctl cni install again")
