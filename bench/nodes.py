"""A node to measure an agent on: a namespace with an underlay, an agent in it, and the program that runtimes call."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from netloom.cli.cni_install import build_relay
from netloom.edge.netns import create_named_netns, delete_named_netns
from netloom.lab.inside import argv_in, ip_batch

_POLL_S = 0.002
_START_WITHIN_S = 60.0
_PINS = Path("/sys/fs/bpf")


class Node:
    """Agents start and stop on it; what is measured on it is in ``directory``."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.cache = directory / "objects"
        self._socket = directory / "run/n1/netloom.sock"
        self._config = directory / "node.yaml"
        self._agent: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Path:
        """The file that holds the cluster's state."""
        return self.directory / "store/store.db"

    @property
    def pins(self) -> Path:
        """The agent's directory of pins."""
        return _PINS / self.name / "n1"

    @property
    def resident_bytes(self) -> int:
        """Memory of the agent."""
        if self._agent is None:
            raise RuntimeError("no agent runs")
        return resident_bytes(self._agent.pid)

    def start(self) -> float:
        """Start an agent; seconds from there until it answers."""
        began = time.monotonic()
        argv = [sys.executable, "-m", "netloom.agent.main", "--config", str(self._config)]
        with (self.directory / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(argv_in(self.name, argv), stderr=log, env=_as_installed())
        while not self._answers():
            if self._agent.poll() is not None or time.monotonic() - began > _START_WITHIN_S:
                raise RuntimeError(f"the agent did not start:\n{(self.directory / 'agent.log').read_text()}")
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def stop(self) -> None:
        """End the agent; no error when none runs."""
        agent, self._agent = self._agent, None
        if agent is not None:
            agent.send_signal(signal.SIGTERM)
            agent.wait()

    def install(self) -> Path:
        """The program that runtimes call, compiled for this node."""
        relay, why_not = build_relay(sys.executable, self._socket)
        if not relay:
            raise RuntimeError(why_not)
        program = self.directory / "netloom-cni"
        program.write_bytes(relay)
        program.chmod(0o755)
        return program

    def configure(self) -> None:
        """Write the node config: both IP versions, room for thousands of pods, no upkeep while it is measured."""
        paths = {"run_dir": "run", "state_dir": "state", "cache_dir": self.cache.name}
        config = {
            "node": {"name": "n1", "underlay_device": "eth0"},
            "resync_interval_s": 3600,
            "paths": {key: str(self.directory / value) for key, value in paths.items()}
            | {"bpf_dir": str(_PINS / self.name)},
            "plugins": {
                "hostscope": {"pod_cidrs": ["10.244.0.0/16", "fd00:10:244::/64"]},
                "local": {"path": str(self.store)},
            },
        }
        self._config.write_text(yaml.safe_dump(config))

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self._socket))
                client.sendall(b"GET /v1/version HTTP/1.0\r\n\r\n")
                return b" 200 " in client.recv(64)
            except OSError:
                return False


def resident_bytes(pid: int) -> int:
    """What a process holds of the machine's memory (VmRSS in proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def _as_installed() -> dict[str, str]:
    """An installed agent's modules are read as bytecode, whatever the shell of this run wants for its own."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def node(mark: str) -> Iterator[Node]:
    """A node without an agent yet; all of it goes at the end. ``mark`` is part of the names of all it makes."""
    name = f"{mark}-node"
    create_named_netns(name)
    with tempfile.TemporaryDirectory(prefix=name) as directory:
        made = Node(name, Path(directory))
        try:
            uplink = "link add eth0 type veth peer name uplink"
            ip_batch(name, ["link set lo up", uplink, "address add 192.168.78.11/24 dev eth0"])
            ip_batch(name, ["link set eth0 up", "link set uplink up"])
            made.configure()
            yield made
        finally:
            made.stop()
            delete_named_netns(name)
            shutil.rmtree(_PINS / name, ignore_errors=True)
