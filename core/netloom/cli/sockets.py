"""Which agent to ask: the one named, or the only one of this machine."""

from __future__ import annotations

import socket
from pathlib import Path

from netloom.cli.errors import AgentAway, Ambiguous

RUN_DIR = Path("/run/netloom")
"""Default of ``paths.run_dir``; each agent listens in a directory named like its node."""
SOCKET_NAME = "netloom.sock"


def sockets(run_dir: Path = RUN_DIR) -> dict[str, Path]:
    """Sockets below ``run_dir``, by node name."""
    return {path.parent.name: path for path in sorted(run_dir.glob(f"*/{SOCKET_NAME}"))}


def find_socket(node: str | None = None, run_dir: Path = RUN_DIR) -> Path:
    """The socket of that node's agent, or of the only one.

    Raises AgentAway when there is none, Ambiguous when there are several.
    """
    found = sockets(run_dir)
    if node is not None:
        if node not in found:
            others = f"; found {', '.join(found)}" if found else ""
            raise AgentAway(f'no agent of node "{node}" is running below {run_dir}{others}')
        return found[node]
    if len(found) > 1:
        found = {name: path for name, path in found.items() if _listens(path)} or found
    if not found:
        raise AgentAway(
            f"no agent is running: no socket was found below {run_dir}; "
            "start netloom-agent, or name its socket with --socket"
        )
    if len(found) > 1:
        raise Ambiguous(f"several agents run on this machine: {', '.join(found)}; choose one with --node NAME")
    return next(iter(found.values()))


def _listens(path: Path) -> bool:
    """Whether somebody accepts connections: an agent that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
