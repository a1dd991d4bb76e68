"""Calls to an agent that is away, hangs, or comes back: an ADD is told to wait, a DEL is remembered and finished."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from netloom.cni import pending
from netloom.cni.request import VALID_ATTACHMENTS, parse
from support.cni import Program, everything, install_relay
from support.netns import NamespaceFactory
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel


@pytest.fixture
def call(node: NodeUnderTest, tmp_path: Path) -> Program:
    """The relay, installed for the node's agent."""
    return install_relay(tmp_path, node.socket)


def remembered(node: NodeUnderTest) -> list[str]:
    return list(pending.waiting(pending.directory_of(str(node.socket))))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_del_while_the_agent_is_away_is_finished_when_it_is_back(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory, number: signal.Signals
) -> None:
    before = everything(running)
    pod = make_netns("pod")
    call("ADD", CNI_NETNS=pod.path)
    call("ADD", "stays", CNI_NETNS=make_netns("pod").path)
    running.stop(number)
    away = call("ADD", "c3", CNI_NETNS=make_netns("pod").path)
    assert (away.code, "cannot be reached" in away.message) == (11, True)
    for _ in range(3):
        assert call("DEL", CNI_NETNS="") == (0, None)
    assert len(remembered(running)) == 1
    running.start()
    assert remembered(running) == []
    assert [found["container_id"] for found in running.get("/v1/endpoints")] == ["stays"]
    call("DEL", "stays")
    assert everything(running) == before


def test_an_agent_that_hung_finishes_a_del_once_it_wakes(
    running: NodeUnderTest, tmp_path: Path, make_netns: NamespaceFactory
) -> None:
    """Without a restart; and the same container may be attached again at once."""
    impatient = install_relay(tmp_path, running.socket, "-DRELAY_TIMEOUT_MS=100")
    pod = make_netns("pod")
    assert impatient("ADD", CNI_NETNS=pod.path).code in (0, 11)
    patient = install_relay(tmp_path, running.socket)
    patient("DEL")
    assert patient("ADD", CNI_NETNS=pod.path).status == 0
    impatient = install_relay(tmp_path, running.socket, "-DRELAY_TIMEOUT_MS=100")
    assert running.agent is not None
    running.agent.send_signal(signal.SIGSTOP)
    try:
        assert impatient("ADD", "c2", CNI_NETNS=make_netns("pod").path).code == 11
        assert impatient("DEL") == (0, None)
    finally:
        running.agent.send_signal(signal.SIGCONT)
    patient = install_relay(tmp_path, running.socket)
    assert patient("ADD", CNI_NETNS=pod.path).status == 0, "the DEL that waited is finished first"
    assert remembered(running) == []


@pytest.mark.parametrize("calls", [("ADD",), ("ADD", "DEL"), ("ADD", "DEL", "ADD")], ids=" ".join)
def test_an_agent_that_hung_attaches_nobody_who_was_told_to_try_again(
    running: NodeUnderTest, tmp_path: Path, make_netns: NamespaceFactory, calls: tuple[str, ...]
) -> None:
    """The calls wait in its socket; a later one is answered, so those before it were looked at."""
    pod = make_netns("pod")
    impatient = install_relay(tmp_path, running.socket, "-DRELAY_TIMEOUT_MS=100")
    assert running.agent is not None
    running.agent.send_signal(signal.SIGSTOP)
    try:
        codes = [impatient(command, CNI_NETNS=pod.path).code for command in calls]
        assert codes == [11 if command == "ADD" else 0 for command in calls]
    finally:
        running.agent.send_signal(signal.SIGCONT)
    patient = install_relay(tmp_path, running.socket)
    assert patient("STATUS", version="1.1.0").status == 0
    assert running.get("/v1/endpoints") == []
    assert patient("ADD", CNI_NETNS=pod.path).status == 0
    patient("DEL")


def test_a_del_that_waits_is_finished_before_the_same_container_is_attached_again(
    node: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    """Written after the agent started, as when it did not answer; its next pass is far away."""
    node.write_config(resync_s=600)
    node.start()
    pod = make_netns("pod")
    assert call("ADD", CNI_NETNS=pod.path).status == 0
    environment = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}
    request = parse(environment, b'{"cniVersion": "1.0.0"}')
    pending.remember(pending.directory_of(str(node.socket)), request)
    assert call("ADD", CNI_NETNS=pod.path).status == 0
    assert remembered(node) == []
    assert len(node.get("/v1/endpoints")) == 1


def test_a_remembered_file_that_says_nothing_is_set_aside(running: NodeUnderTest) -> None:
    running.stop()
    directory = running.socket.parent / "detachments"
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / "x.json").write_text("{")
    (directory / "y.json").symlink_to("/etc/hostname")
    running.start()
    assert (directory / "x.unreadable").read_text() == "{"
    assert "detachment.set_aside" in running.log_text()
    assert "detachment.unreadable" in running.log_text()


def test_a_full_pool_is_said_by_add_and_by_status(
    node: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    node.write_config(pods="[10.244.1.0/30]")
    node.start()
    assert call("STATUS") == (0, None)
    assert call("ADD", CNI_NETNS=make_netns("pod").path).status == 0
    ended = call("ADD", "c2", CNI_NETNS=make_netns("pod").path)
    assert (ended.code, "10.244.1.0/30" in ended.message) == (102, True)
    status = call("STATUS")
    assert (status.code, "no IPv4 address" in status.message) == (50, True)
    call("DEL")
    assert call("STATUS") == (0, None)


def test_while_the_store_is_locked_only_new_labels_must_wait(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    known: dict[str, Any] = {"args": {"cni": {"labels": [{"key": "app", "value": "known"}]}}}
    new: dict[str, Any] = {"args": {"cni": {"labels": [{"key": "app", "value": "new"}]}}}
    assert call("ADD", "c1", CNI_NETNS=make_netns("pod").path, **known).status == 0
    before = everything(running)
    with closing(sqlite3.connect(running.directory / "store/store.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = call("ADD", "c2", CNI_NETNS=make_netns("pod").path, **new)
        assert (refused.code, "locked" in refused.message) == (11, True)
        assert everything(running) == before
        assert call("ADD", "c3", CNI_NETNS=make_netns("pod").path, **known).status == 0
        assert call("STATUS") == (0, None)
        assert call("DEL", "c3") == (0, None)
        other.execute("ROLLBACK")
    assert everything(running) == before


def test_gc_remembers_networks_across_a_restart(
    running: NodeUnderTest, call: Program, make_netns: NamespaceFactory
) -> None:
    nothing: dict[str, Any] = {VALID_ATTACHMENTS: []}
    call("ADD", "c1", CNI_NETNS=make_netns("pod").path, name="ours")
    call("ADD", "c2", CNI_NETNS=make_netns("pod").path, name="theirs")
    running.stop(signal.SIGKILL)
    running.start()
    assert call("GC", name="ours", **nothing) == (0, None)
    assert [found["container_id"] for found in running.get("/v1/endpoints")] == ["c2"]
