"""A lab as tests use it: its pods with their addresses, sockets inside any namespace, and the monitor."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from netloom.edge.netns import call_in_netns, open_netns
from netloom.lab import lab as labs
from netloom.lab.agents import wait_until
from netloom.lab.inside import argv_in, netns_path, output_of, program, run_in
from netloom.lab.lab import Lab
from netloom.lab.patience import patient
from netloom.lab.topology import LabSpec
from netloom.model.address import Address
from support.controllers import runs_of
from support.objects import with_given_objects

WITHIN_S = patient(5.0)
"""How long a test waits for what must happen: generous, since it only matters when the test fails."""
ALL_FRAMES = 3
"""ETH_P_ALL of linux/if_ether.h; ``bind`` puts it into network order itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A network namespace of the lab."""

    name: str
    netns: str

    def run(self, *argv: str) -> str:
        """Standard output of a command that must succeed."""
        return output_of(self.netns, argv)

    def attempt(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        return run_in(self.netns, argv)

    def ping(self, target: Address, *options: str) -> str:
        """What one echo request brought back; the test fails when nothing did."""
        return self.run("ping", "-n", "-c", "1", "-W", f"{patient(2):g}", *options, str(target))

    def answers_nothing(self, target: Address, *options: str) -> bool:
        """Whether an echo request stays without an answer."""
        return self.attempt("ping", "-n", "-c", "1", "-W", "0.5", *options, str(target)).returncode == 1

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that belongs to the namespace, wherever it is used."""
        with open_netns(netns_path(self.netns)) as fd:
            made = call_in_netns(fd, lambda: socket.socket(family, kind, protocol))
        made.settimeout(WITHIN_S)
        return made

    def packet_socket(self, device: str) -> socket.socket:
        """Sends and receives whole frames of a device."""
        made = self.open_socket(socket.AF_PACKET, socket.SOCK_RAW)
        made.bind((device, ALL_FRAMES))
        return made

    def mac_of(self, device: str) -> bytes:
        """Of a device. Not from /sys: that shows the devices of another namespace."""
        found: str = json.loads(self.run("ip", "-j", "link", "show", device))[0]["address"]
        return bytes.fromhex(found.replace(":", ""))

    def inject(self, frame: bytes, device: str = "eth0") -> None:
        """Send a frame as it is."""
        with self.packet_socket(device) as sender:
            sender.send(frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView(Place):
    """A pod, and what its node's agent says of it."""

    node: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    mac: bytes
    node_mac: bytes
    identity: int
    endpoint_id: int
    host_ifname: str
    ifindex: int

    def address(self, version: int) -> Address:
        """That of an IP version."""
        return self.ipv4 if version == 4 else self.ipv6


class Cluster:
    """A lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        views = lab.endpoints()
        self._pods = {pod.name: pod_view(views[pod.name], pod.netns, pod.node) for pod in lab.topology.pods}

    def pod(self, name: str) -> PodView:
        """One of those the lab came up with, as it was then."""
        return self._pods[name]

    def node(self, name: str) -> Place:
        """A node's namespace."""
        return Place(name=name, netns=self.lab.topology.node(name).netns)

    @property
    def outside(self) -> Place:
        """The underlay, which holds the world's addresses too."""
        return Place(name="underlay", netns=self.lab.topology.underlay_netns)

    def gateway(self, node: str, version: int) -> Address:
        """Address of ``loom_host``."""
        found = self.lab.topology.node(node)
        cidr = found.pod_cidr_v4 if version == 4 else found.pod_cidr_v6
        return cidr[1]

    def underlay(self, node: str, version: int) -> Address:
        """A node's own address."""
        found = self.lab.topology.node(node)
        return found.ipv4.ip if version == 4 else found.ipv6.ip

    def drops(self, node: str) -> dict[str, int]:
        """Packets dropped so far, by name of the reason, both directions together."""
        found: dict[str, int] = {}
        for counter in self.lab.api(node, "/v1/counters"):
            found[counter["name"]] = found.get(counter["name"], 0) + counter["packets"]
        return found

    def await_resync(self, node: str) -> None:
        """Return when the agent has just put its node right: what is damaged now stays so for a while."""
        before = self._resyncs(node)
        assert wait_until(lambda: self._resyncs(node) > before), f"no resync of {node}"

    def _resyncs(self, node: str) -> int:
        return runs_of("resync", self.lab.api(node, "/v1/status"))

    def netctl(self, node: str, *argv: str) -> str:
        """What ``netctl`` prints of a node."""
        return self.node(node).run(str(program("netctl")), "--socket", str(self.lab.files.socket(node)), *argv)


@contextmanager
def cluster_of(spec: LabSpec, config: Mapping[str, Any] | None = None) -> Iterator[Cluster]:
    """While the block runs, a lab whose nodes have this config."""
    with labs.running(spec, with_given_objects(config or {})) as lab:
        yield Cluster(lab)


def pod_view(view: dict[str, Any], netns: str, node: str) -> PodView:
    """An element of ``/v1/endpoints``."""
    return PodView(
        name=view["pod_name"],
        netns=netns,
        node=node,
        ipv4=IPv4Address(view["ipv4"]),
        ipv6=IPv6Address(view["ipv6"]),
        mac=bytes.fromhex(view["mac"].replace(":", "")),
        node_mac=bytes.fromhex(view["node_mac"].replace(":", "")),
        identity=view["identity"],
        endpoint_id=view["id"],
        host_ifname=view["host_ifname"],
        ifindex=view["ifindex"],
    )


def receive(sniffer: socket.socket, wanted: Callable[[bytes], bool]) -> bytes | None:
    """The first frame that is wanted, or None when none came in time."""
    deadline = time.monotonic() + WITHIN_S
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sniffer], [], [], left)[0] and wanted(frame := sniffer.recv(65535)):
            return frame
    return None


