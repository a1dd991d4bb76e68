"""Answers of an agent's API about policies, recorded; shapes are held against the document as those in ``answers``."""

from __future__ import annotations

from typing import Any

STANDING: dict[str, Any] = {"revision": 5, "enforced_revision": 5, "enforcement": "default"}
WEB: dict[str, Any] = {
    "kind": "CiliumNetworkPolicy",
    "namespace": "shop",
    "name": "web",
    "rules": 2,
    "audit": False,
    "protocols": ["http"],
    "ingress": True,
    "egress": False,
    "endpoints": 1,
    "identities": 3,
}
WIDE: dict[str, Any] = WEB | {
    "kind": "CiliumClusterwideNetworkPolicy",
    "namespace": "",
    "name": "wide",
    "audit": True,
    "protocols": [],
    "ingress": False,
}
POLICIES: dict[str, Any] = {**STANDING, "audit": False, "policies": [WIDE, WEB]}
OBJECT: dict[str, Any] = {
    "apiVersion": "cilium.io/v2",
    "kind": "CiliumNetworkPolicy",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"endpointSelector": {}, "ingress": [{}]},
}
IMPORTED: dict[str, Any] = {
    "revision": 6,
    "policies": [
        {"kind": "CiliumNetworkPolicy", "namespace": "shop", "name": "web", "change": "changed"},
        {"kind": "CiliumClusterwideNetworkPolicy", "namespace": "", "name": "wide", "change": "unchanged"},
    ],
    "warnings": [{"file": "web.yaml", "line": 6, "path": "spec", "sentence": "this rule says nothing"}],
    "advice": [
        {
            "kind": "CiliumNetworkPolicy",
            "namespace": "shop",
            "name": "web",
            "path": "spec.ingress[0]",
            "sentence": "the entry allows nothing: other policies deny all of it",
            "by": ["CiliumClusterwideNetworkPolicy/wide"],
        },
        {
            "kind": "CiliumClusterwideNetworkPolicy",
            "namespace": "",
            "name": "wide",
            "path": "spec",
            "sentence": "the policy selects no identity that is known",
            "by": [],
        },
    ],
}
DELETED: dict[str, Any] = {
    "revision": 7,
    "deleted": [{"kind": "CiliumNetworkPolicy", "namespace": "shop", "name": "web"}],
}
SELECTORS: list[dict[str, Any]] = [
    {"selector": "k8s:app=web", "users": 3, "identities": [256, 258], "prefixes": []},
    {"selector": "10.0.0.0/8", "users": 1, "identities": [], "prefixes": ["10.0.0.0/8", "10.1.0.0/16"]},
    {"selector": "k8s:app=nobody", "users": 1, "identities": [], "prefixes": []},
    {"selector": "{}", "users": 1, "identities": list(range(256, 278)), "prefixes": []},
]
WAITED: dict[str, Any] = {
    "revision": 5,
    "enforced_revision": 5,
    "closed": [{"identity": 257, "reason": "the policy table of identity 257 has room for 16 entries"}],
}

_ALLOWS: dict[str, Any] = {"policy": "CiliumNetworkPolicy/shop/web", "path": "spec.ingress[0]", "effect": "allow"}
_DENIES: dict[str, Any] = _ALLOWS | {"path": "spec.ingressDeny[0]", "effect": "deny"}
_PARTIES: dict[str, Any] = {
    "source": {"name": "world", "identity": 2, "exists": True, "labels": ["reserved:world"], "address": "203.0.113.1"},
    "destination": {
        "name": "k8s:app=web",
        "identity": 65535,
        "exists": False,
        "labels": ["k8s:app=web"],
        "address": None,
    },
    "protocol": "tcp",
    "egress": None,
}
_SIDE: dict[str, Any] = {
    "identity": 65535,
    "isolation": "enforced",
    "isolated_by": ["CiliumNetworkPolicy/shop/web"],
    "rules": [
        {
            "policy": "CiliumNetworkPolicy/shop/web",
            "path": "spec",
            "audit": False,
            "description": "the shop's front",
            "isolates": True,
            "entries": [
                _ALLOWS | {"matches": True, "why": "matches"},
                _DENIES | {"matches": False, "why": "is about other services"},
            ],
        },
        {
            "policy": "CiliumClusterwideNetworkPolicy/wide",
            "path": "spec",
            "audit": True,
            "description": "",
            "isolates": False,
            "entries": [],
        },
    ],
    "verdict": "allowed",
    "because": [_ALLOWS],
    "closed": "",
}
TRACE: dict[str, Any] = {
    **STANDING,
    "notes": ["no identity has the labels k8s:app=web: they are taken as if one had"],
    "traces": [
        _PARTIES | {"port": 80, "ingress": _SIDE, "verdict": "allowed", "requests": [], "passes": True},
        _PARTIES
        | {
            "port": 22,
            "ingress": _SIDE | {"verdict": "denied", "because": [_DENIES], "rules": []},
            "verdict": "denied",
            "requests": [],
            "passes": False,
        },
    ],
}


