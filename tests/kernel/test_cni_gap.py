"""No moment in which a container is attached and unguarded: it sends as hard as it can while it is being attached."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cni import install_relay
from support.netns import Namespace, NamespaceFactory
from support.node import NodeUnderTest

pytestmark = pytest.mark.kernel

ROUNDS = 15
SENDER = """
import fcntl, socket, struct, sys, threading
# A workload may have CAP_NET_ADMIN: it brings its interface up by itself, the moment it sees it.
frame = bytes.fromhex("ffffffffffff0200000000010800") + bytes.fromhex(
    "4500001c00000000401100000a6300010a6300020035003500080000")
control, raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
up, sent, end = struct.pack("16sH14x", b"eth0", 1), 0, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), end.set())).start()
print(flush=True)
while not end.is_set():
    try:
        fcntl.ioctl(control, 0x8914, up)
        sent += raw.sendto(frame, ("eth0", 0)) > 0
    except OSError:
        pass
print(sent)
"""
"""Broadcast frames from a foreign address: what a guarded container can bring nowhere."""
COUNTER = """
table inet watch {
    chain in {
        type filter hook prerouting priority -500;
        iifname "lxc*" counter
    }
}
"""


@contextmanager
def sending(pod: Namespace) -> Iterator[list[int]]:
    """The container sends all the time; afterwards the list holds how many frames left it."""
    sent: list[int] = []
    with pod.popen(sys.executable, "-c", SENDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sender:
        assert sender.stdout is not None
        sender.stdout.readline()
        yield sent
        sent.append(int(sender.communicate()[0]))


def entered(node: NodeUnderTest) -> int:
    """Packets that came into the node's stack by a container's interface."""
    table = json.loads(node.netns.run("nft", "-j", "list", "table", "inet", "watch"))
    rules = [item["rule"] for item in table["nftables"] if "rule" in item]
    return sum(part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)


def test_no_packet_enters_before_the_program_is_attached(tmp_path: Path, make_netns: NamespaceFactory) -> None:
    """Nor while the interface is taken away."""
    node = NodeUnderTest(tmp_path, make_netns)
    try:
        node.start()
        call = install_relay(tmp_path, node.socket)
        node.netns.run("nft", "-f", "-", stdin=COUNTER)
        pod = make_netns("pod")
        with sending(pod) as sent:
            for _ in range(ROUNDS):
                assert call("ADD", CNI_NETNS=pod.path).status == 0
                assert call("DEL").status == 0
        assert sent[0] > 0
        assert entered(node) == 0
    finally:
        node.close()
