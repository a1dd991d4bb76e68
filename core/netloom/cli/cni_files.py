"""What ``netctl cni install`` writes: the program a runtime calls, and the network config that names it. Pure."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloom.cni.options import ANNOTATIONS
from netloom.model.errors import Invalid

PROGRAM_NAME = "netloom-cni"
MARK = b"installed by netctl cni install"
"""In every program of ours; ``relay.c`` has it too."""
MAX_SOCKET_BYTES = 107
"""Linux sockaddr_un less the ending zero."""
CAPABILITIES = ("bandwidth", "dns", "ips", "mac", "portMappings", ANNOTATIONS)
"""Declared so that a runtime tells us of them: what cannot be done is then refused, not passed over."""
_SEAL = "installedBy"
_CONFIG_SUFFIXES = (".conf", ".conflist", ".json")
"""What libcni takes for network configs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where what goes, and which agent is meant."""

    bin_dir: Path
    conf_dir: Path
    network: str
    cni_version: str
    socket: Path

    @property
    def program(self) -> Path:
        """What the runtime calls."""
        return self.bin_dir / PROGRAM_NAME

    @property
    def conflist(self) -> Path:
        """What the runtime reads."""
        return self.conf_dir / f"10-{self.network}.conflist"


def check_socket(path: Path) -> None:
    """Raises Invalid unless a socket can stand at the path, and be found from everywhere."""
    if not path.is_absolute() or len(bytes(path)) > MAX_SOCKET_BYTES:
        raise Invalid(f'socket "{path}" cannot be used, expected an absolute path of at most {MAX_SOCKET_BYTES} bytes')


def script(python: str, socket: Path) -> bytes:
    """The program where no relay can be built: slower by an interpreter's start."""
    lines = (
        "#!/bin/sh",
        f"# {MARK.decode()}",
        f"exec {shlex.quote(python)} -I -m netloom.cni {shlex.quote(str(socket))}",
    )
    return ("\n".join(lines) + "\n").encode()


def relay_definitions(python: str, socket: Path) -> list[str]:
    """The facts of an installation, as the relay's C wants them on the compiler's command line."""
    facts = {"RELAY_SOCKET": str(socket), "RELAY_DIRECTORY": str(socket.parent), "RELAY_PYTHON": python}
    return [f"-D{name}={_c_text(value)}" for name, value in facts.items()]


def conflist(installation: Installation) -> bytes:
    """The network config, with a seal by which an unchanged one is known."""
    view: dict[str, Any] = {
        "cniVersion": installation.cni_version,
        "name": installation.network,
        "plugins": [{"type": PROGRAM_NAME, "capabilities": dict.fromkeys(CAPABILITIES, True)}],
    }
    return (json.dumps(view | {_SEAL: _seal(view)}, indent=2) + "\n").encode()


def is_our_program(content: bytes) -> bool:
    """Whether an earlier installation wrote it."""
    return MARK in content


def is_our_conflist(content: bytes) -> bool:
    """Whether an earlier installation wrote it, and nobody has changed it since."""
    try:
        view = json.loads(content)
        return bool(view.pop(_SEAL) == _seal(view))
    except (ValueError, RecursionError, LookupError, AttributeError, TypeError):
        return False


def earlier_configs(names: Iterable[str], ours: str) -> list[str]:
    """Configs that a runtime which takes the first by name would take instead of ours."""
    return sorted(name for name in names if name.endswith(_CONFIG_SUFFIXES) and name < ours)


def _seal(view: dict[str, Any]) -> str:
    return f"netctl cni install {hashlib.sha256(json.dumps(view, sort_keys=True).encode()).hexdigest()[:16]}"


def _c_text(value: str) -> str:
    """A C string; octal, since a hexadecimal escape swallows the digits behind it."""
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-"
    return '"' + "".join(chr(byte) if chr(byte) in plain else f"\\{byte:03o}" for byte in value.encode()) + '"'
