"""The part of the OpenAPI document about routes, and about plugins."""

from __future__ import annotations

from netloom.agent.openapi_parts import NUMBER, STRING, STRINGS, Json, Operation, schema

ROUTE_OPERATIONS = (
    Operation(
        method="get",
        path="/v1/routes",
        summary="Routes of ours: those of the agent and the network mode, then those that routers have learnt",
        schema="Routes",
        parameters=(
            ("learned", "query", "true: only what routers have learnt"),
            ("limit", "query", "at most so many; default: 10000"),
        ),
    ),
    Operation(method="get", path="/v1/plugins", summary="Plugins found", schema="*Plugin"),
    Operation(
        method="get",
        path="/v1/plugins/{plugin}/{query}",
        summary="Ask a plugin; what there is to ask stands among its capabilities, parameters are its own",
        schema="Anything",
        parameters=(("plugin", "path", "name of the plugin"), ("query", "path", "name of the query")),
    ),
)
ROUTE_SCHEMAS: dict[str, Json] = {
    "Routes": schema(
        {
            "matching": NUMBER,
            "learned": schema({"written": NUMBER, "refused": NUMBER, "waiting": NUMBER}),
            "routes": {
                "type": "array",
                "items": schema(
                    {"prefix": STRING, "via": STRINGS, "device": STRING, "origin": STRING, "state": STRING}
                ),
            },
        }
    ),
    "Plugin": schema(
        {
            "name": STRING,
            "kind": STRING,
            "version": STRING,
            "distribution": STRING,
            "hooks": STRINGS,
            "capabilities": STRINGS,
            "state": STRING,
            "error": STRING,
        }
    ),
    "Anything": {},
}
