"""The part of the OpenAPI document about connections."""

from __future__ import annotations

from netloom.agent.openapi_parts import NUMBER, STRING, TRUTH, Json, Operation, schema
from netloom.model.connection import ConnectionState

_CONDITIONS = (
    ("address", "query", "of an end; may be repeated"),
    ("port", "query", "of an end; may be repeated"),
    ("protocol", "query", "its number; may be repeated"),
)
CONNECTION_OPERATIONS = (
    Operation(
        method="get",
        path="/v1/connections",
        summary="Connections of this node's pods, in no order",
        schema="Connections",
        parameters=(*_CONDITIONS, ("limit", "query", "at most so many; default: 10000")),
    ),
    Operation(
        method="delete",
        path="/v1/connections",
        summary="Forget connections, all or those that fit: their next packets are judged as first ones",
        schema="Forgotten",
        parameters=_CONDITIONS,
    ),
)
_CONNECTION = schema(
    {
        "source": STRING,
        "destination": STRING,
        "source_port": NUMBER,
        "destination_port": NUMBER,
        "protocol": NUMBER,
        "service": NUMBER,
        "source_identity": NUMBER,
        "destination_identity": NUMBER,
        "sent_packets": NUMBER,
        "sent_bytes": NUMBER,
        "received_packets": NUMBER,
        "received_bytes": NUMBER,
        "state": {"type": "string", "enum": [state.value for state in ConnectionState]},
        "refused": TRUTH,
        "expires_in_s": {"type": "number"},
    }
)
CONNECTION_SCHEMAS: dict[str, Json] = {
    "Connections": schema({"matching": NUMBER, "connections": {"type": "array", "items": _CONNECTION}}),
    "Forgotten": schema({"forgotten": NUMBER}),
}
