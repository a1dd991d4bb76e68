"""The agent's side: one proxy is at work, whatever becomes of agents and proxies."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from netloom.agent.proxy import process
from netloom.agent.proxy.supervisor import ProxySupervisor, Wanted
from netloom.model.l7_messages import Access
from support.netns import NamespaceFactory
from support.proxy_world import PATIENCE_S, SERVER, TESTS, World, entry, ingress, receive

pytestmark = pytest.mark.kernel

TABLES = {SERVER: ingress(entry("get"))}


class Node:
    """Agents of one node, one after another."""

    def __init__(self, lab: World, directory: Path) -> None:
        self.lab = lab
        self.run_dir = directory / "run" / "n1" / "proxy"
        self._config = directory / "node.yaml"
        self._config.write_text(json.dumps({"node": {"name": "n1"}, "paths": {"run_dir": str(directory / "run")}}))
        self.heard: list[Access] = []

    async def agent(self, fingerprint: str = "f") -> ProxySupervisor:
        """One that has started, and wants such a proxy."""
        argv = ("env", f"FINGERPRINT={fingerprint}", sys.executable, "-m", "support.proxied", str(self._config))
        wanted = Wanted(
            argv=self.lab.router.argv(*argv), directory=self.run_dir, fingerprint=fingerprint, drain_timeout_s=60
        )
        started = ProxySupervisor(wanted, self.heard.append)
        started.tell(TABLES)
        await started.start()
        return started

    def end(self) -> None:
        """All proxies."""
        for pid in process.found(self.run_dir):
            process.end(pid)


@pytest.fixture
async def node(make_netns: NamespaceFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    made = Node(World(make_netns, tmp_path), tmp_path)
    yield made
    made.end()
    made.lab.close()


async def until(fulfilled: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not fulfilled():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)


async def at_work(agent: ProxySupervisor) -> dict[str, Any]:
    """What it tells as soon as a proxy is."""
    await until(lambda: agent.summary()["state"] == "at work")
    return agent.summary()


async def test_one_is_started_and_judges(node: Node) -> None:
    agent = await node.agent()
    await at_work(agent)
    assert await agent.at_work()
    client, server = await asyncio.to_thread(node.lab.pair)
    client.sendall(b"set a\nget b\n")
    assert await asyncio.to_thread(receive, client, 13) == b"denied set a\n"
    assert await asyncio.to_thread(receive, server, 6) == b"get b\n"
    await until(lambda: bool(node.heard))
    assert node.heard[0].request == {"line": "set a"}
    await agent.stop()


async def test_the_next_agent_takes_it_over_with_its_connections(node: Node) -> None:
    first = await node.agent()
    pid = (await at_work(first))["pid"]
    await first.at_work()
    client, server = await asyncio.to_thread(node.lab.pair)
    await first.stop()
    second = await node.agent()
    assert await second.at_work()
    assert (await at_work(second))["pid"] == pid
    client.sendall(b"get b\n")
    assert await asyncio.to_thread(receive, server, 6) == b"get b\n"
    await second.stop()


async def test_one_that_was_killed_is_started_again_with_its_tables(node: Node) -> None:
    agent = await node.agent()
    pid = (await at_work(agent))["pid"]
    await agent.at_work()
    os.kill(pid, 9)
    await until(lambda: agent.summary()["restarts"] == 1)
    assert (await at_work(agent))["pid"] != pid
    client, server = await asyncio.to_thread(node.lab.pair)
    client.sendall(b"get b\n")
    assert await asyncio.to_thread(receive, server, 6) == b"get b\n"
    await agent.stop()


async def test_another_program_takes_its_place_and_no_connection_is_cut(node: Node) -> None:
    first = await node.agent("old")
    old = (await at_work(first))["pid"]
    await first.at_work()
    client, server = await asyncio.to_thread(node.lab.pair)
    await first.stop()
    second = await node.agent("new")
    await second.at_work()
    await until(lambda: second.summary()["draining"] == 1)
    assert (await at_work(second))["pid"] != old
    client.sendall(b"get b\n")
    assert await asyncio.to_thread(receive, server, 6) == b"get b\n"
    client.close()
    server.close()
    await until(lambda: not process.socket_of(node.run_dir, old).exists())
    await second.stop()


async def test_a_program_that_is_not_there_is_said(node: Node) -> None:
    wanted = Wanted(argv=("/nonexistent",), directory=node.run_dir, fingerprint="f", drain_timeout_s=1)
    agent = ProxySupervisor(wanted, node.heard.append)
    agent.tell(TABLES)
    await agent.start()
    await until(lambda: bool(agent.summary()["problems"]))
    assert not await agent.at_work()
    assert agent.summary()["state"] == "away"
    assert "/nonexistent cannot be started" in agent.summary()["problems"][0]
    await agent.stop()


async def test_it_ends_where_that_is_wanted(node: Node) -> None:
    agent = await node.agent()
    await at_work(agent)
    await agent.stop(leave_running=False)
    assert not list(process.found(node.run_dir))


async def test_a_socket_that_nobody_serves_is_removed(node: Node) -> None:
    node.run_dir.mkdir(parents=True)
    process.socket_of(node.run_dir, 999999999).touch()
    agent = await node.agent()
    await at_work(agent)
    assert not process.socket_of(node.run_dir, 999999999).exists()
    await agent.stop()