def ends_of(frame: bytes) -> bytes:
    """Source and destination as they stand in the outermost IP header."""
    return frame[22:54] if frame[12:14] == b"\x86\xdd" else frame[26:34]


def frames_until(sniffer: socket.socket, last: Callable[[bytes], bool]) -> list[bytes]:
    """Everything that came before the frame that is ``last``; the test fails when that does not come.

    To show that something does not arrive, send something behind it that does.
    """
    seen: list[bytes] = []

    def is_last(frame: bytes) -> bool:
        if not last(frame):
            seen.append(frame)
        return last(frame)

    assert receive(sniffer, is_last) is not None
    return seen


@contextmanager
def talking(client: PodView, server: PodView) -> Iterator[list[int]]:
    """While the block runs, send datagrams to and fro, each after the last; the numbers of those that got lost."""
    lost: list[int] = []
    stop = threading.Event()
    with (
        server.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        client.open_socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
    ):
        far.bind((str(server.ipv4), 0))
        near.connect(far.getsockname())
        thread = threading.Thread(target=lambda: lost.extend(_unanswered(near, far, stop)))
        thread.start()
        try:
            yield lost
        finally:
            stop.set()
            thread.join()


def _unanswered(near: socket.socket, far: socket.socket, stop: threading.Event) -> Iterator[int]:
    number = 0
    while not stop.is_set():
        number += 1
        near.send(number.to_bytes(4, "big"))
        try:
            far.sendto(*far.recvfrom(16))
            near.recv(16)
        except TimeoutError:
            yield number


class MonitorReader:
    """A running ``netctl monitor``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._out = process.stdout.fileno()
        self._rest = b""
        self._seen: list[dict[str, Any]] = []

    def expect(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that is wanted; the test fails when none comes."""
        deadline = time.monotonic() + WITHIN_S
        while line := self._line(deadline):
            self._seen.append(json.loads(line))
            if wanted(self._seen[-1]):
                return self._seen[-1]
        raise AssertionError(f"the monitor never showed it; it showed {[e.get('summary') for e in self._seen]}")

    def _line(self, deadline: float) -> bytes:
        """One whole line; b"" when the time is over or the program has ended."""
        while b"\n" not in self._rest:
            if not select.select([self._out], [], [], max(0, deadline - time.monotonic()))[0]:
                return b""
            if not (read := os.read(self._out, 65536)):
                return b""
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@contextmanager
def monitoring(cluster: Cluster, node: str, *options: str) -> Iterator[MonitorReader]:
    """Run the monitor of a node; when the block begins, it listens."""
    argv = [str(program("netctl")), "--socket", str(cluster.lab.files.socket(node)), "monitor", "-o", "json", *options]

    def listeners() -> int:
        found: int = cluster.lab.api(node, "/v1/status")["monitor"]["listeners"]
        return found

    before = listeners()
    command = argv_in(cluster.node(node).netns, argv)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert wait_until(lambda: listeners() > before, WITHIN_S)
            yield MonitorReader(process)
        finally:
            process.terminate()
