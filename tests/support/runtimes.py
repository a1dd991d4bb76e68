"""What tests ask of any container runtime: pods that serve HTTP and run commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

HTTP_PORT = 8080
SERVE = f'mkdir -p /www; echo "$0" > /www/index.html; httpd -p {HTTP_PORT} -h /www; exec pause'
"""A shell script that serves its ``$0`` at ``/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a command in a pod came to."""

    status: int
    text: str


class RuntimeFailure(Exception):
    """The runtime did not do what it was asked; its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A running pod."""

    name: str
    container_id: str
    """As CNI has it."""
    addresses: tuple[str, ...]
    """As the runtime knows them."""
    workload: str
    """What the runtime calls the thing in which commands run."""

    def address(self, version: int) -> str:
        """That of an IP version."""
        return next(address for address in self.addresses if (":" in address) == (version == 6))


class Runtime(Protocol):
    """Starts pods, runs commands in them, ends them. Each call raises RuntimeFailure."""

    def start_pod(self, name: str) -> Pod:
        """A pod that serves its name at port HTTP_PORT."""

    def execute(self, pod: Pod, *argv: str) -> Output:
        """Run a command to its end, which must come soon."""

    def end_pod(self, pod: Pod) -> None:
        """Stop and remove it."""

    def tidy(self, name: str) -> None:
        """Remove what the runtime itself keeps of a pod that could not be started."""


@contextmanager
def running(runtime: Runtime, *names: str) -> Iterator[tuple[Pod, ...]]:
    """Pods that end with the block."""
    with ExitStack() as ends:
        pods = []
        for name in names:
            pods.append(runtime.start_pod(name))
            ends.callback(runtime.end_pod, pods[-1])
        yield tuple(pods)


def pings(runtime: Runtime, pod: Pod, target: str) -> bool:
    """Whether an echo request is answered."""
    return runtime.execute(pod, "ping", "-c", "1", "-W", "5", target).status == 0


def fetch(runtime: Runtime, pod: Pod, target: str) -> str:
    """What ``target`` serves."""
    host = f"[{target}]" if ":" in target else target
    return runtime.execute(pod, "wget", "-q", "-O", "-", f"http://{host}:{HTTP_PORT}/").text.strip()
