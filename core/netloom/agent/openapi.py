"""The OpenAPI document of the agent's API, as served under ``/v1/openapi.json``.

One table of operations and one of schemas make the whole document; a test compares the table with the routes
that are really served, and real answers with the schemas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netloom import __version__
from netloom.cni.frame import CONTENT_TYPE, TARGET

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    schema: str
    """Name of the schema of the answer; a leading ``*`` means a list of it."""
    status: int = 200
    body: str | None = None
    media: str = "application/json"
    body_media: str = "application/json"
    parameters: tuple[tuple[str, str, str], ...] = ()
    """Name, place (path or query), meaning."""


OPERATIONS = (
    Operation(method="get", path="/v1/status", summary="How the agent fares", schema="Status"),
    Operation(method="get", path="/v1/version", summary="Versions", schema="Version"),
    Operation(method="get", path="/v1/config", summary="Every setting with its origin", schema="*Setting"),
    Operation(method="get", path="/v1/endpoints", summary="Endpoints of this node", schema="*Endpoint"),
    Operation(
        method="get",
        path="/v1/endpoints/{id}",
        summary="One endpoint",
        schema="Endpoint",
        parameters=(("id", "path", "number of the endpoint"),),
    ),
    Operation(
        method="patch",
        path="/v1/endpoints/{id}",
        summary="Change labels and named ports of an endpoint",
        schema="Endpoint",
        body="EndpointPatch",
        parameters=(("id", "path", "number of the endpoint"),),
    ),
    Operation(method="get", path="/v1/identities", summary="Identities known", schema="*Identity"),
    Operation(method="get", path="/v1/nodes", summary="Nodes of the cluster, this one first", schema="*Node"),
    Operation(
        method="delete",
        path="/v1/nodes/{name}",
        summary="Forget a node that is gone for good",
        schema="Removed",
        parameters=(("name", "path", "name of the node"),),
    ),
    Operation(method="get", path="/v1/maps", summary="eBPF maps", schema="*Map"),
    Operation(
        method="get",
        path="/v1/maps/{name}",
        summary="Contents of a map, decoded",
        schema="MapDump",
        parameters=(("name", "path", "name of the map"),),
    ),
    Operation(method="get", path="/v1/counters", summary="Packets and bytes by reason", schema="*Counter"),
    Operation(method="get", path="/v1/plugins", summary="Plugins found", schema="*Plugin"),
    Operation(
        method="get",
        path="/v1/monitor",
        summary="Drops and traces as they happen, one JSON object a line, until the client leaves",
        schema="Flow",
        media="application/x-ndjson",
        parameters=(("type", "query", "drop, trace, or both with a comma between (default)"),),
    ),
    Operation(
        method="post",
        path=TARGET,
        summary="Carry out a CNI call; the answer is what the program called must print, its exit status a header",
        schema="CniAnswer",
        body="CniCall",
        body_media=CONTENT_TYPE,
    ),
    Operation(
        method="post",
        path="/v1/walk",
        summary="The way of a packet through this node, without sending it",
        schema="WalkPart",
        body="Walk",
    ),
    Operation(method="get", path="/v1/prefilter", summary="Whose packets are refused", schema="Prefilter"),
    Operation(
        method="patch",
        path="/v1/prefilter",
        summary="Refuse these prefixes too, all of them or none",
        schema="PrefilterChanged",
        body="PrefilterChange",
    ),
    Operation(
        method="put",
        path="/v1/prefilter",
        summary="Refuse these prefixes and no others",
        schema="PrefilterChanged",
        body="PrefilterChange",
    ),
    Operation(
        method="delete",
        path="/v1/prefilter",
        summary="Refuse these prefixes no longer, all of them or none",
        schema="PrefilterChanged",
        body="PrefilterChange",
    ),
    Operation(method="get", path="/v1/openapi.json", summary="This document", schema="Document"),
    Operation(
        method="get", path="/metrics", summary="Prometheus metrics", schema="Text", media="text/plain; version=0.0.4"
    ),
)

STRING: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
MAYBE: Json = {"type": ["string", "null"]}
STRINGS: Json = {"type": "array", "items": STRING}
OBJECT: Json = {"type": "object"}
OBJECTS: Json = {"type": "array", "items": OBJECT}
TRUTH: Json = {"type": "boolean"}


def _schema(required: Json, optional: Json | None = None) -> Json:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


_PREFILTER: Json = {
    "revision": NUMBER,
    "count": NUMBER,
    "device": STRING,
    "mode": {"type": "string", "enum": ["native", "generic", "offloaded", "off"]},
    "obstacle": STRING,
    "problem": STRING,
    "warnings": STRINGS,
}

SCHEMAS: dict[str, Json] = {
    "Status": _schema(
        {
            "node": STRING,
            "version": STRING,
            "state": {"type": "string", "enum": ["ok", "degraded", "starting"]},
            "started_at": STRING,
            "uptime_s": {"type": "number"},
            "pid": NUMBER,
            "kernel": STRING,
            "network_mode": STRING,
            "mtu_bytes": NUMBER,
            "underlay": OBJECT,
            "tunnel": OBJECT,
            "attached_by": OBJECT,
            "masquerade": TRUTH,
            "prefilter": OBJECT,
            "ipam": OBJECTS,
            "ipam_plugin": STRING,
            "store": OBJECT,
            "nodes": NUMBER,
            "unreachable": STRINGS,
            "endpoints": NUMBER,
            "identities": NUMBER,
            "controllers": OBJECTS,
            "repairs": OBJECT,
            "unwritten": OBJECT,
            "missing": STRINGS,
            "monitor": OBJECT,
            "programs": OBJECTS,
            "plugins": OBJECT,
        }
    ),
    "Version": _schema({"version": STRING, "kernel": STRING, "contract": STRING}),
    "Setting": _schema({"key": STRING, "value": {}, "origin": STRING}),
    "Endpoint": _schema(
        {
            "id": NUMBER,
            "container_id": STRING,
            "ifname": STRING,
            "host_ifname": STRING,
            "netns": STRING,
            "ipv4": MAYBE,
            "ipv6": MAYBE,
            "mac": STRING,
            "node_mac": STRING,
            "ifindex": NUMBER,
            "identity": NUMBER,
            "labels": STRINGS,
            "state": STRING,
            "pod_name": STRING,
            "pod_namespace": STRING,
            "pod_uid": STRING,
            "network": STRING,
            "bandwidth": OBJECT,
            "ports": STRINGS,
            "policy": OBJECT,
        }
    ),
    "EndpointPatch": _schema({"add_labels": STRINGS, "delete_labels": STRINGS, "ports": STRINGS}),
    "Identity": _schema({"id": NUMBER, "labels": STRINGS, "refcount": NUMBER}),
    "Node": _schema(
        {
            "name": STRING,
            "local": TRUTH,
            "underlay_ipv4": MAYBE,
            "underlay_ipv6": MAYBE,
            "pod_cidrs": STRINGS,
            "gateways": STRINGS,
            "mode": STRING,
            "state": {"type": "string", "enum": ["reachable", "unreachable"]},
            "error": STRING,
        }
    ),
    "Map": _schema(
        {
            "name": STRING,
            "kind": STRING,
            "entries": NUMBER,
            "max_entries": NUMBER,
            "key_bytes": NUMBER,
            "value_bytes": NUMBER,
            "pin": STRING,
            "purpose": STRING,
            "errors": NUMBER,
            "unwritten": NUMBER,
        }
    ),
    "MapDump": _schema({"name": STRING, "entries": OBJECTS}),
    "Counter": _schema(
        {
            "reason": NUMBER,
            "name": STRING,
            "text": STRING,
            "hint": STRING,
            "direction": {"type": "string", "enum": ["ingress", "egress"]},
            "packets": NUMBER,
            "bytes": NUMBER,
        }
    ),
    "Plugin": _schema(
        {
            "name": STRING,
            "kind": STRING,
            "version": STRING,
            "distribution": STRING,
            "hooks": STRINGS,
            "state": STRING,
            "error": STRING,
        }
    ),
    "Flow": _schema({"kind": STRING}, {"summary": STRING, "packet": OBJECT, "count": NUMBER}),
    "CniCall": {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "NAME=value and a zero byte for each CNI_ variable, a zero byte, then standard input",
    },
    "CniAnswer": {**OBJECT, "description": "A result or an error of the CNI specification; nothing for most commands"},
    "Walk": _schema(
        {"start": {"type": "string", "enum": ["endpoint", "host", "world", "wire"]}},
        {"endpoint": NUMBER, "packet": {"$ref": "#/components/schemas/WalkPacket"}, "frame": STRING},
    ),
    "WalkPacket": _schema(
        {"destination": STRING},
        {
            "source": STRING,
            "protocol": {"type": "string", "enum": ["icmp", "tcp", "udp"]},
            "port": NUMBER,
            "size_bytes": {"type": ["integer", "null"]},
            "ttl": NUMBER,
            "dont_fragment": TRUTH,
            "reply": TRUTH,
        },
    ),
    "WalkPart": _schema({"node": STRING, "hops": OBJECTS, "ending": OBJECT}),
    "Prefilter": _schema(_PREFILTER | {"cidrs": STRINGS}),
    "PrefilterChange": _schema({"cidrs": STRINGS}, {"revision": {"type": ["integer", "null"]}, "force": TRUTH}),
    "PrefilterChanged": _schema(_PREFILTER | {"added": NUMBER, "removed": NUMBER}),
    "Removed": _schema({"removed": TRUTH}),
    "Document": OBJECT,
    "Text": STRING,
    "Error": _schema({"error": _schema({"kind": STRING, "message": STRING})}),
}


def document() -> Json:
    """OpenAPI 3.1."""
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _render(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Netloom agent", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _ref(name: str) -> Json:
    reference: Json = {"$ref": f"#/components/schemas/{name.removeprefix('*')}"}
    return {"type": "array", "items": reference} if name.startswith("*") else reference


def _render(operation: Operation) -> Json:
    rendered: Json = {
        "summary": operation.summary,
        "responses": {
            str(operation.status): {
                "description": "Done",
                "content": {operation.media: {"schema": _ref(operation.schema)}},
            },
            "default": {
                "description": "Why not",
                "content": {"application/json": {"schema": _ref("Error")}},
            },
        },
    }
    if operation.parameters:
        rendered["parameters"] = [
            {"name": name, "in": place, "required": place == "path", "description": text, "schema": STRING}
            for name, place, text in operation.parameters
        ]
    if operation.body:
        rendered["requestBody"] = {
            "required": True,
            "content": {operation.body_media: {"schema": _ref(operation.body)}},
        }
    return rendered
