"""A whole walk: from agent to agent, until the packet ends or an agent cannot be reached."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloom.cli.client import Client
from netloom.cli.errors import AgentAway
from netloom.cli.sockets import SOCKET_NAME
from netloom.cli.walk.ends import Site
from netloom.model.errors import Unavailable

View = dict[str, Any]

MAX_NODES = 8
"""A packet that meets more nodes goes round in a circle."""
TIMEOUT_S = 60.0
"""The first walk after a change of programs loads twins of them all, which takes a busy machine long."""
UNKNOWN = "unknown"
"""The fate of a packet whose next node cannot be asked from here."""


class Cluster:
    """The agents that can be asked from here: the one that was chosen, and those whose sockets stand beside its own."""

    def __init__(self, run_dir: Path, chosen: Path | None = None) -> None:
        """Ask each who it is. Raises AgentAway when the chosen one does not answer; others may be away."""
        self._run_dir = run_dir
        self._clients: dict[str, Client] = {}
        self._members: set[str] = set()
        self.sites: dict[str, Site] = {}
        self.chosen = self._add(chosen) if chosen else ""
        """Name of the chosen one's node."""
        for path in sorted(run_dir.glob(f"*/{SOCKET_NAME}")):
            if path != chosen:
                with suppress(AgentAway):
                    self._add(path)

    def client(self, node: str) -> Client:
        """Of a node. Raises AgentAway when none of its agents was met."""
        if node not in self._clients:
            raise AgentAway(f'no agent of node "{node}" answers below {self._run_dir}')
        return self._clients[node]

    def silent(self) -> tuple[str, ...]:
        """Nodes of the cluster that were not met."""
        return tuple(sorted(self._members - self.sites.keys()))

    def _add(self, path: Path) -> str:
        client = Client(path)
        nodes = client.get("nodes")
        own = next(view for view in nodes if view["local"])
        site = Site(node=own, endpoints=tuple(client.get("endpoints")))
        self._members |= {view["name"] for view in nodes}
        self._clients[site.name], self.sites[site.name] = client, site
        return site.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Everything that happened to the packet."""

    hops: tuple[View, ...]
    ending: View
    last: str
    """The node it ended on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What agents are asked on the way."""

    body: View
    """For the first."""
    request: View | None = None
    """What the client says; None asks no proxy."""
    proxied: frozenset[str] = frozenset()
    """Of an answer: nodes whose proxies had the packet that it answers."""

    def to(self, node: str, body: View) -> View:
        """What one of them is asked."""
        asked = {"request": self.request} if self.request is not None else {}
        return body | asked | ({"proxied": True} if node in self.proxied else {})


def follow(cluster: Cluster, first: str, errand: Errand) -> Way:
    """Ask the first node, then the one the packet goes to, and so on. Raises what the first agent's client raises."""
    part = _asked(cluster, first, errand.to(first, errand.body))
    is_reply = errand.body["packet"]["reply"]
    hops = list(part["hops"])
    for _ in range(MAX_NODES):
        ending, node = part["ending"], part["ending"]["node"]
        if ending["fate"] != "node":
            return Way(hops=tuple(hops), ending=ending, last=part["node"])
        try:
            arriving = {"start": "wire", "frame": ending["frame"], "reply": is_reply}
            part = _asked(cluster, node, errand.to(node, arriving))
        except AgentAway as error:
            text = f"left {part['node']} for {node}, whose agent cannot be asked from here: {error}"
            return Way(hops=tuple(hops), ending={**ending, "fate": UNKNOWN, "text": text}, last=part["node"])
        hops += part["hops"]
    raise Unavailable(f"the packet met {MAX_NODES} nodes and goes on: their routes lead in a circle")


def _asked(cluster: Cluster, node: str, body: View) -> View:
    part: View = cluster.client(node).send("POST", body, "walk", timeout_s=TIMEOUT_S)
    return part
