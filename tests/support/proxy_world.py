"""A client, a proxy and a server in namespaces of their own, joined by cables; both families."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from netloom.lab.patience import patient
from netloom.model.l7 import L7Entry, L7Rule, L7Table
from netloom.model.l7_messages import Access, Applied, Counters, Hello, Tables, ToAgent, ToProxy
from support.netns import Namespace, NamespaceFactory

TESTS: Final = Path(__file__).parents[1]
PATIENCE_S: Final = patient(20.0)
FILES: Final = 8192
CLIENT, SERVER = 2, 3
"""Identities: the last numbers of the addresses."""
CLIENTS: Final = {4: "10.1.0.2", 6: "fd01::2"}
SERVERS: Final = {4: "10.2.0.3", 6: "fd02::3"}
_ROUTERS: Final = {"c": ("10.1.0.1", "fd01::1"), "s": ("10.2.0.1", "fd02::1")}


def eventually(found: Callable[[], bool], what: str) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def entry(*allowed: str, denied: tuple[str, ...] = (), protocol: str = "lines", peer: int = CLIENT) -> L7Entry:
    """Rules by what lines begin with."""
    rules = [L7Rule(rule=json.dumps({"begins": word}), policy="shop", origin=f"allow {word}") for word in allowed]
    rules += [
        L7Rule(rule=json.dumps({"begins": word}), policy="shop", origin=f"deny {word}", denies=True) for word in denied
    ]
    return L7Entry(peers=(peer,), ports=((7000, 7999),), protocol=protocol, rules=tuple(rules))


def ingress(*entries: L7Entry) -> L7Table:
    """Of the server."""
    return L7Table(subject=SERVER, ingress=entries)


@dataclass(slots=True)
class Heard:
    """What a proxy has said so far."""

    hello: Hello
    applied: list[Applied]
    access: list[Access]
    counters: Counters | None = None


class ControlSocket:
    """An agent's end, in a test."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._rest = b""
        self._decoder = msgspec.json.Decoder(ToAgent)
        hello = self._next()
        assert isinstance(hello, Hello)
        self.heard = Heard(hello, [], [])
        self._revision = hello.revision

    def tell(self, message: ToProxy) -> None:
        """Send a message."""
        self._socket.sendall(msgspec.json.encode(message) + b"\n")

    def put(self, *tables: L7Table, whole: bool = True, gone: tuple[int, ...] = ()) -> Applied:
        """Tables, until they are at work."""
        self._revision += 1
        self.tell(Tables(revision=self._revision, whole=whole, tables=tables, gone=gone))
        self.hear(lambda heard: bool(heard.applied) and heard.applied[-1].revision == self._revision)
        return self.heard.applied[-1]

    def hear(self, enough: Callable[[Heard], bool]) -> Heard:
        """Listen until enough was said."""
        deadline = time.monotonic() + PATIENCE_S
        while not enough(self.heard):
            assert time.monotonic() < deadline, f"never said; last were {self.heard.counters}"
            match self._next():
                case Applied() as applied:
                    self.heard.applied.append(applied)
                case Access() as access:
                    self.heard.access.append(access)
                case Counters() as counters:
                    self.heard.counters = counters
        return self.heard

    def closed(self, reason: str, times: int = 1) -> None:
        """Listen until so many connections were closed for that reason."""
        self.hear(lambda heard: heard.counters is not None and heard.counters.closed.get(reason, 0) >= times)

    def close(self) -> None:
        """As an agent that has died."""
        self._socket.close()

    def _next(self) -> ToAgent:
        while b"\n" not in self._rest:
            received = self._socket.recv(1 << 16)
            assert received, "the proxy has closed its control socket"
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        found: ToAgent = self._decoder.decode(line)
        return found


class ProxyProcess:
    """``support.proxied`` in a namespace."""

    def __init__(
        self, namespace: Namespace, config: Path, run_dir: Path, *, files: int, environment: dict[str, str]
    ) -> None:
        """``files``: it may have open at once."""
        path = os.pathsep.join((str(TESTS), str(TESTS.parent / "examples" / "netloom-memcached")))
        self.log = config.with_suffix(".log").open("ab")
        self.process = namespace.popen(
            "prlimit", f"--nofile={files}:{files}", sys.executable, "-m", "support.proxied", str(config),
            env={**os.environ, "PYTHONPATH": path, **environment}, stderr=self.log,
        )  # fmt: skip
        self.socket_path = run_dir / "n1" / "proxy" / f"{self.process.pid}.sock"
        eventually(lambda: self.socket_path.exists() or self.process.poll() is not None, "the control socket")
        assert self.process.poll() is None, Path(self.log.name).read_text()

    @property
    def rss_bytes(self) -> int:
        """Resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")))

    @property
    def cpu_s(self) -> float:
        """It has taken so far."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().split()[13:15]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def said(self) -> str:
        """Its log."""
        return Path(self.log.name).read_text()

    def end(self) -> None:
        """Now."""
        self.process.kill()
        self.process.wait()
        self.socket_path.unlink(missing_ok=True)
        self.log.close()


