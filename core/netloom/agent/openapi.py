"""The OpenAPI document of the agent's API, as served under ``/v1/openapi.json``.

One table of operations and one of schemas make the whole document; a test compares the table with the routes
that are really served, and real answers with the schemas.
"""

from __future__ import annotations

from netloom import __version__
from netloom.agent.openapi_connections import CONNECTION_OPERATIONS, CONNECTION_SCHEMAS
from netloom.agent.openapi_parts import (
    MAYBE,
    NUMBER,
    OBJECT,
    OBJECTS,
    STRING,
    STRINGS,
    TRUTH,
    Json,
    Operation,
    schema,
)
from netloom.agent.openapi_policies import POLICY_OPERATIONS, POLICY_SCHEMAS
from netloom.agent.openapi_routes import ROUTE_OPERATIONS, ROUTE_SCHEMAS
from netloom.cni.frame import CONTENT_TYPE, TARGET
from netloom.datapath.flow_filter import CONDITIONS, NOT

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
    *ROUTE_OPERATIONS,
    Operation(
        method="get",
        path="/v1/monitor",
        summary="Drops, verdicts and traces as they happen, one JSON object a line, until the client leaves",
        schema="Flow",
        media="application/x-ndjson",
        parameters=(("type", "query", "drop, trace, policy-verdict, several with commas between; default: all"),),
    ),
    Operation(
        method="get",
        path="/v1/flows",
        summary="Drops and verdicts of the past, and what comes then, with who was the cause; one JSON object a line",
        schema="Flow",
        media="application/x-ndjson",
        parameters=(
            ("last", "query", "at most so many of the past, the last ones; default: all that are kept"),
            ("since", "query", "no older than so many seconds"),
            ("follow", "query", "true: go on with what comes, until the client leaves"),
            ("type", "query", "drop, policy-verdict, l7, trace; default: all but the last"),
            *((name, "query", f"only flows that fit; may be repeated: {name}") for name in CONDITIONS),
            (NOT, "query", "leave out what fits; a condition such as port=53"),
        ),
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
    *POLICY_OPERATIONS,
    *CONNECTION_OPERATIONS,
    Operation(method="get", path="/v1/openapi.json", summary="This document", schema="Document"),
    Operation(
        method="get", path="/metrics", summary="Prometheus metrics", schema="Text", media="text/plain; version=0.0.4"
    ),
)

_PREFILTER: Json = {
    "revision": NUMBER,
    "count": NUMBER,
    "devices": OBJECTS,
    "problem": STRING,
    "warnings": STRINGS,
}

