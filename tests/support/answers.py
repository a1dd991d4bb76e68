"""Answers of an agent's API, recorded: node1 of a cluster of three, one of whose nodes cannot be reached.

A test holds their shapes against the agent's OpenAPI document.
"""

from __future__ import annotations

from typing import Any

from support import node_answers
from support.policy_answers import POLICY_ANSWERS

PREFILTER_STATE: dict[str, Any] = {
    "revision": 4,
    "count": 3,
    "devices": [
        {"name": "eth0", "mode": "generic", "obstacle": "Operation not supported (errno 95)"},
        {"name": "eth1", "mode": "generic", "obstacle": ""},
        {"name": "eth2", "mode": "native", "obstacle": ""},
    ],
    "problem": "",
    "warnings": ['192.168.77.0/24 holds 192.168.77.13, the underlay address of node "node3"'],
}
PREFILTER: dict[str, Any] = {**PREFILTER_STATE, "cidrs": ["192.0.2.7/32", "192.168.77.0/24", "2001:db8::/32"]}
PREFILTER_CHANGED: dict[str, Any] = {**PREFILTER_STATE, "added": 2, "removed": 1}

STATUS: dict[str, Any] = {
    "proxy": node_answers.PROXY,
    "node": "node1",
    "version": "0.1.0",
    "state": "degraded",
    "started_at": "2026-03-01T10:00:00+00:00",
    "uptime_s": 11520.4,
    "pid": 4711,
    "kernel": "6.18.44",
    "network_mode": "vxlan",
    "fallback_mode": "",
    "mtu_bytes": 1450,
    "underlay": {
        "device": "eth0",
        "ipv4": "192.168.77.11",
        "ipv6": "fd00:77::11",
        "mtu_bytes": 1500,
        "segments": ["192.168.77.0/24", "fd00:77::/64"],
        "uplinks": [{"name": "eth0", "state": "there"}],
    },
    "tunnel": {"device": "loom_vxlan", "direct": True, "obstacle": ""},
    "attached_by": {"devices": "tcx", "pods": "clsact"},
    "masquerade": True,
    "prefilter": PREFILTER_STATE,
    "ipam": [
        {"prefix": "10.244.1.0/24", "used": 2, "capacity": 253},
        {"prefix": "fd00:10:244:1::/64", "used": 2, "capacity": 65535},
    ],
    "ipam_plugin": "hostscope",
    "store": {"plugin": "local", "state": "ok", "error": ""},
    "nodes": 3,
    "unreachable": ["node3"],
    "reached_by": {"vxlan": 1},
    "by_stack": 0,
    "endpoints": 2,
    "identities": 13,
    "controllers": [
        {
            "name": "cluster",
            "state": "ok",
            "runs": 7,
            "failures": 0,
            "last_error": "",
            "last_success_at": "2026-03-01T13:11:58+00:00",
        },
        {
            "name": "resync",
            "state": "failing",
            "runs": 1152,
            "failures": 3,
            "last_error": "put route 10.244.3.0/24: Network is unreachable (errno 101)",
            "last_success_at": None,
        },
    ],
    "repairs": {
        "counts": {"filter": 1},
        "last": [
            {
                "kind": "filter",
                "name": "filter ingress of lxc0123456789ab",
                "action": "attached",
                "at": "2026-07-01T12:00:00+00:00",
            }
        ],
    },
    "unwritten": {"ipcache": 2},
    "missing": ["lxc0d15ea5e0001"],
    "policy": {
        "policies": 3,
        "revision": 5,
        "enforced_revision": 4,
        "enforcement": "default",
        "audit": False,
        "closed": [{"identity": 257, "reason": "the policy table of identity 257 has room for 16 entries"}],
        "unreadable": {"policies/NetworkPolicy/shop/old": "found no object"},
    },
    "monitor": {"listeners": 1, "flows": 17, "lost": 0, "untold": 0},
    "connections": {
        "held": {"connections_tcp": 41, "connections_any": 7},
        "removed": 1200,
        "swept_at": "2026-03-01T11:55:00+00:00",
        "swept_s": 0.004,
        "pause_s": 450.0,
    },
    "programs": [
        {"name": "from_container", "id": 71, "tag": "a04f5eef06a7f555", "instructions": 1043, "budget": 15000},
        {"name": "forward", "id": 72, "tag": "8f0a3bd0e2b5e1c9", "instructions": 612, "budget": None},
    ],
    "plugins": {"active": 3, "failed": 0},
}

