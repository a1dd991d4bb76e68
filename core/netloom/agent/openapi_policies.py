"""Operations and schemas of ``/v1/policies``."""

from __future__ import annotations

from netloom.agent.openapi_parts import MAYBE, NUMBER, OBJECT, OBJECTS, STRING, STRINGS, TRUTH, Json, Operation, schema

POLICY_OPERATIONS = (
    Operation(
        method="get",
        path="/v1/policies",
        summary="Policies of the cluster",
        schema="Policies",
        parameters=(("objects", "query", "true: each with its object, as it can be imported"),),
    ),
    Operation(
        method="put",
        path="/v1/policies",
        summary="Give policies to the cluster, each in place of the one of its name; all of the files, or none",
        schema="PolicyImported",
        body="PolicyImport",
    ),
    Operation(
        method="delete",
        path="/v1/policies",
        summary="Take policies from the cluster; all that are named, or none",
        schema="PolicyDeleted",
        body="PolicyDelete",
    ),
    Operation(
        method="get",
        path="/v1/policies/selectors",
        summary="Whom policies select, each criterion once, with its users",
        schema="*PolicySelector",
    ),
    Operation(
        method="get",
        path="/v1/policies/wait",
        summary="Wait until this node enforces a revision",
        schema="PolicyRevision",
        parameters=(
            ("revision", "query", "of this node; the newest it has heard of (default)"),
            ("timeout_s", "query", "seconds to wait at most, 0 to 600; 30 (default)"),
        ),
    ),
    Operation(
        method="get",
        path="/v1/policies/matrix",
        summary="Who reaches whom on which services",
        schema="PolicyMatrix",
        parameters=(
            ("namespace", "query", "only identities of this namespace; may be repeated"),
            ("label", "query", "only identities with this label, source:key=value; may be repeated"),
            ("unused", "query", "true: also identities that no endpoint is known of"),
        ),
    ),
    Operation(
        method="post",
        path="/v1/policies/trace",
        summary="Why policies let packets pass or not, without sending them",
        schema="PolicyTraces",
        body="PolicyTrace",
    ),
    Operation(
        method="post",
        path="/v1/policies/what-if",
        summary="What would change by other policies, without applying them",
        schema="PolicyComparison",
        body="PolicyWhatIf",
    ),
    Operation(
        method="get",
        path="/v1/policies/{kind}/{namespace}/{name}",
        summary="One policy, with the object as it can be imported",
        schema="PolicyDocument",
        parameters=(
            ("kind", "path", "CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy or NetworkPolicy"),
            ("namespace", "path", "of the policy; - for one of the whole cluster"),
            ("name", "path", "of the policy"),
        ),
    ),
)

_NAME: Json = {"kind": STRING, "namespace": STRING, "name": STRING}
_ROW: Json = {
    **_NAME,
    "rules": NUMBER,
    "audit": TRUTH,
    "protocols": STRINGS,
    "ingress": TRUTH,
    "egress": TRUTH,
    "endpoints": NUMBER,
    "identities": NUMBER,
}
_STANDING: Json = {
    "revision": NUMBER,
    "enforced_revision": NUMBER,
    "enforcement": {"type": "string", "enum": ["default", "always", "never"]},
}


def _list_of(item: Json) -> Json:
    return {"type": "array", "items": item}


