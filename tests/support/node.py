"""A node with a real agent: a namespace with an underlay device, and the agent's process in it."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from netloom.cni import agent
from netloom.cni.frame import pack
from netloom.lab import agents
from netloom.lab.patience import patient
from support.netns import Namespace
from support.objects import given_objects_dir

WITHIN_S = patient(30.0)
"""How long to wait for what must happen: generous, since it only matters when the test fails."""
UNDERLAY = ("192.168.78.11/24", "fd00:78::11/64")


wait_until = partial(agents.wait_until, within_s=WITHIN_S)


class CniAnswer(NamedTuple):
    """How a CNI program must end."""

    status: int
    output: Any
    """What it prints, decoded; None for nothing."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WITHIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WITHIN_S)
        self.sock.connect(str(self._path))


class NodeUnderTest:
    """One node; its files live below ``directory``, its pins in a directory with the name of its namespace.

    So two at a time, a module's and a test's say, have nothing in common.
    """

    def __init__(self, directory: Path, make_netns: Callable[[str], Namespace]) -> None:
        self.directory = directory
        self.netns = make_netns("node")
        self.pins = Path("/sys/fs/bpf") / self.netns.name / "n1"
        self.config = directory / "node.yaml"
        self.log = directory / "agent.log"
        self.socket = directory / "run/n1/netloom.sock"
        self.agent: subprocess.Popen[bytes] | None = None
        self.netns.run("ip", "link", "set", "lo", "up")
        self.netns.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "uplink")
        for address in UNDERLAY:
            self.netns.run("ip", "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        self.netns.run("ip", "link", "set", "eth0", "up")
        self.netns.run("ip", "link", "set", "uplink", "up")
        self.write_config()

    def write_config(
        self, *, pods: str = '[10.244.1.0/24, "fd00:10:244:1::/64"]', resync_s: int = 1, more: str = ""
    ) -> None:
        """The node config; a resync every second, so that tests of repair are quick, and room for few connections."""
        maps = "" if "maps:" in more else "maps: {connections_tcp: 4096, connections_any: 4096}\n"
        self.config.write_text(
            f"node: {{name: n1, underlay_device: eth0}}\n"
            f"resync_interval_s: {resync_s}\n"
            f"paths: {{run_dir: {self.directory}/run, state_dir: {self.directory}/state, "
            f"cache_dir: {given_objects_dir() or self.directory.parent.parent / 'netloom-objects'}, "
            f"bpf_dir: {self.pins.parent}}}\n"
            f"plugins:\n"
            f"  hostscope: {{pod_cidrs: {pods}}}\n"
            f"  local: {{path: {self.directory}/store/store.db}}\n{more}{maps}"
        )

    def command(self, *arguments: str) -> list[str]:
        """The agent's command line in the node's namespace."""
        return self.netns.argv(sys.executable, "-m", "netloom.agent.main", "--config", str(self.config), *arguments)

    def start(self) -> None:
        """Start the agent and wait until it serves."""
        with self.log.open("ab") as log:
            self.agent = subprocess.Popen(self.command(), stderr=log, stdout=log)
        assert wait_until(lambda: self.agent is None or self.agent.poll() is not None or self._serves()), (
            self.log_text()
        )
        assert self.agent.poll() is None, self.log_text()

    def refusal(self, *arguments: str) -> tuple[int, str]:
        """Exit status and words of an agent that must not start."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=WITHIN_S * 2
        )
        return done.returncode, done.stderr

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the agent; its exit status."""
        assert self.agent is not None
        self.agent.send_signal(number)
        return self.agent.wait(WITHIN_S)

    def clean(self) -> str:
        """Take everything of ours off the node; what was removed."""
        done = subprocess.run(self.command("--clean"), capture_output=True, text=True, check=True, timeout=WITHIN_S)
        return done.stdout

    def log_text(self) -> str:
        """Everything the agent has said."""
        return self.log.read_text() if self.log.exists() else ""

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and decoded answer of the agent's API."""
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(raw) if is_json else raw.decode()

    def get(self, path: str) -> Any:
        """Answer to a GET that must succeed."""
        status, answer = self.request("GET", path)
        assert status == 200, answer
        return answer

    def attach(self, pod: Namespace, container: str = "c1", **more: Any) -> dict[str, Any]:
        """Attach the namespace ``pod``, labelled ``k8s:app=x``; its endpoint, as the API shows it."""
        labels = {"cni": {"labels": [{"key": "app", "value": "x"}]}}
        ended = self.cni("ADD", container, CNI_NETNS=pod.path, args=labels, **more)
        assert ended.status == 0, ended
        return next(found for found in self.get("/v1/endpoints") if found["container_id"] == container)

    def detach(self, container: str = "c1") -> None:
        """Take an attachment back."""
        ended = self.cni("DEL", container)
        assert ended.status == 0, ended

    def cni(self, command: str, container: str = "c1", **more: Any) -> CniAnswer:
        """Hand the agent a CNI call as the program does; ``more``: keys of the network config, or CNI_ variables."""
        environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0"}
        environment |= {name: str(more.pop(name)) for name in list(more) if name.startswith("CNI_")}
        config = {"cniVersion": "1.1.0", "name": "netloom", "type": "netloom-cni"} | more
        status, output = agent.call(str(self.socket), pack(environment, json.dumps(config).encode()))
        return CniAnswer(status, json.loads(output) if output else None)

    def _serves(self) -> bool:
        try:
            return self.request("GET", "/v1/version")[0] == 200
        except OSError:
            return False

    def close(self) -> None:
        """End the agent and remove its pins, whatever the test did."""
        if self.agent is not None and self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait()
        for path in sorted(self.pins.parent.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if self.pins.parent.exists():
            self.pins.parent.rmdir()
