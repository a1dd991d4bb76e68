"""Programs on devices while packets flow: at no moment is there none."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from netloom.edge.netlink import Netlink
from support.attached import Attaching, needs_tcx
from support.bpf import load_verdict
from support.netns import Namespace, NamespaceFactory

pytestmark = pytest.mark.kernel


class Sender:
    """Datagrams to ``eth0``, sent from the other end without a pause; counts those that got past the program."""

    def __init__(self, netns: Namespace, make_netns: NamespaceFactory) -> None:
        far = make_netns("far")
        netns.run("ip", "link", "set", "eth1", "netns", far.name)
        for where, device, address in ((netns, "eth0", "10.9.0.1/24"), (far, "eth1", "10.9.0.2/24")):
            where.run("ip", "address", "add", address, "dev", device)
            where.run("ip", "link", "set", device, "up")
        self._receiver = netns.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind(("10.9.0.1", 9))
        self._receiver.settimeout(10)
        self._sender = far.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.connect(("10.9.0.1", 9))
        self._sender.settimeout(10)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Without a pause while the block runs."""
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                self._sender.send(b"x")

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def arrives(self) -> bool:
        """Whether a datagram gets through now; forgets those before it."""
        mark = os.urandom(8)
        self._sender.send(mark)
        try:
            while self._receiver.recv(64) != mark:
                pass
        except TimeoutError:
            return False
        return True

    def arrived(self) -> int:
        """How many have come so far."""
        self._receiver.setblocking(False)
        count = 0
        with suppress(BlockingIOError):
            while self._receiver.recv(64):
                count += 1
        self._receiver.settimeout(10)
        return count

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()


@pytest.fixture
def sender(netns: Namespace, device: str, make_netns: NamespaceFactory) -> Iterator[Sender]:
    assert device == "eth0"
    made = Sender(netns, make_netns)
    yield made
    made.close()


@needs_tcx
def test_nothing_gets_past_while_a_device_changes_from_one_way_to_the_other_and_back(
    attaching: Attaching, device: str, programs: tuple[int, int], sender: Sender
) -> None:
    """At no moment is the device without a program: both refuse everything, so nothing may arrive."""
    ways = attaching("clsact"), attaching("tcx")
    assert sender.arrives()
    other = load_verdict(2)
    ways[0].attach_filter(device, "ingress", programs[1], "from_host")
    sender.arrived()
    with sender.sending():
        for turn in range(40):
            ways[turn % 2].attach_filter(device, "ingress", (other, programs[1])[turn % 2], "from_host")
    os.close(other)
    assert sender.arrived() == 0
    ways[0].detach_filter(device, "ingress")
    assert sender.arrives()


def test_a_program_is_replaced_between_two_packets(
    either: Netlink, device: str, programs: tuple[int, int], sender: Sender
) -> None:
    """Neither of two that refuse everything leaves a gap when the other takes its place."""
    other = load_verdict(2)
    either.attach_filter(device, "ingress", programs[1], "from_host")
    sender.arrived()
    with sender.sending():
        for turn in range(40):
            either.attach_filter(device, "ingress", (other, programs[1])[turn % 2], "from_host")
    os.close(other)
    assert sender.arrived() == 0