ENDPOINTS: list[dict[str, Any]] = [
    {
        "id": 1,
        "container_id": "c0ffee01",
        "ifname": "eth0",
        "host_ifname": "lxc0d15ea5e0001",
        "netns": "/run/netns/busybox1",
        "ipv4": "10.244.1.2",
        "ipv6": "fd00:10:244:1::2",
        "mac": "0a:c5:89:f9:04:84",
        "node_mac": "e2:d8:51:8b:44:d4",
        "ifindex": 16,
        "identity": 256,
        "labels": ["k8s:app=busybox1", "k8s:io.kubernetes.pod.namespace=default"],
        "state": "ready",
        "pod_name": "busybox1",
        "pod_namespace": "default",
        "pod_uid": "5b7a3f0e-0000-4000-8000-000000000001",
        "network": "netloom",
        "bandwidth": {"ingress": {"rate_bps": 20_000_000, "burst_bits": 1_048_576}, "egress": None},
        "ports": ["http:TCP:80"],
        "visibility": ["<Ingress/80/TCP/HTTP>"],
        "policy": {"ingress": "Disabled", "egress": "Disabled"},
    },
    {
        "id": 2,
        "container_id": "c0ffee02",
        "ifname": "eth0",
        "host_ifname": "lxc0d15ea5e0002",
        "netns": "/run/netns/busybox2",
        "ipv4": "10.244.1.3",
        "ipv6": None,
        "mac": "0a:c5:89:f9:04:85",
        "node_mac": "e2:d8:51:8b:44:d5",
        "ifindex": 18,
        "identity": 257,
        "labels": ["k8s:app=busybox2"],
        "state": "regenerating",
        "pod_name": "",
        "pod_namespace": "",
        "pod_uid": "",
        "network": "",
        "bandwidth": {"ingress": None, "egress": None},
        "ports": [],
        "visibility": [],
        "policy": {"ingress": "Disabled", "egress": "Disabled"},
    },
]

IDENTITIES: list[dict[str, Any]] = [
    {"id": 1, "labels": ["reserved:host"], "refcount": 0},
    {"id": 256, "labels": ["k8s:app=busybox1", "k8s:io.kubernetes.pod.namespace=default"], "refcount": 1},
]

MAPS: list[dict[str, Any]] = [
    {
        "name": "endpoints",
        "kind": "hash",
        "entries": 3,
        "max_entries": 65535,
        "key_bytes": 16,
        "value_bytes": 24,
        "pin": "/sys/fs/bpf/netloom/node1/maps/endpoints_v1",
        "purpose": "local addresses",
        "errors": 0,
        "unwritten": 0,
    },
    {
        "name": "events",
        "kind": "ringbuf",
        "entries": None,
        "max_entries": 1048576,
        "key_bytes": 0,
        "value_bytes": 0,
        "pin": "/sys/fs/bpf/netloom/node1/maps/events_v1",
        "purpose": "drops and traces for the monitor",
        "errors": 0,
        "unwritten": 0,
    },
]

CONNECTIONS: dict[str, Any] = {
    "matching": 3,
    "connections": [
        {
            "source": "10.244.1.2",
            "destination": "203.0.113.10",
            "source_port": 1042,
            "destination_port": 8,
            "protocol": 1,
            "service": 8,
            "source_identity": 256,
            "destination_identity": 2,
            "sent_packets": 3,
            "sent_bytes": 294,
            "received_packets": 0,
            "received_bytes": 0,
            "state": "opening",
            "refused": False,
            "expires_in_s": 12.25,
        },
        {
            "source": "fd00:10:244:2::7",
            "destination": "fd00:10:244:1::2",
            "source_port": 40000,
            "destination_port": 80,
            "protocol": 6,
            "service": 80,
            "source_identity": 258,
            "destination_identity": 256,
            "sent_packets": 12,
            "sent_bytes": 1480,
            "received_packets": 10,
            "received_bytes": 65200,
            "state": "established",
            "refused": True,
            "expires_in_s": 21594.8,
        },
    ],
}

TUNNELS: dict[str, Any] = {
    "name": "tunnels",
    "entries": [
        {"key": {"prefix": "10.244.2.0/24"}, "value": {"tunnel_endpoint": "192.168.77.12"}},
        {"key": {"prefix": "fd00:10:244:2::/64"}, "value": {"tunnel_endpoint": "192.168.77.12"}},
    ],
}

ENDPOINTS_MAP: dict[str, Any] = {
    "name": "endpoints",
    "entries": [
        {
            "key": {"address": "10.244.1.1"},
            "value": {
                "ifindex": 12,
                "identity": 1,
                "id": 0,
                "flags": 1,
                "mac": "3e:5c:9f:00:11:22",
                "node_mac": "3e:5c:9f:00:11:22",
            },
        },
        {
            "key": {"address": "10.244.1.2"},
            "value": {
                "ifindex": 16,
                "identity": 256,
                "id": 1,
                "flags": 0,
                "mac": "0a:c5:89:f9:04:84",
                "node_mac": "e2:d8:51:8b:44:d4",
            },
        },
    ],
}

