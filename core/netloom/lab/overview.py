"""What ``netctl lab status`` shows: how each node and pod of a lab fares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netloom.lab import agents
from netloom.lab.agents import AgentError
from netloom.lab.lab import Lab

GAP = "   "
UNFINISHED = 'this lab is not complete: its making was interrupted, or is still going on; "netctl lab down" removes it'


def overview(lab: Lab) -> dict[str, Any]:
    """The lab's name, whether it is complete, its nodes and pods; plain JSON values."""
    states = {node.name: agents.state_of(lab.files, node.name) for node in lab.topology.nodes}
    endpoints = _endpoints(lab, [name for name, state in states.items() if state != "away"])
    return {
        "name": lab.files.name,
        "complete": lab.complete,
        "nodes": [
            {
                "name": node.name,
                "netns": node.netns,
                "agent": states[node.name],
                "ipv4": str(node.ipv4.ip),
                "ipv6": str(node.ipv6.ip),
                "pod_cidrs": [str(node.pod_cidr_v4), str(node.pod_cidr_v6)],
                "socket": str(lab.files.socket(node.name)),
                "log": str(lab.files.log(node.name)),
            }
            for node in lab.topology.nodes
        ],
        "pods": [
            {
                "name": pod.name,
                "netns": pod.netns,
                "node": pod.node,
                "state": endpoints.get(pod.name, {}).get("state", "unknown"),
                "ipv4": endpoints.get(pod.name, {}).get("ipv4"),
                "ipv6": endpoints.get(pod.name, {}).get("ipv6"),
                "identity": endpoints.get(pod.name, {}).get("identity"),
            }
            for pod in lab.topology.pods
        ],
    }


def render(view: dict[str, Any]) -> str:
    """For people."""
    nodes = [(node["name"], node["agent"], node["ipv4"], node["ipv6"], *node["pod_cidrs"]) for node in view["nodes"]]
    pods = [(pod["name"], pod["state"], pod["node"], pod["ipv4"], pod["ipv6"], pod["identity"]) for pod in view["pods"]]
    parts = [
        f"Lab {view['name']}" + ("" if view["complete"] else f": {UNFINISHED}"),
        _columns(("NODE", "AGENT", "IPv4", "IPv6", "POD CIDRS", ""), nodes),
        _columns(("POD", "STATE", "NODE", "IPv4", "IPv6", "IDENTITY"), pods),
    ]
    return "\n\n".join(parts)


def _endpoints(lab: Lab, nodes: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for node in nodes:
        try:
            found |= {endpoint["pod_name"]: endpoint for endpoint in lab.api(node, "/v1/endpoints")}
        except AgentError:
            # It was there a moment ago. Its pods are shown as unknown, as they are.
            continue
    return found


def _columns(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    cells = [headers, *([("-" if value is None else str(value)) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )
