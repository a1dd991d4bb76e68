"""Plugins called through libcni, the library of runtimes: by a small driver in Go, built from Debian's sources."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.machine import Machine
from support.runtimes import HTTP_PORT, Output, Pod, RuntimeFailure

_SOURCE = Path(__file__).with_name("libcni.go")
_DEBIAN_GOPATH = "/usr/share/gocode"
IFNAME = "eth0"
BIN_DIR = "/opt/cni/bin"
_COMMANDS = "/run/busybox"
"""Where the machine has busybox by all its names, so that pods here have the same commands as containers."""


def build(cache: Path) -> Path:
    """The driver, built unless the same source was built before."""
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    program = cache / f"netloom-libcni-{digest}"
    if not program.exists():
        new = program.with_suffix(f".{os.getpid()}")
        go = {
            "GO111MODULE": "off",
            "GOPATH": _DEBIAN_GOPATH,
            "GOCACHE": str(cache / "netloom-go"),
            "GOFLAGS": "-trimpath",
        }
        subprocess.run(["go", "build", "-o", str(new), str(_SOURCE)], check=True, env=os.environ | go)
        new.rename(program)
    return program


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network config list, and where its plugins' results are kept."""

    conflist: Path
    cache: Path


class Libcni:
    """Calls the plugins of one network for namespaces that it makes."""

    def __init__(self, machine: Machine, driver: Path, network: Network) -> None:
        self._machine = machine
        self._driver = driver
        self._network = network
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        machine.file(_COMMANDS).mkdir(exist_ok=True)
        machine.run("busybox", "--install", "-s", _COMMANDS)

    def on(self, network: Network) -> Libcni:
        """The same for another network."""
        return Libcni(self._machine, self._driver, network)

    def call(self, command: str, name: str, *arguments: str, capabilities: Mapping[str, object] | None = None) -> Any:
        """``add``, ``check``, ``del`` or ``cached``; the decoded result, if any.

        ``arguments`` become CNI_ARGS, ``capabilities`` the runtimeConfig. Raises RuntimeFailure with the error's JSON.
        """
        done = self._machine.attempt(
            str(self._driver),
            f"-command={command}",
            f"-conflist={self._network.conflist}",
            f"-plugins={BIN_DIR}",
            f"-cache={self._network.cache}",
            f"-container={name}",
            f"-netns={self.netns(name)}",
            f"-ifname={IFNAME}",
            f"-capabilities={json.dumps(capabilities or {})}",
            *arguments,
        )
        if done.returncode != 0:
            raise RuntimeFailure(done.stderr.strip())
        return json.loads(done.stdout) if done.stdout else None

    def netns(self, name: str) -> str:
        """Where the namespace of a pod stands in the machine."""
        return f"/run/netns/{name}"

    def inside(self, name: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """A command of busybox in a namespace, which may fail."""
        return self._machine.attempt(*self._inside(name, *argv))

    def make_netns(self, name: str) -> None:
        """An empty namespace."""
        self._machine.run("ip", "netns", "add", name)

    def delete_netns(self, name: str) -> None:
        """That there may be no more of it."""
        self._machine.attempt("ip", "netns", "delete", name)

    def start_pod(self, name: str) -> Pod:
        """A namespace, its interface, and an HTTP server in it."""
        self.make_netns(name)
        try:
            result = self.call("add", name, "K8S_POD_NAME=" + name)
        except RuntimeFailure:
            self.call("del", name)
            self.delete_netns(name)
            raise
        self._serve(name)
        addresses = tuple(ip["address"].partition("/")[0] for ip in result["ips"])
        return Pod(name=name, container_id=name, addresses=addresses, workload=name)

    def execute(self, pod: Pod, *argv: str) -> Output:
        """In the namespace, with the host's files."""
        done = self.inside(pod.workload, *argv)
        return Output(status=done.returncode, text=done.stdout + done.stderr)

    def end_pod(self, pod: Pod) -> None:
        """The interface, then the namespace."""
        server = self._servers.pop(pod.workload)
        server.kill()
        server.wait()
        self.call("del", pod.workload)
        self.delete_netns(pod.workload)

    def tidy(self, name: str) -> None:
        """Nothing is kept."""

    def _serve(self, name: str) -> None:
        files = f"/run/www/{name}"
        self._machine.file(files).mkdir(parents=True, exist_ok=True)
        (self._machine.file(files) / "index.html").write_text(name)
        server = self._inside(name, "httpd", "-f", "-p", str(HTTP_PORT), "-h", files)
        self._servers[name] = self._machine.popen(*server)

    def _inside(self, name: str, *argv: str) -> list[str]:
        return ["nsenter", f"--net={self.netns(name)}", "--", "env", f"PATH={_COMMANDS}", *argv]