IPCACHE: dict[str, Any] = {
    "name": "ipcache",
    "entries": [
        {"key": {"prefix": "0.0.0.0/0"}, "value": {"identity": 2, "flags": 0, "tunnel_endpoint": "::"}},
        {"key": {"prefix": "10.244.1.0/24"}, "value": {"identity": 2, "flags": 1, "tunnel_endpoint": "::"}},
        {
            "key": {"prefix": "10.244.2.7/32"},
            "value": {"identity": 258, "flags": 0, "tunnel_endpoint": "192.168.77.12"},
        },
    ],
}

METRICS: dict[str, Any] = {
    "name": "metrics",
    "entries": [
        {"key": {"index": 1}, "value": [{"packets": 0, "bytes": 0}, {"packets": 0, "bytes": 0}]},
        {"key": {"index": 2}, "value": [{"packets": 7, "bytes": 700}, {"packets": 1, "bytes": 98}]},
    ],
}

COUNTERS: list[dict[str, Any]] = [
    {
        "reason": 0,
        "name": "FORWARDED",
        "text": "Forwarded",
        "hint": "Not a drop: the packet went on.",
        "direction": "egress",
        "packets": 1048,
        "bytes": 102704,
    },
    {
        "reason": 132,
        "name": "INVALID_SOURCE_IP",
        "text": "Invalid source ip",
        "hint": "The workload sends from an address it was not given.",
        "direction": "egress",
        "packets": 3,
        "bytes": 294,
    },
]

PLUGINS: list[dict[str, Any]] = [
    {
        "name": "vxlan",
        "kind": "network-mode",
        "version": "0.1.0",
        "distribution": "netloom",
        "hooks": ["netloom_plugin_info", "netloom_network_mode"],
        "capabilities": ["network mode", "queries: ports"],
        "state": "active",
        "error": "",
    },
    {
        "name": "loud",
        "kind": "extension",
        "version": "2.0",
        "distribution": "netloom-loud",
        "hooks": ["netloom_plugin_info", "netloom_flows"],
        "capabilities": ["hears of flows"],
        "state": "failed",
        "error": "netloom_flows has not returned within 5 s",
    },
]

ROUTES: dict[str, Any] = {
    "matching": 4,
    "learned": {"written": 1, "refused": 1, "waiting": 0},
    "routes": [
        {"prefix": "10.244.1.0/24", "via": ["10.244.1.1"], "device": "loom_host", "origin": "node", "state": "written"},
        {"prefix": "10.244.3.0/24", "via": ["10.0.0.1", "10.0.1.1"], "device": "", "origin": "bgp", "state": "written"},
        {
            "prefix": "0.0.0.0/0",
            "via": ["10.0.0.1"],
            "device": "",
            "origin": "bgp",
            "state": "a default route is not taken from a router",
        },
    ],
}

CONFIG: list[dict[str, Any]] = [
    {"key": "node.name", "value": "node1", "origin": "/etc/netloom/node.yaml:2"},
    {"key": "node.underlay_device", "value": "", "origin": "default"},
    {"key": "masquerade", "value": True, "origin": "default"},
    {"key": "hooks.disabled", "value": ["loud"], "origin": "/etc/netloom/node.yaml:7"},
]

VERSION: dict[str, Any] = {"version": "0.1.0", "kernel": "6.18.44", "contract": "1.3"}

ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/v1/status"): STATUS,
    ("GET", "/v1/version"): VERSION,
    ("GET", "/v1/config"): CONFIG,
    ("GET", "/v1/endpoints"): ENDPOINTS,
    ("GET", "/v1/endpoints/1"): ENDPOINTS[0],
    ("GET", "/v1/identities"): IDENTITIES,
    ("GET", "/v1/nodes"): node_answers.NODES,
    ("GET", "/v1/maps"): MAPS,
    ("GET", "/v1/maps/tunnels"): TUNNELS,
    ("GET", "/v1/maps/endpoints"): ENDPOINTS_MAP,
    ("GET", "/v1/maps/ipcache"): IPCACHE,
    ("GET", "/v1/maps/metrics"): METRICS,
    ("GET", "/v1/counters"): COUNTERS,
    ("GET", "/v1/plugins"): PLUGINS,
    ("GET", "/v1/routes"): ROUTES,
    ("GET", "/v1/plugins/bgp/routes"): [],
    ("GET", "/v1/prefilter"): PREFILTER,
    ("PATCH", "/v1/prefilter"): PREFILTER_CHANGED,
    ("PUT", "/v1/prefilter"): PREFILTER_CHANGED,
    ("DELETE", "/v1/prefilter"): PREFILTER_CHANGED,
    **POLICY_ANSWERS,
    ("GET", "/v1/connections"): CONNECTIONS,
    ("DELETE", "/v1/connections"): {"forgotten": 48},
    ("DELETE", "/v1/nodes/node3"): {"removed": True},
    ("DELETE", "/v1/nodes/node9"): {"removed": False},
}
