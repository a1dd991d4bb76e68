"""Which agent to ask: the one named, or the only one of this machine."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from netloom.cli.errors import AgentAway, Ambiguous
from netloom.lab.topology import LABS_DIR

RUN_DIR = Path("/run/netloom")
"""Default of ``paths.run_dir``; each agent listens in a directory named like its node."""
SOCKET_NAME = "netloom.sock"


def agents(run_dir: Path = RUN_DIR, labs_dir: Path = LABS_DIR) -> dict[str, Path]:
    """Sockets of this machine's agents by name: ``node``, and ``lab/node`` for those of a lab."""
    own = {path.parent.name: path for path in sorted(run_dir.glob(f"*/{SOCKET_NAME}"))}
    labs = sorted(labs_dir.glob(f"*/run/*/{SOCKET_NAME}"))
    return own | {f"{path.parents[2].name}/{path.parent.name}": path for path in labs}


def find_socket(node: str | None, found: Mapping[str, Path]) -> Path:
    """The socket to use of those found; a lab's node may be named without its lab where that is clear.

    Raises AgentAway when there is none, Ambiguous when there are several.
    """
    meant = found if node is None else _named(node, found)
    if len(meant) > 1:
        # An agent that was killed leaves its socket behind.
        meant = {name: path for name, path in meant.items() if _listens(path)} or meant
    if len(meant) > 1:
        raise Ambiguous(several(meant))
    if not meant:
        raise AgentAway(_nobody(node, found))
    return next(iter(meant.values()))


def several(found: Mapping[str, Path]) -> str:
    """That one must be chosen, each by its full name, and how."""
    return f"several agents run on this machine: {', '.join(found)}; choose one, as with --node {next(iter(found))}"


def _named(node: str, found: Mapping[str, Path]) -> Mapping[str, Path]:
    if node in found:
        return {node: found[node]}
    return {name: path for name, path in found.items() if name.endswith(f"/{node}")}


def _nobody(node: str | None, found: Mapping[str, Path]) -> str:
    if found:
        return f'no agent of node "{node}" runs on this machine, found {", ".join(found)}'
    return (
        f"no agent is running: no socket was found below {RUN_DIR}; "
        "start netloom-agent, or name its socket with --socket"
    )


def _listens(path: Path) -> bool:
    """Whether somebody accepts connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
