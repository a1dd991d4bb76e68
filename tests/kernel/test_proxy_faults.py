"""Requests under load, while policies, agents, proxies and peers come and go: none is lost, doubled or let through."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.netns import NamespaceFactory
from support.numbered import CLIENTS, NARROW, WIDE, load, policies_change
from support.proxy_world import TESTS, World, entry, eventually, ingress, is_reset, receive, world

pytestmark = pytest.mark.kernel

AWAY = """
add table inet away
add chain inet away in { type filter hook input priority 0; }
add rule inet away in tcp %s drop
"""
CHANGING_AGENT = ("env", f"PYTHONPATH={TESTS}", sys.executable, "-m", "support.changing_agent")
ROOM = 68
"""Connections of a proxy that may have 200 files open."""


@pytest.fixture
def lab(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[World]:
    with world(make_netns, tmp_path) as made:
        yield made


def test_requests_are_judged_rightly_and_answered_in_turn_while_policies_change(lab: World) -> None:
    """What both policies allow is always served, what neither allows never seen; what they disagree on is either."""
    agent = lab.agent(lab.proxy())
    agent.put(NARROW)
    with load(lab) as running, policies_change(agent.put):
        running.goes_on(1000)
    assert running.statuses("sometimes") == {200, 403}
    assert running.broken == 0


def test_nothing_is_lost_when_an_agent_is_killed_while_it_changes_policies(lab: World) -> None:
    """The last tables that came whole hold, and the next agent goes on from there."""
    proxy = lab.proxy()
    lab.agent(proxy).put(WIDE)
    with load(lab) as running:
        for _ in range(2):
            with subprocess.Popen((*CHANGING_AGENT, str(proxy.socket_path)), stdout=subprocess.PIPE) as agent:
                assert agent.stdout
                told = [agent.stdout.readline() for _ in range(5)]
                agent.kill()
            assert told == [b"told\n"] * 5
            running.goes_on()
        lab.agent(proxy).put(NARROW)
        running.goes_on()
    assert running.broken == 0


def test_nothing_passes_unjudged_when_a_proxy_is_killed_and_another_takes_its_place(lab: World) -> None:
    """What was asked may be lost with its connection, and nothing else is."""
    proxy = lab.proxy()
    lab.agent(proxy).put(NARROW)
    with load(lab) as running:
        proxy.end()
        lab.agent(lab.proxy()).put(NARROW)
        running.goes_on()
    assert running.broken >= CLIENTS
    assert running.statuses("never") == {403}


def test_a_peer_that_has_vanished_is_gone_for_the_other_end(lab: World) -> None:
    """Without a word: the kernel asks it in vain."""
    agent = lab.agent(lab.proxy(keepalive_s=1))
    agent.put(ingress(entry()))
    (_, server), (client, _) = lab.pair(port=7000), lab.pair(port=7001)
    lab.client.run("nft", "-f", "-", stdin=AWAY % "sport 7000")
    lab.server.run("nft", "-f", "-", stdin=AWAY % "dport 7001")
    assert is_reset(server)
    assert is_reset(client)
    agent.closed("gone", 2)


def is_open(client: socket.socket) -> bool:
    """Whether a connection that carries nothing has not been reset."""
    client.setblocking(False)
    try:
        return bool(client.recv(1))
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def test_a_proxy_at_the_limit_of_its_files_refuses_and_goes_on(lab: World) -> None:
    """Whom it refuses is reset and counted, the log says so once; who is connected is served; it waits, not spins."""
    proxy = lab.proxy(files=200)
    agent = lab.agent(proxy)
    agent.put(ingress(entry()))
    client, server = lab.pair()
    crowd = [lab.dial() for _ in range(300)]
    agent.closed("limit", 301 - ROOM)
    before = proxy.cpu_s
    agent.heard.counters = None
    agent.hear(lambda heard: heard.counters is not None and heard.counters.open == ROOM)
    assert proxy.cpu_s - before < 0.5
    client.sendall(b"get\n")
    assert receive(server, 4) == b"get\n"
    eventually(lambda: "proxy.full" in proxy.said(), "a line of the log")
    assert proxy.said().count("proxy.full") == 1
    assert sum(map(is_open, crowd)) == ROOM - 1