def end(name: str, identity: int, group: str = "shop", *, judged: bool = True) -> dict[str, Any]:
    """One end of a matrix."""
    return {
        "name": name,
        "group": group,
        "identity": identity,
        "address": None,
        "labels": [f"k8s:app={name}"],
        "judged": judged,
        "pods": [f"{group}/{name}-1"] if judged else [],
    }


def reach(protocol: str, first: int, last: int, *, audited: bool = False, by_proxy: bool = False) -> dict[str, Any]:
    """Services that pass."""
    return {"protocol": protocol, "first": first, "last": last, "audited": audited, "by_proxy": by_proxy}


EVERYTHING = [reach("any", 0, 65535)]
ENDS = [end("shop: app=a", 256), end("bank: app=b", 257, "bank"), end("world", 2, "", judged=False)]
MATRIX: dict[str, Any] = {
    **STANDING,
    "notes": ["policy.enforcement is never on this node"],
    "ends": ENDS,
    "cells": [
        {"source": 0, "destination": 0, "reach": EVERYTHING},
        {"source": 0, "destination": 1, "reach": [reach("tcp", 80, 80), reach("tcp", 8000, 8010)]},
        {"source": 0, "destination": 2, "reach": []},
        {"source": 1, "destination": 0, "reach": [reach("icmp", 0, 255, audited=True)]},
        {"source": 1, "destination": 1, "reach": EVERYTHING},
        {"source": 1, "destination": 2, "reach": EVERYTHING},
        {"source": 2, "destination": 0, "reach": []},
        {"source": 2, "destination": 1, "reach": [reach("tcp", 80, 80), reach("tcp", 8000, 8010)]},
    ],
}
COMPARISON: dict[str, Any] = {
    **STANDING,
    "notes": [],
    "replayed": {"flows": 3, "sources": {"connections": 3, "events": 1}, "requests": 0, "untold": {}},
    "flows": [
        {
            "source": {"identity": 256, "address": "10.244.1.2"},
            "destination": {"identity": 257, "address": "10.244.1.3"},
            "protocol": "tcp",
            "port": 80,
            "count": 2,
            "becomes": "would be denied",
            "before": {"verdict": "allowed", "direction": "egress", "because": [], "isolated_by": []},
            "after": {
                "verdict": "denied by default",
                "direction": "ingress",
                "because": [],
                "isolated_by": ["CiliumNetworkPolicy/shop/web"],
            },
        },
        {
            "source": {"identity": 256, "address": "10.244.1.2"},
            "destination": {"identity": 257, "address": "10.244.1.3"},
            "protocol": "udp",
            "port": 53,
            "count": 1,
            "becomes": "would pass",
            "before": {"verdict": "denied", "direction": "ingress", "because": [_DENIES], "isolated_by": []},
            "after": {"verdict": "allowed", "direction": "ingress", "because": [_ALLOWS], "isolated_by": []},
        },
    ],
    "flow_changes": 3,
    "cells": [
        {
            "source": ENDS[0],
            "destination": ENDS[1],
            "opened": [],
            "closed": EVERYTHING,
            "audited": [],
            "redirected": [],
        }
    ],
    "replays": [],
    "replay_changes": 0,
    "cell_changes": 1,
    "requests": [],
    "request_changes": 0,
    "changes": True,
}

POLICY_ANSWERS: dict[tuple[str, str], Any] = {
    ("GET", "/v1/policies"): POLICIES,
    ("PUT", "/v1/policies"): IMPORTED,
    ("DELETE", "/v1/policies"): DELETED,
    ("GET", "/v1/policies/selectors"): SELECTORS,
    ("GET", "/v1/policies/wait"): WAITED,
    ("GET", "/v1/policies/matrix"): MATRIX,
    ("POST", "/v1/policies/trace"): TRACE,
    ("POST", "/v1/policies/what-if"): COMPARISON,
}
