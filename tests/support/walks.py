"""Recorded walks, as an agent tells them, and the nodes they go through."""

from __future__ import annotations

from typing import Any

View = dict[str, Any]


def node(name: str, number: int) -> View:
    """An element of ``/v1/nodes``: the node that was asked."""
    return {
        "name": name,
        "local": True,
        "underlay_ipv4": f"192.168.77.{number + 10}",
        "underlay_ipv6": f"fd00:77::{number + 10}",
        "pod_cidrs": [f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64"],
        "gateways": [f"10.244.{number}.1", f"fd00:10:244:{number}::1"],
        "mode": "vxlan",
        "state": "reachable",
        "error": "",
    }


def endpoint(name: str, number: int, address: int, *, namespace: str = "default", ipv4: bool = True) -> View:
    """An element of ``/v1/endpoints``, as far as a walk reads it."""
    return {
        "id": address,
        "ipv4": f"10.244.{number}.{address}" if ipv4 else None,
        "ipv6": f"fd00:10:244:{number}::{address}",
        "pod_name": name,
        "pod_namespace": namespace,
    }


def call(text: str, map_name: str = "") -> View:
    """One call of a stage."""
    return {"helper": "map_lookup_elem", "text": text, "map": map_name, "key": None, "value": None, "result": 0}


def hop(node_name: str, place: str, device: str, direction: str, text: str, **more: Any) -> View:
    """One hop with nothing special about it."""
    return {
        "node": node_name,
        "place": place,
        "device": device,
        "direction": direction,
        "text": text,
        "packet": "10.244.1.2 -> 10.244.2.2 EchoRequest",
        "frame": "00" * 14,
        "captured": True,
        "endpoint_id": 0,
        "program": "",
        "tag": "",
        "stages": [],
        "changes": [],
        "drop": None,
        "answer": False,
        "notes": [],
        "requests": [],
        **more,
    }


def ending(fate: str, text: str, **more: Any) -> View:
    """How a packet ends on a node."""
    return {"fate": fate, "text": text, "node": "", "endpoint_id": 0, "drop": None, "answer": "", "frame": "", **more}


def change(field: str, before: str, after: str) -> View:
    """One rewritten field."""
    return {"field": field, "before": before, "after": after}


PROGRAM = hop(
    "node1",
    "program",
    "lxc1",
    "ingress",
    "redirect to loom_vxlan",
    program="from_container",
    tag="0123456789abcdef",
    stages=[
        {"program": "from_container", "calls": [call("ipcache[10.244.2.2/32] = identity=256", "ipcache")]},
        {"program": "encap", "calls": [call("metrics[2] = packets=1", "metrics"), call("redirect to loom_vxlan")]},
    ],
    changes=[change("ttl", "64", "63")],
)
WRAPPED = hop(
    "node1",
    "device",
    "loom_vxlan",
    "egress",
    "wrapped for 192.168.77.12, VNI 257, by eth0",
    changes=[
        change("outer.source", "", "192.168.77.11"),
        change("outer.destination", "", "192.168.77.12"),
        change("outer.ttl", "", "64"),
        change("outer.destination_port", "", "8472"),
        change("vni", "", "257"),
    ],
    notes=["the kernel chooses the outer source port by the flow"],
)
FIRST_PART = {
    "node": "node1",
    "hops": [hop("node1", "pod", "eth0", "egress", "busybox1 sends via 10.244.1.1"), PROGRAM, WRAPPED],
    "ending": ending("node", "left by eth0 for node node2", node="node2", frame="ab" * 20),
}
SECOND_PART = {
    "node": "node2",
    "hops": [
        hop("node2", "stack", "", "", "for the overlay's UDP port 8472", captured=False),
        hop("node2", "pod", "eth0", "ingress", "delivered to busybox3", endpoint_id=2),
    ],
    "ending": ending("delivered", "delivered to busybox3", endpoint_id=2),
}
DROP = {
    "reason": 150,
    "name": "UNKNOWN_TARGET",
    "text": "Unknown L3 target address",
    "hint": "No endpoint has that address: it may just have gone.",
    "direction": "egress",
    "source_identity": 257,
    "destination_identity": 2,
    "line": 47,
}
DROPPED_PART = {
    "node": "node1",
    "hops": [
        FIRST_PART["hops"][0],  # type: ignore[index]
        {**PROGRAM, "text": "dropped: Unknown L3 target address", "drop": DROP},
    ],
    "ending": ending("dropped", "Unknown L3 target address", drop=DROP),
}


def judged(verdict: str, **more: Any) -> View:
    """A hop of node2's proxy."""
    side = {"verdict": verdict, "rule": None}
    answer = {"status": "403"} if verdict == "denied" else {}
    request = {"request": {"method": "PUT"}, "verdict": verdict, "egress": None, "ingress": side, "answer": answer}
    return hop("node2", "proxy", "", "", "denied by the proxy of node2", captured=False, requests=[request], **more)


HANDED_PART = {
    "node": "node2",
    "hops": [hop("node2", "stack", "", "", "kept on this node by its mark, for the proxy's socket", captured=False)],
    "ending": ending("proxy", "handed to the proxy of node2, which judges requests"),
}
DENIED_PART = {
    "node": "node2",
    "hops": [*HANDED_PART["hops"], judged("denied")],
    "ending": ending("denied", "denied by the proxy of node2", answer="status=403"),
}
SYN = "0200000000fe0200000000010800" + "4500002c0000000040060000" + "0af401020af40202" + "9c400050" + "00" * 20
TAKEN = hop("node2", "pod", "eth0", "ingress", "delivered to busybox3", frame=SYN, endpoint_id=2)
ALLOWED_PART = {
    "node": "node2",
    "hops": [judged("allowed"), TAKEN],
    "ending": ending("delivered", "delivered to busybox3", endpoint_id=2),
}
