"""Each peer's ear hears that peer, and no one else's words are taken for its own."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from netloom.model.address import Address
from netloom_bgp import ears
from netloom_bgp.settings import Peer
from support.netns import Namespace

PEER = {4: "127.0.0.2", 6: "fd00::2"}
STRANGER = {4: "127.0.0.3", 6: "fd00::3"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


class Told:
    """What an ear tells, until it has heard the peer."""

    def __init__(self) -> None:
        self.reasons: set[tuple[Address, str]] = set()
        self.heard = asyncio.Event()

    def __call__(self, address: Address, why: str, heard: bool) -> None:
        self.reasons.add((address, why))
        if heard:
            self.heard.set()


@pytest.mark.parametrize("version", [4, 6])
def test_what_others_sent_before_the_socket_was_connected_is_not_the_peers(
    netns: Namespace, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    plain = socket.socket

    class Late(socket.socket):
        """Connected only after a stranger's port has refused somebody."""

        def connect(self, address: Any) -> None:
            with plain(FAMILY[version]) as refused, pytest.raises(ConnectionRefusedError):
                refused.connect((STRANGER[version], 179))
            super().connect(address)

    async def listen() -> set[tuple[Address, str]]:
        told, peer = Told(), Peer(address=ip_address(PEER[version]), remote_as=65002)
        with socket.create_server((PEER[version], 179), family=FAMILY[version]):
            with monkeypatch.context() as patched:
                patched.setattr("netloom_bgp.ears.socket.socket", Late)
                ear = ears.Ear(peer, 179, told)
            with socket.socket(FAMILY[version]) as welcome:
                welcome.connect((PEER[version], 179))
                async with asyncio.timeout(10):
                    await told.heard.wait()
            ear.close()
        return told.reasons

    netns.batch("link set lo up", *(f"address add {here[6]}/128 dev lo nodad" for here in (PEER, STRANGER)))
    assert netns.call(asyncio.run, listen()) == {(ip_address(PEER[version]), "")}