_FILES = _list_of(schema({"name": STRING, "text": STRING}))
_END: Json = {"anyOf": [STRING, schema({"name": STRING, "addresses": STRINGS})]}
_REACHES = _list_of(schema({"protocol": STRING, "first": NUMBER, "last": NUMBER, "audited": TRUTH, "by_proxy": TRUTH}))
_PARTY = schema({"name": STRING, "identity": NUMBER, "exists": TRUTH, "labels": STRINGS, "address": MAYBE})
_SOURCES = _list_of(schema({"policy": STRING, "path": STRING, "effect": {"type": "string", "enum": ["allow", "deny"]}}))
_SIDE: Json = {
    "anyOf": [
        {"type": "null"},
        schema(
            {
                "identity": NUMBER,
                "isolation": {"type": "string", "enum": ["none", "audited", "enforced"]},
                "isolated_by": STRINGS,
                "rules": OBJECTS,
                "verdict": STRING,
                "by_proxy": TRUTH,
                "because": _SOURCES,
                "closed": STRING,
            }
        ),
    ]
}
_L7_RULE: Json = {"anyOf": [{"type": "null"}, schema({"policy": STRING, "path": STRING, "rule": OBJECT})]}
_JUDGED: Json = {"anyOf": [{"type": "null"}, schema({"verdict": STRING, "rule": _L7_RULE})]}
_REQUEST = schema({"request": OBJECT, "verdict": STRING, "egress": _JUDGED, "ingress": _JUDGED, "answer": OBJECT})
_INHABITANT = schema(
    {
        "name": STRING,
        "group": STRING,
        "identity": NUMBER,
        "address": MAYBE,
        "labels": STRINGS,
        "judged": TRUTH,
        "pods": STRINGS,
    }
)
_CELL_CHANGE = schema(
    {
        "source": _INHABITANT,
        "destination": _INHABITANT,
        "opened": _REACHES,
        "closed": _REACHES,
        "audited": _REACHES,
        "redirected": _REACHES,
    }
)

POLICY_SCHEMAS: dict[str, Json] = {
    "Policies": schema({**_STANDING, "audit": TRUTH, "policies": _list_of(schema(_ROW, {"object": OBJECT}))}),
    "PolicyDocument": schema({**_ROW, "object": OBJECT}),
    "PolicyImport": schema({"files": _FILES}, {"dry_run": TRUTH}),
    "PolicyImported": schema(
        {
            "revision": NUMBER,
            "policies": _list_of(
                schema({**_NAME, "change": {"type": "string", "enum": ["created", "changed", "unchanged"]}})
            ),
            "warnings": _list_of(schema({"file": STRING, "line": NUMBER, "path": STRING, "sentence": STRING})),
            "advice": _list_of(schema({**_NAME, "path": STRING, "sentence": STRING, "by": STRINGS})),
        }
    ),
    "PolicyDelete": schema({}, {"names": STRINGS, "all": TRUTH}),
    "PolicyDeleted": schema({"revision": NUMBER, "deleted": _list_of(schema(_NAME))}),
    "PolicySelector": schema(
        {"selector": STRING, "users": NUMBER, "identities": _list_of(NUMBER), "prefixes": STRINGS}
    ),
    "PolicyRevision": schema({"revision": NUMBER, "enforced_revision": NUMBER, "closed": OBJECTS}),
    "PolicyTrace": schema(
        {"source": _END, "destination": _END, "services": STRINGS},
        {"family": {"enum": [4, 6, None]}, "protocol": STRING, "data": STRING},
    ),
    "PolicyTraces": schema(
        {
            **_STANDING,
            "notes": STRINGS,
            "traces": _list_of(
                schema(
                    {
                        "source": _PARTY,
                        "destination": _PARTY,
                        "protocol": STRING,
                        "port": NUMBER,
                        "egress": _SIDE,
                        "ingress": _SIDE,
                        "verdict": STRING,
                        "requests": _list_of(_REQUEST),
                        "passes": TRUTH,
                    }
                )
            ),
        }
    ),
    "PolicyWhatIf": schema({}, {"files": _FILES, "delete": STRINGS}),
    "PolicyComparison": schema(
        {
            **_STANDING,
            "notes": STRINGS,
            "replayed": OBJECT,
            "flows": OBJECTS,
            "flow_changes": NUMBER,
            "replays": OBJECTS,
            "replay_changes": NUMBER,
            "cells": _list_of(_CELL_CHANGE),
            "cell_changes": NUMBER,
            "requests": _list_of(schema({"identity": NUMBER, "gone": STRINGS, "new": STRINGS})),
            "request_changes": NUMBER,
            "changes": TRUTH,
        }
    ),
    "PolicyMatrix": schema(
        {
            **_STANDING,
            "notes": STRINGS,
            "ends": _list_of(_INHABITANT),
            "cells": _list_of(schema({"source": NUMBER, "destination": NUMBER, "reach": _REACHES})),
        }
    ),
}
