"""What the API shows of the agent's objects: plain JSON values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from netloom.agent.cluster import KnownNode
from netloom.agent.controllers import ControllerState
from netloom.agent.repairs import RepairJournal
from netloom.datapath.maps import Counter
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import metrics_index
from netloom.model.endpoint import Endpoint
from netloom.model.labels import Labels
from netloom.model.node import Node
from netloom.plugins.manager import PluginRecord

Json = dict[str, Any]


def plain(value: Any) -> Any:  # noqa: PLR0911 - a table of types
    """A value as JSON has it: addresses as text, MACs as aa:bb:.., numbers as they are."""
    if isinstance(value, (IPv4Address, IPv6Address, IPv4Network, IPv6Network, Path)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex(":")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        return [plain(item) for item in value]
    return value


def instant(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def label_texts(labels: Labels) -> list[str]:
    """Sorted ``source:key=value``."""
    return sorted(str(label) for label in labels)


def endpoint_view(endpoint: Endpoint) -> Json:
    """One element of ``/v1/endpoints``, but for what policies do to it."""
    return {
        "id": endpoint.id,
        "container_id": endpoint.attachment.container_id,
        "ifname": endpoint.attachment.ifname,
        "host_ifname": endpoint.attachment.host_ifname,
        "netns": endpoint.attachment.netns,
        "ipv4": plain(endpoint.ipv4),
        "ipv6": plain(endpoint.ipv6),
        "mac": plain(endpoint.mac),
        "node_mac": plain(endpoint.node_mac),
        "ifindex": endpoint.ifindex,
        "identity": endpoint.identity,
        "labels": label_texts(endpoint.labels),
        "state": endpoint.state.value,
        "pod_name": endpoint.pod_name,
        "pod_namespace": endpoint.pod_namespace,
        "pod_uid": endpoint.pod_uid,
        "network": endpoint.network,
        "bandwidth": plain(endpoint.bandwidth),
        "ports": [str(port) for port in endpoint.ports],
        "visibility": [str(one) for one in endpoint.visibility],
    }


def identities_view(labels: Mapping[int, Labels], counts: Mapping[int, int]) -> list[Json]:
    """The answer of ``/v1/identities``, by number."""
    return [
        {"id": number, "labels": label_texts(labels[number]), "refcount": counts.get(number, 0)}
        for number in sorted(labels)
    ]


def node_view(node: Node, known: KnownNode | None = None) -> Json:
    """One element of ``/v1/nodes``; ``known``: how this node knows another one."""
    return {
        "name": node.name,
        "local": known is None,
        "underlay_ipv4": plain(node.underlay_ipv4),
        "underlay_ipv6": plain(node.underlay_ipv6),
        "pod_cidrs": plain(node.pod_cidrs),
        "gateways": plain(node.gateways),
        "mode": node.mode,
        "modes": list(node.modes or (node.mode,)),
        "segments": plain(node.segments),
        "reached_by": known.mode if known else "",
        "way": _way(known) if known else "local",
        "passed_over": list(known.passed_over) if known else [],
        "state": "unreachable" if known and known.error else "reachable",
        "error": known.error if known else "",
    }


def _way(known: KnownNode) -> str:
    """In one word."""
    if known.error:
        return "none"
    return "native" if known.reach.native else "tunnel"


def nodes_view(local: Node, others: Mapping[str, KnownNode]) -> list[Json]:
    """This node first, then the others by name."""
    return [node_view(local), *(node_view(others[name].node, others[name]) for name in sorted(others))]


def reached(others: Mapping[str, KnownNode]) -> Json:
    """How many nodes there are, how many each network mode reaches, and which are not reached."""
    modes = [known.mode for known in others.values() if not known.error]
    return {
        "nodes": 1 + len(others),
        "unreachable": sorted(name for name, known in others.items() if known.error),
        "reached_by": {mode: modes.count(mode) for mode in sorted(set(modes))},
    }


def controller_view(state: ControllerState) -> Json:
    """One background loop."""
    return {
        "name": state.name,
        "state": "failing" if state.failing else "ok",
        "runs": state.runs,
        "failures": state.failures,
        "last_error": state.last_error,
        "last_success_at": instant(state.last_success_at),
    }


def plugin_counts(records: Iterable[PluginRecord]) -> Json:
    """How many plugins are at work, and how many were left out."""
    states = [record.state for record in records]
    return {state: states.count(state) for state in ("active", "failed")}


def repairs_view(journal: RepairJournal) -> Json:
    """How often each kind of thing was put right, and what was last, oldest first."""
    last = [plain(noted.repair) | {"at": instant(noted.at)} for noted in journal.last()]
    return {"counts": dict(journal.counts()), "last": last}


def counters_view(counters: Mapping[int, Counter]) -> list[Json]:
    """Non-zero packet counters by reason and direction; keys are indexes of the ``metrics`` array."""
    places = ((reason, direction) for reason in DropReason for direction in Direction)
    found = ((reason, direction, counters.get(metrics_index(reason, direction))) for reason, direction in places)
    return [
        {
            "reason": int(reason),
            "name": reason.name,
            "text": reason.text,
            "hint": reason.hint,
            "direction": direction.name.lower(),
            "packets": counter.packets,
            "bytes": counter.bytes,
        }
        for reason, direction, counter in found
        if counter is not None and counter.packets
    ]
