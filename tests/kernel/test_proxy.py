"""Connections through the proxy: what goes on, what does not, and how they end. The door is nftables' tproxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.netns import NamespaceFactory
from support.proxy_world import CLIENTS, ControlSocket, World, entry, ingress, receive, world

pytestmark = pytest.mark.kernel


@pytest.fixture
def lab(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[World]:
    with world(make_netns, tmp_path) as made:
        yield made


@pytest.fixture
def agent(lab: World) -> Iterator[ControlSocket]:
    """Of a proxy that lets lines pass that begin with `get`."""
    control = ControlSocket(lab.proxy().socket_path)
    control.put(ingress(entry("get")))
    yield control
    control.close()


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
