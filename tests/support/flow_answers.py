"""Lines of an agent's streams, ``/v1/monitor`` and ``/v1/flows``, recorded."""

from __future__ import annotations

from typing import Any

DROP: dict[str, Any] = {
    "kind": "drop",
    "at_ns": 1772359200000000000,
    "code": 132,
    "text": "Invalid source ip",
    "direction": "egress",
    "source_identity": 256,
    "destination_identity": 0,
    "endpoint_id": 1,
    "ifindex": 16,
    "hash": 51966,
    "packet_bytes": 98,
    "line": 64,
    "packet": {
        "protocol": "icmp",
        "source": "10.9.9.9",
        "destination": "10.244.1.3",
        "source_port": None,
        "destination_port": None,
        "detail": "EchoRequest",
    },
    "summary": (
        "xx drop (Invalid source ip) flow 0xcafe to endpoint 0, identity 256->0: 10.9.9.9 -> 10.244.1.3 EchoRequest"
    ),
}

TRACE: dict[str, Any] = DROP | {
    "kind": "trace",
    "code": 0,
    "text": "to endpoint",
    "direction": "ingress",
    "endpoint_id": 2,
    "summary": "-> endpoint 2 flow 0xcafe, identity 256->257: 10.244.1.2 -> 10.244.1.3 EchoRequest",
}

LOST: dict[str, Any] = {"kind": "lost", "where": "ring", "count": 12, "at_ns": 1772359200000000000}

ALLOWED: dict[str, Any] = {
    "kind": "policy-verdict",
    "verdict": "forwarded",
    "at_ns": 1772359200123000000,
    "code": 0,
    "text": "allowed",
    "direction": "ingress",
    "tracking": "new",
    "service": 80,
    "source_identity": 256,
    "source_labels": ["k8s:app=client"],
    "source_pod": "shop/client",
    "destination_identity": 257,
    "destination_labels": ["k8s:app=web"],
    "destination_pod": "shop/web",
    "endpoint_id": 2,
    "ifindex": 16,
    "hash": 51966,
    "packet_bytes": 74,
    "packet": {
        "protocol": "tcp",
        "source": "10.244.1.2",
        "destination": "10.244.1.3",
        "source_port": 40000,
        "destination_port": 80,
        "detail": "SYN",
    },
    "line": 0,
    "policy": {
        "verdict": "allowed",
        "match": "L3-L4",
        "cause": "allowed by NetworkPolicy/shop/web (spec.ingress[0])",
        "policies": ["NetworkPolicy/shop/web"],
        "rules": [
            {
                "policy": "NetworkPolicy/shop/web",
                "file": "",
                "line": 0,
                "path": "spec.ingress[0]",
                "description": "the shop front",
            }
        ],
        "isolated_by": ["NetworkPolicy/shop/closed", "NetworkPolicy/shop/web"],
        "prefix": None,
        "outdated": False,
    },
}

DENIED: dict[str, Any] = ALLOWED | {
    "kind": "drop",
    "verdict": "dropped",
    "code": 133,
    "text": "Policy denied",
    "direction": "egress",
    "service": 53,
    "destination_identity": 2,
    "destination_labels": ["reserved:world"],
    "destination_pod": "",
    "packet": ALLOWED["packet"]
    | {"protocol": "udp", "destination": "2001:db8::1", "destination_port": 53, "detail": ""},
    "policy": ALLOWED["policy"]
    | {
        "verdict": "denied by default",
        "match": "none",
        "cause": "isolated by NetworkPolicy/shop/closed",
        "policies": ["NetworkPolicy/shop/closed"],
        "rules": [],
        "isolated_by": ["NetworkPolicy/shop/closed"],
        "prefix": "2001:db8::/32",
    },
}

FORWARDED: dict[str, Any] = ALLOWED | {
    "kind": "trace",
    "code": 4,
    "text": "-> overlay",
    "direction": "egress",
    "tracking": "reply",
    "policy": None,
}
