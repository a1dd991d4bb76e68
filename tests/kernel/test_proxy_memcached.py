"""A third party's parser at work, before a real memcached: what it lets pass is answered by that, the rest by it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.model.l7 import L7Entry, L7Rule
from support.netns import NamespaceFactory
from support.proxy_world import CLIENT, SERVERS, eventually, ingress, receive, world

pytestmark = pytest.mark.kernel

PORT = 7211
RULES = ({"command": "read"}, {"command": "set", "key_prefix": "jobs/"})


@pytest.fixture
def client(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[socket.socket]:
    """Of a memcached behind the proxy."""
    with world(make_netns, tmp_path) as lab:
        argv = ("memcached", "-u", "root", "-m", "16", "-U", "0", "-l", SERVERS[4], "-p", str(PORT))
        memcached = lab.server.popen(*argv)
        try:
            rules = tuple(L7Rule(rule=json.dumps(rule), policy="cache", origin="") for rule in RULES)
            entry = L7Entry(peers=(CLIENT,), ports=((PORT, PORT),), protocol="memcached", rules=rules)
            lab.agent(lab.proxy({"WITH_MEMCACHED": "1"})).put(ingress(entry))
            eventually(lambda: f":{PORT}" in lab.server.run("ss", "-ltn"), "memcached")
            yield lab.dial(port=PORT)
        finally:
            memcached.kill()
            memcached.wait()


def test_what_was_allowed_to_be_set_is_found(client: socket.socket) -> None:
    client.sendall(b"set jobs/1 0 0 5\r\nhello\r\nget jobs/1\r\n")
    expected = b"STORED\r\nVALUE jobs/1 0 5\r\nhello\r\nEND\r\n"
    assert receive(client, len(expected)) == expected


def test_what_is_denied_is_answered_in_turn_and_not_done(client: socket.socket) -> None:
    client.sendall(b"get pay/1\r\nset pay/1 0 0 5\r\nhello\r\nget pay/1\r\n")
    expected = b"END\r\nCLIENT_ERROR access denied\r\nEND\r\n"
    assert receive(client, len(expected)) == expected


def test_a_value_larger_than_all_buffers_comes_through(client: socket.socket) -> None:
    value = bytes(range(256)) * 2048
    client.sendall(b"set jobs/1 0 0 %d\r\n%b\r\nget jobs/1\r\n" % (len(value), value))
    expected = b"STORED\r\nVALUE jobs/1 0 %d\r\n%b\r\nEND\r\n" % (len(value), value)
    assert receive(client, len(expected)) == expected
