"""What an agent tells of the nodes of its cluster, recorded: one that is itself, and one that it cannot reach."""

from __future__ import annotations

from typing import Any

NODES: list[dict[str, Any]] = [
    {
        "name": "node1",
        "local": True,
        "underlay_ipv4": "192.168.77.11",
        "underlay_ipv6": "fd00:77::11",
        "pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"],
        "gateways": ["10.244.1.1", "fd00:10:244:1::1"],
        "mode": "vxlan",
        "modes": ["vxlan"],
        "segments": ["192.168.77.0/24", "fd00:77::/64"],
        "reached_by": "",
        "way": "local",
        "passed_over": [],
        "state": "reachable",
        "error": "",
    },
    {
        "name": "node3",
        "local": False,
        "underlay_ipv4": "192.168.77.13",
        "underlay_ipv6": None,
        "pod_cidrs": ["10.244.1.0/24"],
        "gateways": ["10.244.1.1"],
        "mode": "vxlan",
        "modes": ["vxlan"],
        "segments": ["192.168.77.0/24"],
        "reached_by": "",
        "way": "none",
        "passed_over": [],
        "state": "unreachable",
        "error": 'pod prefix 10.244.1.0/24 of node "node1" overlaps 10.244.1.0/24 of node "node3"',
    },
]

PROXY: dict[str, Any] = {
    "state": "at work",
    "pid": 4712,
    "protocols": ["http"],
    "connections": 3,
    "draining": 1,
    "restarts": 0,
    "problems": ['no installed plugin speaks "kafka", so nobody may at ports 9092'],
    "accepted": 12,
    "lost_records": 0,
    "requests": [
        {"protocol": "http", "verdict": "allowed", "count": 30},
        {"protocol": "http", "verdict": "denied", "count": 2},
    ],
    "closed": {"idle": 1},
    "faults": {"memcached/memcached": 1},
}