class World:
    """Three namespaces in a row; the one in the middle routes, and has the proxy."""

    def __init__(self, make_netns: NamespaceFactory, tmp_path: Path) -> None:
        self._tmp = tmp_path
        self.client, self.router, self.server = (make_netns(label) for label in "cps")
        self._cable("c", self.client, CLIENTS)
        self._cable("s", self.server, SERVERS)
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.router.run("sysctl", "-qw", f"{key}=1")
        self.router.run("ip", "link", "set", "lo", "up")
        for family, everywhere in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
            self.router.run("ip", family, "rule", "add", "fwmark", "1", "lookup", "100")
            self.router.run("ip", family, "route", "add", "local", everywhere, "dev", "lo", "table", "100")
        self._proxies: list[ProxyProcess] = []
        self._sockets: list[socket.socket] = []
        self._agents: list[ControlSocket] = []

    def _cable(self, name: str, namespace: Namespace, addresses: dict[int, str]) -> None:
        self.router.run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0",
                        "netns", str(namespace.path))  # fmt: skip
        ours = (self.router, f"to-{name}", _ROUTERS[name])
        for end, device, given in ((namespace, "eth0", tuple(addresses.values())), ours):
            end.run("ip", "link", "set", "lo", "up")
            end.run("ip", "link", "set", device, "up")
            for address in given:
                length = "64" if ":" in address else "24"
                end.run("ip", "address", "add", f"{address}/{length}", "dev", device, *(["nodad"] * (":" in address)))
        for gateway, family in zip(_ROUTERS[name], ("-4", "-6"), strict=True):
            namespace.run("ip", family, "route", "add", "default", "via", gateway)

    def proxy(self, environment: dict[str, str] | None = None, files: int = FILES, **settings: Any) -> ProxyProcess:
        """Start one; ``files`` it may have open at once, ``settings`` are those of the section ``proxy``."""
        config = self._tmp / f"node{len(self._proxies)}.yaml"
        document = {
            "node": {"name": "n1"},
            "paths": {"run_dir": str(self._tmp / "run"), "bpf_dir": "/sys/fs/bpf/none"},
            "proxy": settings,
        }
        config.write_text(json.dumps(document))
        run_dir, environment = self._tmp / "run", environment or {}
        self._proxies.append(ProxyProcess(self.router, config, run_dir, files=files, environment=environment))
        return self._proxies[-1]

    def agent(self, proxy: ProxyProcess) -> ControlSocket:
        """Of a proxy."""
        self._agents.append(ControlSocket(proxy.socket_path))
        return self._agents[-1]

    def listen(self, family: int = 4, port: int = 7000) -> socket.socket:
        """The server's listener."""
        listener = self.server.call(_socket, family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVERS[family], port))
        listener.listen(1024)
        return self._kept(listener)

    def dial(self, family: int = 4, port: int = 7000) -> socket.socket:
        """A client that is connected to the proxy, or so it thinks to the server."""
        dialing = self.client.call(_socket, family)
        dialing.connect((SERVERS[family], port))
        return self._kept(dialing)

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A client as of :meth:`dial`, within the block, for any thread; what it sends goes out at once."""
        with self.client.call(_socket, 4) as dialing:
            dialing.settimeout(PATIENCE_S)
            dialing.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dialing.connect((SERVERS[4], 7000))
            yield dialing

    def pair(self, family: int = 4, port: int = 7000) -> tuple[socket.socket, socket.socket]:
        """A connection's ends: the client's, and the server's."""
        listener = self.listen(family, port)
        client = self.dial(family, port)
        return client, self.accept(listener)

    def accept(self, listener: socket.socket) -> socket.socket:
        """The server's end of the next connection."""
        return self._kept(listener.accept()[0])

    def _kept(self, made: socket.socket) -> socket.socket:
        made.settimeout(PATIENCE_S)
        self._sockets.append(made)
        return made

    def close(self) -> None:
        """End proxies and sockets."""
        for one in self._sockets:
            one.close()
        for agent in self._agents:
            agent.close()
        for proxy in self._proxies:
            proxy.end()


def _socket(family: int) -> socket.socket:
    return socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM)


def receive(end: socket.socket, size: int) -> bytes:
    """So many bytes, or what came before the end."""
    found = b""
    while len(found) < size:
        piece = end.recv(min(size - len(found), 1 << 20))
        if not piece:
            break
        found += piece
    return found


def is_reset(end: socket.socket) -> bool:
    """Whether what comes next is a reset, and not an end."""
    try:
        while end.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


@contextmanager
def world(make_netns: NamespaceFactory, tmp_path: Path) -> Iterator[World]:
    """One, and its end."""
    made = World(make_netns, tmp_path)
    try:
        yield made
    finally:
        with suppress(subprocess.SubprocessError):
            made.close()
