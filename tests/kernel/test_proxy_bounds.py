"""What is bounded: memory, time, connections, and the harm that a parser does."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.netns import NamespaceFactory
from support.proxy_world import ControlSocket, ProxyProcess, World, entry, ingress, is_reset, receive, world

pytestmark = pytest.mark.kernel

EVERYTHING = ingress(entry())
MIB = 1 << 20


@pytest.fixture
def lab(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[World]:
    with world(make_netns, tmp_path) as made:
        yield made


def ruled(lab: World, proxy: ProxyProcess) -> ControlSocket:
    """An agent that lets everything pass."""
    agent = lab.agent(proxy)
    agent.put(EVERYTHING)
    return agent


def fill(end: socket.socket, piece: bytes, at_most: int = 400 * MIB) -> int:
    """Send until nobody takes any more; how much that was."""
    sent, quiet = 0, 0
    end.setblocking(False)
    while quiet < 40 and sent < at_most:
        try:
            sent += end.send(piece)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.05)
    return sent


@pytest.mark.parametrize("reader", ["client", "server"])
def test_who_never_reads_costs_little_memory(lab: World, reader: str) -> None:
    """Whoever sends to him is held back, and nobody else."""
    proxy = lab.proxy()
    ruled(lab, proxy).close()
    listener = lab.listen()
    client, server = lab.dial(), lab.accept(listener)
    client.sendall(b"body 1000000000\n" if reader == "server" else b"get\n")
    if reader == "client":
        receive(server, 4)
        server.sendall(b"body 1000000000\n")
    before = proxy.rss_bytes
    sent = fill(client if reader == "server" else server, bytes(MIB))
    assert sent < 100 * MIB
    assert proxy.rss_bytes - before < 4 * MIB
    other = lab.dial()
    other.sendall(b"get\n")
    assert receive(lab.accept(listener), 4) == b"get\n"


def test_answers_to_who_asks_and_never_reads_cost_little_memory(lab: World) -> None:
    """Denials are made by the proxy: nobody else could be held back for them."""
    proxy = lab.proxy()
    agent = lab.agent(proxy)
    agent.put(ingress(entry("get")))
    client, _ = lab.pair()
    before = proxy.rss_bytes
    sent = fill(client, b"s\n" * 65536, at_most=24 * MIB)
    assert sent < 24 * MIB
    assert proxy.rss_bytes - before < 16 * MIB


def test_a_request_that_comes_too_slowly_is_reset(lab: World) -> None:
    agent = ruled(lab, lab.proxy(head_timeout_s=1))
    client, server = lab.pair()
    client.sendall(b"get")
    assert is_reset(client)
    assert is_reset(server)
    agent.closed("slow request")


def test_a_slow_client_of_quick_requests_is_served(lab: World) -> None:
    """The time is for each request, not for all."""
    ruled(lab, lab.proxy(head_timeout_s=2)).close()
    client, server = lab.pair()
    client.sendall(b"ge")
    for _ in range(5):
        time.sleep(0.9)
        client.sendall(b"t\nge")
        assert receive(server, 4) == b"get\n"
        server.sendall(b"found\n")
        assert receive(client, 6) == b"found\n"


def test_a_slow_server_is_waited_for(lab: World) -> None:
    """Though more of the client's bytes wait behind its request."""
    ruled(lab, lab.proxy(head_timeout_s=1)).close()
    client, server = lab.pair()
    client.sendall(b"get\nge")
    receive(server, 4)
    time.sleep(4)
    server.sendall(b"found\n")
    assert receive(client, 6) == b"found\n"


def test_a_connection_that_stands_still_ends(lab: World) -> None:
    agent = ruled(lab, lab.proxy(idle_timeout_s=1))
    client, server = lab.pair()
    assert (client.recv(1), server.recv(1)) == (b"", b"")
    agent.closed("idle")


def test_a_server_that_does_not_answer_is_given_up(lab: World) -> None:
    agent = ruled(lab, lab.proxy(connect_timeout_s=0.5))
    lab.server.run("ip", "link", "set", "eth0", "down")
    assert is_reset(lab.dial())
    agent.closed("unreachable")


def test_connections_beyond_the_limit_are_reset(lab: World) -> None:
    agent = ruled(lab, lab.proxy(connections=2))
    lab.listen()
    lab.dial(), lab.dial()
    assert is_reset(lab.dial())
    agent.closed("limit")
    agent.hear(lambda heard: heard.counters is not None and heard.counters.open == 2)


@pytest.mark.parametrize("line", [b"raise\n", b"over-read\n", b"loop\n", b"stubborn\n"])
def test_a_parser_that_misbehaves_costs_its_connection_only(lab: World, line: bytes) -> None:
    """Named with its plugin, and counted."""
    proxy = lab.proxy()
    agent = ruled(lab, proxy)
    listener = lab.listen()
    good, bad = lab.dial(), lab.dial()
    server = lab.accept(listener)
    bad.sendall(line)
    assert is_reset(bad)
    good.sendall(b"get\n")
    assert receive(server, 4) == b"get\n"
    agent.hear(lambda heard: heard.counters is not None and heard.counters.faults == {"test/lines": 1})
    error = next(record for record in agent.heard.access if record.verdict == "error")
    assert error.why.startswith('plugin "test": the parser ')
    assert "parser.failed" in proxy.said()


def test_a_thousand_idle_connections_take_little_memory(lab: World) -> None:
    proxy = lab.proxy()
    ruled(lab, proxy).close()
    listener = lab.listen()
    warm = [lab.dial() for _ in range(10)]
    before = proxy.rss_bytes
    clients = [lab.dial() for _ in range(1000)]
    servers = [lab.accept(listener) for _ in range(1010)]
    for client in (*warm, *clients):
        client.sendall(b"get\n")
    for server in servers:
        assert receive(server, 4) == b"get\n"
        server.sendall(b"found\n")
    for client in (*warm, *clients):
        assert receive(client, 6) == b"found\n"
    each = (proxy.rss_bytes - before) / 1000
    print(f"{each:.0f} bytes for an idle connection")  # noqa: T201 - a figure people ask for
    assert each < 12 * 1024


def test_records_that_nobody_hears_are_bounded_and_counted(lab: World) -> None:
    proxy = lab.proxy(records=16)
    ruled(lab, proxy).close()
    client, server = lab.pair()
    client.sendall(b"get\n" * 100)
    receive(server, 400)
    server.sendall(b"found\n" * 100)
    receive(client, 600)
    agent = lab.agent(proxy)
    agent.hear(lambda heard: len(heard.access) == 16 and heard.counters is not None)
    with suppress(AssertionError):
        agent.hear(lambda heard: heard.counters is not None and heard.counters.waiting == 0)
    assert agent.heard.counters is not None
    assert agent.heard.counters.lost_records == 84
    assert agent.heard.counters.requests == {"lines": {"ingress": {"allowed": 100}}}
