"""What ``netctl lab status`` shows: how each node and pod of a lab fares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from netloom.lab import agents, routers
from netloom.lab.agents import AgentError
from netloom.lab.lab import Lab
from netloom.lab.racks import SPINE_V4, SPINE_V6
from netloom.lab.topology import REFLECTOR

GAP = "   "
_NAMED = 3
"""Missing peers whose addresses are shown."""
UNFINISHED = 'this lab is not complete: its making was interrupted, or is still going on; "netctl lab down" removes it'


def overview(lab: Lab) -> dict[str, Any]:
    """The lab's name, whether it is complete, its nodes, pods and routers; plain JSON values."""
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
                "rack": node.rack,
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
        "routers": _routers(lab),
    }


def render(view: dict[str, Any]) -> str:
    """For people."""
    racked = any(node["rack"] for node in view["nodes"])
    nodes = [
        (
            node["name"],
            *((node["rack"],) if racked else ()),
            node["agent"],
            node["ipv4"],
            node["ipv6"],
            *node["pod_cidrs"],
        )
        for node in view["nodes"]
    ]
    pods = [(pod["name"], pod["state"], pod["node"], pod["ipv4"], pod["ipv6"], pod["identity"]) for pod in view["pods"]]
    parts = [
        f"Lab {view['name']}" + ("" if view["complete"] else f": {UNFINISHED}"),
        _columns(("NODE", *(("RACK",) if racked else ()), "AGENT", "IPv4", "IPv6", "POD CIDRS", ""), nodes),
        _columns(("POD", "STATE", "NODE", "IPv4", "IPv6", "IDENTITY"), pods),
    ]
    if view["routers"]:
        rows = [
            (*(one[key] for key in ("name", "rack", "program", "asn", "ipv4", "ipv6")), _stand(one))
            for one in view["routers"]
        ]
        parts.append(_columns(("ROUTER", "RACK", "PROGRAM", "AS", "IPv4", "IPv6", "SESSIONS"), rows))
    return "\n\n".join(parts)


def _routers(lab: Lab) -> list[dict[str, Any]]:
    """The reflector and the racks' routers, each with its BGP sessions; none in a lab without racks."""
    topology = lab.topology
    if not topology.tors:
        return []
    found = routers.sessions(topology)
    places: list[tuple[str, str | None, str, int, IPv4Interface, IPv6Interface]] = [
        (REFLECTOR, None, "bird", topology.spec.asn, SPINE_V4, SPINE_V6)
    ]
    places += [(tor.name, tor.rack, "frr", tor.asn, tor.ipv4, tor.ipv6) for tor in topology.tors]
    return [
        {
            "name": name,
            "rack": rack,
            "program": program,
            "asn": asn,
            "ipv4": str(ipv4.ip),
            "ipv6": str(ipv6.ip),
            "sessions": [asdict(session) for session in found if session.router == name],
        }
        for name, rack, program, asn, ipv4, ipv6 in places
    ]


def _stand(router: dict[str, Any]) -> str:
    """How many sessions there are, and who is missing."""
    sessions = router["sessions"]
    missing = [session["peer"] for session in sessions if session["state"] != routers.ESTABLISHED]
    if not sessions:
        return "does not answer"
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    absent = f"; without {', '.join(missing[:_NAMED])}{more}" if missing else ""
    return f"{len(sessions) - len(missing)} of {len(sessions)}{absent}"


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
