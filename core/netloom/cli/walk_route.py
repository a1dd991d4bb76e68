"""A whole walk: from agent to agent, until the packet ends or an agent cannot be reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloom.cli.client import Client
from netloom.cli.errors import AgentAway
from netloom.cli.sockets import SOCKET_NAME
from netloom.cli.walk_ends import Site
from netloom.model.errors import Unavailable

View = dict[str, Any]

MAX_NODES = 8
"""A packet that meets more nodes goes round in a circle."""
UNKNOWN = "unknown"
"""The fate of a packet whose next node cannot be asked from here."""


class Cluster:
    """The agents that can be asked from here: those beside the one that was chosen, each in a directory of its name."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self.sites: dict[str, Site] = {}
        for path in sorted(run_dir.glob(f"*/{SOCKET_NAME}")):
            try:
                self.sites[path.parent.name] = _look(Client(path))
            except AgentAway:
                continue

    def client(self, node: str) -> Client:
        """Of a node; asking it raises AgentAway when it does not answer."""
        return Client(self._run_dir / node / SOCKET_NAME)


def _look(client: Client) -> Site:
    own = next(view for view in client.get("nodes") if view["local"])
    return Site(node=own, endpoints=tuple(client.get("endpoints")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Everything that happened to the packet."""

    hops: tuple[View, ...]
    ending: View
    last: str
    """The node it ended on."""


def follow(cluster: Cluster, first: str, body: View) -> Way:
    """Ask the first node, then the one the packet goes to, and so on. Raises what the first agent's client raises."""
    part = cluster.client(first).post(body, "walk")
    hops = list(part["hops"])
    for _ in range(MAX_NODES):
        ending, node = part["ending"], part["ending"]["node"]
        if ending["fate"] != "node":
            return Way(hops=tuple(hops), ending=ending, last=part["node"])
        try:
            part = cluster.client(node).post({"start": "wire", "frame": ending["frame"]}, "walk")
        except AgentAway as error:
            text = f"left {part['node']} for {node}, whose agent cannot be asked from here: {error}"
            return Way(hops=tuple(hops), ending={**ending, "fate": UNKNOWN, "text": text}, last=part["node"])
        hops += part["hops"]
    raise Unavailable(f"the packet met {MAX_NODES} nodes and goes on: their routes lead in a circle")
