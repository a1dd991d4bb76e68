"""podman in a machine, with CNI networks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support import image
from support.machine import CGROUP, Machine
from support.runtimes import SERVE, Output, Pod, RuntimeFailure

_CONFIG = f"""
[containers]
apparmor_profile = ""
# Defaults that ask for more than who runs in a container itself may have.
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
oom_score_adj = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "{image.NAME}"
lock_type = "file"
runtime = "runc"
[network]
network_backend = "cni"
"""


class Podman:
    """The program; there is no daemon."""

    def __init__(self, machine: Machine, network: str) -> None:
        self._machine = machine
        self._network = network
        self.options = ("--network", network, "--cgroup-parent", CGROUP, "--cap-add", "NET_RAW")
        """For ``run``; the last for ping."""
        file = machine.file("/etc/containers/containers.conf")
        file.parent.mkdir(exist_ok=True)
        file.write_text(_CONFIG)

    def on(self, network: str) -> Podman:
        """The same for another network."""
        return Podman(self._machine, network)

    def attempt(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        return self._machine.attempt("podman", *argv)

    def run(self, *argv: str) -> str:
        """Standard output of a command that must succeed; raises RuntimeFailure."""
        done = self.attempt(*argv)
        if done.returncode != 0:
            raise RuntimeFailure(done.stderr)
        return done.stdout.strip()

    def load(self, archive: Path) -> None:
        """Import an image."""
        self.run("load", "--quiet", "--input", str(archive))

    def start_pod(self, name: str, *options: str) -> Pod:
        """A container of its own; ``options`` are those of ``run``."""
        command = (image.NAME, "/bin/sh", "-c", SERVE, name)
        self.run("run", "--detach", "--name", name, *self.options, *options, *command)
        return self.pod(name)

    def pod(self, name: str) -> Pod:
        """A container that runs."""
        found = self.inspect(name)
        network = found["NetworkSettings"]["Networks"][self._network]
        addresses = (network["IPAddress"], network["GlobalIPv6Address"])
        return Pod(name=name, container_id=found["Id"], addresses=addresses, workload=name)

    def inspect(self, name: str) -> dict[str, Any]:
        """All it knows of a container."""
        found: list[dict[str, Any]] = json.loads(self.run("container", "inspect", name))
        return found[0]

    def execute(self, pod: Pod, *argv: str) -> Output:
        """In the container."""
        done = self.attempt("exec", pod.workload, *argv)
        return Output(status=done.returncode, text=done.stdout + done.stderr)

    def end_pod(self, pod: Pod) -> None:
        """No time to say good-bye."""
        self.run("rm", "--force", "--time", "0", pod.workload)

    def tidy(self, name: str) -> None:
        """It keeps the container, as created."""
        self.run("rm", "--force", "--ignore", "--time", "0", name)