SCHEMAS: dict[str, Json] = {
    "Status": schema(
        {
            "node": STRING,
            "version": STRING,
            "state": {"type": "string", "enum": ["ok", "degraded", "starting"]},
            "started_at": STRING,
            "uptime_s": {"type": "number"},
            "pid": NUMBER,
            "kernel": STRING,
            "network_mode": STRING,
            "fallback_mode": STRING,
            "mtu_bytes": NUMBER,
            "underlay": OBJECT,
            "tunnel": OBJECT,
            "attached_by": OBJECT,
            "masquerade": TRUTH,
            "prefilter": OBJECT,
            "proxy": OBJECT,
            "ipam": OBJECTS,
            "ipam_plugin": STRING,
            "store": OBJECT,
            "nodes": NUMBER,
            "unreachable": STRINGS,
            "reached_by": OBJECT,
            "endpoints": NUMBER,
            "identities": NUMBER,
            "controllers": OBJECTS,
            "repairs": OBJECT,
            "unwritten": OBJECT,
            "missing": STRINGS,
            "policy": OBJECT,
            "monitor": OBJECT,
            "connections": OBJECT,
            "programs": OBJECTS,
            "by_stack": NUMBER,
            "plugins": OBJECT,
        }
    ),
    "Version": schema({"version": STRING, "kernel": STRING, "contract": STRING}),
    "Setting": schema({"key": STRING, "value": {}, "origin": STRING}),
    "Endpoint": schema(
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
            "visibility": STRINGS,
            "policy": OBJECT,
        }
    ),
    "EndpointPatch": schema({"add_labels": STRINGS, "delete_labels": STRINGS, "ports": STRINGS}),
    "Identity": schema({"id": NUMBER, "labels": STRINGS, "refcount": NUMBER}),
    "Node": schema(
        {
            "name": STRING,
            "local": TRUTH,
            "underlay_ipv4": MAYBE,
            "underlay_ipv6": MAYBE,
            "pod_cidrs": STRINGS,
            "gateways": STRINGS,
            "mode": STRING,
            "modes": STRINGS,
            "segments": STRINGS,
            "reached_by": STRING,
            "way": {"type": "string", "enum": ["local", "native", "tunnel", "none"]},
            "passed_over": STRINGS,
            "state": {"type": "string", "enum": ["reachable", "unreachable"]},
            "error": STRING,
        }
    ),
    "Map": schema(
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
    "MapDump": schema({"name": STRING, "entries": OBJECTS}),
    "Counter": schema(
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
    **ROUTE_SCHEMAS,
    "Flow": schema(
        {"kind": {"type": "string", "enum": ["drop", "trace", "policy-verdict", "l7", "lost"]}, "at_ns": NUMBER},
        {
            "verdict": {"type": "string", "enum": ["forwarded", "dropped", "audit", "redirected", "error"]},
            "code": NUMBER,
            "text": STRING,
            "direction": {"type": "string", "enum": ["ingress", "egress", ""]},
            "tracking": {"type": "string", "enum": ["new", "established", "reply", "related", ""]},
            "service": NUMBER,
            "source_identity": NUMBER,
            "source_labels": STRINGS,
            "source_pod": STRING,
            "destination_identity": NUMBER,
            "destination_labels": STRINGS,
            "destination_pod": STRING,
            "endpoint_id": NUMBER,
            "ifindex": NUMBER,
            "hash": NUMBER,
            "packet_bytes": NUMBER,
            "packet": OBJECT,
            "line": NUMBER,
            "request": {"oneOf": [{"$ref": "#/components/schemas/FlowRequest"}, {"type": "null"}]},
            "policy": {"oneOf": [{"$ref": "#/components/schemas/FlowPolicy"}, {"type": "null"}]},
            "summary": STRING,
            "where": {"type": "string", "enum": ["ring", "untold", "listener"]},
            "count": NUMBER,
        },
    ),
    "FlowRequest": schema(
        {
            "protocol": STRING,
            "verdict": {"type": "string", "enum": ["allowed", "denied", "audited", "error"]},
            "fields": OBJECT,
            "answer": OBJECT,
            "latency_ns": NUMBER,
            "why": STRING,
            "text": STRING,
        }
    ),
    "FlowPolicy": schema(
        {
            "verdict": STRING,
            "match": STRING,
            "cause": STRING,
            "policies": STRINGS,
            "rules": OBJECTS,
            "isolated_by": STRINGS,
            "prefix": MAYBE,
            "outdated": TRUTH,
        }
    ),
    "CniCall": {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "NAME=value and a zero byte for each CNI_ variable, a zero byte, then standard input",
    },
    "CniAnswer": {**OBJECT, "description": "A result or an error of the CNI specification; nothing for most commands"},
    "Walk": schema(
        {"start": {"type": "string", "enum": ["endpoint", "host", "world", "wire"]}},
        {
            "endpoint": NUMBER,
            "packet": {"$ref": "#/components/schemas/WalkPacket"},
            "frame": STRING,
            "reply": TRUTH,
            "proxied": TRUTH,
            "request": schema({"protocol": STRING, "data": STRING}),
        },
    ),
    "WalkPacket": schema(
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
    "WalkPart": schema({"node": STRING, "hops": OBJECTS, "ending": OBJECT}),
    "Prefilter": schema(_PREFILTER | {"cidrs": STRINGS}),
    "PrefilterChange": schema({"cidrs": STRINGS}, {"revision": {"type": ["integer", "null"]}, "force": TRUTH}),
    "PrefilterChanged": schema(_PREFILTER | {"added": NUMBER, "removed": NUMBER}),
    **POLICY_SCHEMAS,
    **CONNECTION_SCHEMAS,
    "Removed": schema({"removed": TRUTH}),
    "Document": OBJECT,
    "Text": STRING,
    "Error": schema({"error": schema({"kind": STRING, "message": STRING}, {"problems": OBJECTS})}),
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
