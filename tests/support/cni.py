"""The CNI program as an installation has it, and calls to it as a runtime makes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from netloom.cli.cni_files import script
from netloom.cli.cni_install import build_relay
from support.node import NodeUnderTest

CALL_WITHIN_S = 120.0
"""Longer than the program may take in the worst case."""
ENVIRONMENT = {"CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "PATH": os.environ.get("PATH", "")}
CONFIG = {"cniVersion": "1.1.0", "name": "netloom", "type": "netloom-cni"}


class Ended(NamedTuple):
    """How a call ended."""

    status: int
    answer: Any
    """What was printed, decoded; None for nothing."""

    @property
    def code(self) -> int:
        """Of the error printed; 0 for a call that went well."""
        return 0 if self.status == 0 else int(self.answer["code"])

    @property
    def message(self) -> str:
        """Of the error printed; "" for a call that went well."""
        return "" if self.status == 0 else str(self.answer["msg"])


class Program:
    """An installed program."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, command: str, container: str = "c1", **more: Any) -> Ended:
        """One call; ``more``: CNI_ variables (None takes one away), and keys of the network config."""
        given: dict[str, Any] = {"CNI_COMMAND": command, "CNI_CONTAINERID": container}
        given |= {name: more.pop(name) for name in list(more) if name.startswith("CNI_")}
        environment = ENVIRONMENT | {name: str(value) for name, value in given.items() if value is not None}
        environment = {name: value for name, value in environment.items() if given.get(name, "") is not None}
        return self.raw(environment, json.dumps(CONFIG | more).encode())

    def raw(self, environment: dict[str, str], stdin: bytes) -> Ended:
        """One call with environment and standard input as they are; whatever it prints must be JSON or nothing."""
        done = subprocess.run(
            [self.path], env=environment, input=stdin, capture_output=True, check=False, timeout=CALL_WITHIN_S
        )
        assert done.stderr == b"", done.stderr
        return Ended(done.returncode, json.loads(done.stdout) if done.stdout else None)


def install_relay(directory: Path, socket: Path, *flags: str, python: str = sys.executable) -> Program:
    """The compiled relay to the agent at ``socket``; ``flags``: more words for the compiler."""
    content, why_not = build_relay(python, socket, *flags)
    assert content, why_not
    return _put(directory / "netloom-cni", content)


def install_script(directory: Path, socket: Path) -> Program:
    """What is installed where there is no compiler."""
    return _put(directory / "netloom-cni-script", script(sys.executable, socket))


def _put(path: Path, content: bytes) -> Program:
    path.write_bytes(content)
    path.chmod(0o755)
    return Program(path)


def everything(node: NodeUnderTest) -> dict[str, Any]:
    """What an attachment leaves its trace in: of the agent, of the kernel, and of the disk."""
    maps = ("endpoints", "devices", "ipcache")
    return {
        "endpoints": node.get("/v1/endpoints"),
        "pools": node.get("/v1/status")["ipam"],
        "links": [line.split("@")[0].split()[0] for line in node.netns.run("ip", "-br", "link").splitlines()],
        "files": sorted(path.name for path in (node.directory / "state/n1/endpoints").iterdir()),
        **{name: node.get(f"/v1/maps/{name}")["entries"] for name in maps},
    }
