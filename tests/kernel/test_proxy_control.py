"""The agent's way to the proxy: tables that change, agents that come and go, one proxy in another's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.model.l7_messages import Drain
from support.netns import NamespaceFactory
from support.proxy_world import (
    SERVER,
    World,
    entry,
    eventually,
    ingress,
    is_reset,
    receive,
    world,
)

pytestmark = pytest.mark.kernel


@pytest.fixture
def lab(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[World]:
    with world(make_netns, tmp_path) as made:
        yield made


def test_the_socket_is_for_root_alone(lab: World) -> None:
    path = lab.proxy().socket_path
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_tables_reach_the_next_request_of_an_open_connection(lab: World) -> None:
    agent = lab.agent(lab.proxy())
    agent.put(ingress(entry("get")))
    client, server = lab.pair()
    client.sendall(b"get a\n")
    assert receive(server, 6) == b"get a\n"
    server.sendall(b"found\n")
    agent.put(ingress(entry("get", denied=("get b",))))
    client.sendall(b"get b\n")
    assert receive(client, 19) == b"found\ndenied get b\n"


def test_an_open_connection_that_no_entry_is_about_any_more_goes_on_unasked(lab: World) -> None:
    """Whether it may is asked by eBPF then."""
    agent = lab.agent(lab.proxy())
    agent.put(ingress(entry("get")))
    client, server = lab.pair()
    agent.put(whole=False, gone=(SERVER,))
    client.sendall(b"set a\n")
    assert receive(server, 6) == b"set a\n"
    assert is_reset(lab.dial())


def test_an_open_connection_that_is_to_be_judged_as_something_else_is_denied(lab: World) -> None:
    agent = lab.agent(lab.proxy())
    agent.put(ingress(entry("get")))
    client, _ = lab.pair()
    agent.put(ingress(entry("get", protocol="gopher")))
    client.sendall(b"get a\n")
    assert receive(client, 13) == b"denied get a\n"


def test_the_last_rules_hold_when_the_agent_has_died(lab: World) -> None:
    agent = lab.agent(lab.proxy())
    agent.put(ingress(entry("get")))
    agent.close()
    client, server = lab.pair()
    client.sendall(b"set a\nget b\n")
    assert receive(server, 6) == b"get b\n"
    assert receive(client, 13) == b"denied set a\n"


def test_the_next_agent_hears_which_revision_is_at_work(lab: World) -> None:
    """And takes the place of one that is there."""
    proxy = lab.proxy()
    first = lab.agent(proxy)
    revision = first.put(ingress(entry("get"))).revision
    second = lab.agent(proxy)
    assert second.heard.hello.revision == revision
    with pytest.raises(AssertionError, match="has closed"):
        first.hear(lambda _: False)


def test_junk_from_an_agent_ends_its_connection_only(lab: World) -> None:
    proxy = lab.proxy()
    agent = lab.agent(proxy)
    agent._socket.sendall(b'{"type":"tables","revision":"x"}\n')
    with pytest.raises(AssertionError, match="has closed"):
        agent.hear(lambda _: False)
    lab.agent(proxy).put(ingress(entry("get")))
    assert "agent.unheard" in proxy.said()


def test_another_proxy_takes_over_and_no_connection_is_cut(lab: World) -> None:
    old, listener = lab.proxy(), lab.listen()
    first = lab.agent(old)
    first.put(ingress(entry("get")))
    client = lab.dial()
    server = lab.accept(listener)
    new = lab.proxy()
    second = lab.agent(new)
    second.put(ingress(entry("get")))
    first.tell(Drain(timeout_s=60))
    first.hear(lambda heard: heard.counters is not None and heard.counters.draining)
    first.put(ingress(entry("get", denied=("get b",))))
    client.sendall(b"get a\nget b\n")
    assert receive(server, 6) == b"get a\n"
    server.sendall(b"found\n")
    assert receive(client, 19) == b"found\ndenied get b\n"
    lab.dial()
    second.hear(lambda heard: heard.counters is not None and heard.counters.open == 1)
    client.close()
    server.close()
    assert old.process.wait(20) == 0


def test_what_is_open_when_the_time_to_drain_is_over_is_reset(lab: World) -> None:
    proxy = lab.proxy()
    agent = lab.agent(proxy)
    agent.put(ingress(entry("get")))
    client, server = lab.pair()
    agent.tell(Drain(timeout_s=0.1))
    assert is_reset(client)
    assert is_reset(server)
    assert proxy.process.wait(20) == 0


def test_connections_of_a_proxy_that_is_killed_end(lab: World) -> None:
    proxy = lab.proxy()
    lab.agent(proxy).put(ingress(entry("get")))
    client, server = lab.pair()
    proxy.end()
    client.sendall(b"get a\n")
    assert is_reset(client) or client.recv(1) == b""
    assert is_reset(server) or server.recv(1) == b""


def test_one_that_ends_takes_its_socket_along(lab: World) -> None:
    proxy = lab.proxy()
    proxy.process.terminate()
    assert proxy.process.wait(20) == 0
    eventually(lambda: not proxy.socket_path.exists(), "the end of the control socket")
