"""Connections through the proxy: what goes on, what does not, and how they end. The door is nftables' tproxy."""

from __future__ import annotations

import signal
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.model.l7_messages import Tables
from support.netns import NamespaceFactory
from support.proxy_world import CLIENTS, ControlSocket, World, entry, ingress, is_reset, receive, world

pytestmark = pytest.mark.kernel


@pytest.fixture
def lab(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[World]:
    with world(make_netns, tmp_path) as made:
        yield made


@pytest.fixture
def agent(lab: World) -> ControlSocket:
    """Of a proxy that lets lines pass that begin with `get`, or bring a body."""
    control = lab.agent(lab.proxy())
    control.put(ingress(entry("get", "body")))
    return control


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.usefixtures("agent")
def test_the_server_sees_the_clients_own_address_and_port(lab: World, family: int) -> None:
    client, server = lab.pair(family)
    assert server.getpeername()[:2] == client.getsockname()[:2]
    assert server.getpeername()[0] == CLIENTS[family]


@pytest.mark.usefixtures("agent")
def test_an_allowed_request_goes_on_and_a_denied_one_is_answered(lab: World) -> None:
    client, server = lab.pair()
    client.sendall(b"set a\nget b\n")
    assert receive(server, 6) == b"get b\n"
    assert receive(client, 13) == b"denied set a\n"
    server.sendall(b"found\n")
    assert receive(client, 6) == b"found\n"


@pytest.mark.usefixtures("agent")
def test_the_client_may_end_its_half_and_still_hear_the_answer(lab: World) -> None:
    client, server = lab.pair()
    client.sendall(b"get b\n")
    client.shutdown(socket.SHUT_WR)
    assert receive(server, 100) == b"get b\n"
    server.sendall(b"found\n")
    server.close()
    assert receive(client, 100) == b"found\n"


@pytest.mark.usefixtures("agent")
def test_the_server_may_end_its_half_and_still_hear_requests(lab: World) -> None:
    client, server = lab.pair()
    server.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    client.sendall(b"get b\n")
    client.close()
    assert receive(server, 100) == b"get b\n"


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_passed_on_as_one(lab: World, who: str) -> None:
    client, server = lab.pair()
    resetting, other = (client, server) if who == "client" else (server, client)
    resetting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    resetting.close()
    assert is_reset(other)


def test_a_server_that_refuses_is_a_reset_for_the_client(lab: World, agent: ControlSocket) -> None:
    assert is_reset(lab.dial(port=7001))
    agent.closed("unreachable")


def test_a_connection_that_nobody_knows_is_refused(lab: World, agent: ControlSocket) -> None:
    lab.listen(port=7999)
    assert is_reset(lab.dial(port=7999))
    agent.closed("unknown ends")


def test_a_connection_that_no_entry_is_about_is_refused(lab: World, agent: ControlSocket) -> None:
    agent.put(ingress(entry("get", peer=99)))
    lab.listen()
    assert is_reset(lab.dial())
    agent.closed("no rules")


def test_a_connection_waits_a_moment_for_its_entry(lab: World, agent: ControlSocket) -> None:
    """The agent writes programs' tables while the proxy's are on their way."""
    agent.put(ingress(entry("get", peer=99)))
    listener = lab.listen()
    client = lab.dial()
    client.sendall(b"get a\n")
    agent.put(ingress(entry("get")))
    assert receive(lab.accept(listener), 6) == b"get a\n"


def test_an_entry_that_comes_in_the_same_moment_is_not_missed(lab: World) -> None:
    """Both are there when the proxy looks."""
    proxy = lab.proxy()
    agent = lab.agent(proxy)
    agent.put(ingress(entry("get", peer=99)))
    listener = lab.listen()
    proxy.process.send_signal(signal.SIGSTOP)
    lab.dial().sendall(b"get a\n")
    agent.tell(Tables(revision=9, tables=(ingress(entry("get")),)))
    proxy.process.send_signal(signal.SIGCONT)
    assert receive(lab.accept(listener), 6) == b"get a\n"


def test_a_protocol_that_nobody_speaks_closes_the_port(lab: World, agent: ControlSocket) -> None:
    """And the agent is told."""
    applied = agent.put(ingress(entry("get", protocol="gopher")))
    assert '"gopher"' in applied.problems[0]
    lab.listen()
    assert is_reset(lab.dial())
    agent.closed("unreadable rules")


def test_bytes_that_are_not_the_protocol_end_the_connection(lab: World, agent: ControlSocket) -> None:
    """The server by a reset, since it must not take what came before for the whole."""
    client, server = lab.pair()
    client.sendall(b"get b\njunk")
    assert client.recv(100) == b""
    assert is_reset(server)
    heard = agent.hear(lambda heard: any(record.verdict == "error" for record in heard.access))
    assert [record.why for record in heard.access if record.verdict == "error"] == ["junk"]


def test_each_request_is_told_of(lab: World, agent: ControlSocket) -> None:
    client, server = lab.pair()
    client.sendall(b"set a\nget b\n")
    assert receive(server, 6) == b"get b\n"
    server.sendall(b"found\n")
    records = agent.hear(lambda heard: len(heard.access) == 2).access
    denied, allowed = sorted(records, key=lambda record: record.verdict, reverse=True)
    assert (denied.verdict, denied.request, denied.policy) == ("denied", {"line": "set a"}, "")
    assert (allowed.verdict, allowed.policy, allowed.origin) == ("allowed", "shop", "allow get")
    assert (allowed.source_identity, allowed.destination_identity, allowed.direction) == (2, 3, "ingress")
    assert (allowed.source, allowed.source_port) == client.getsockname()
    assert allowed.latency_ns > 0


def test_a_request_that_is_never_answered_is_told_of_at_the_end(lab: World, agent: ControlSocket) -> None:
    client, server = lab.pair()
    client.sendall(b"get b\n")
    receive(server, 6)
    client.close()
    server.close()
    record = agent.hear(lambda heard: bool(heard.access)).access[0]
    assert (record.verdict, record.latency_ns, record.why) == ("allowed", 0, "the connection ended first")


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize("to_server", [True, False])
def test_much_arrives_as_it_was_sent(lab: World, to_server: bool) -> None:
    """Across all buffers."""
    client, server = lab.pair()
    body = bytes(range(256)) * (1 << 14)
    client.sendall(b"get b\n")
    receive(server, 6)
    sender, receiver = (client, server) if to_server else (server, client)
    head = b"body %d\n" % len(body)
    if to_server:
        server.sendall(b"found\n")
        receive(client, 6)
    thread = threading.Thread(target=sender.sendall, args=(head + body,))
    thread.start()
    found = receive(receiver, len(head) + len(body))
    thread.join()
    assert found == head + body


@pytest.mark.parametrize("is_last", [True, False])
def test_what_is_sent_before_the_server_is_reached_is_not_lost(lab: World, is_last: bool) -> None:
    """The kernel takes the client's bytes as soon as it has answered for the server."""
    proxy = lab.proxy()
    lab.agent(proxy).put(ingress(entry("get")))
    listener = lab.listen()
    proxy.process.send_signal(signal.SIGSTOP)
    client = lab.dial()
    client.sendall(b"get b\n")
    if is_last:
        client.shutdown(socket.SHUT_WR)
    proxy.process.send_signal(signal.SIGCONT)
    server = lab.accept(listener)
    assert receive(server, 6) == b"get b\n"
    server.sendall(b"found\n")
    assert receive(client, 6) == b"found\n"


AWAY = "add table inet away; add chain inet away in { type filter hook input priority 0; policy drop; }"


def test_what_is_not_the_protocol_may_come_before_the_server_is_reached(lab: World, agent: ControlSocket) -> None:
    """It is a reset for the server, which answers when the kernel asks again, and told of once."""
    listener = lab.listen()
    lab.server.run("nft", AWAY)
    lab.dial().sendall(b"junk")
    lab.server.run("nft", "delete table inet away")
    assert is_reset(lab.accept(listener))
    agent.closed("not the protocol")
    assert [record.why for record in agent.heard.access] == ["junk"]
