"""What the API accepts, and that its document says what it does."""

from __future__ import annotations

import json
from typing import Any, cast

from netloom.agent.api import Api
from netloom.agent.openapi import OPERATIONS, SCHEMAS, document


def test_the_document_names_exactly_the_routes_that_are_served() -> None:
    """Both ways."""
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in Api(cast("Any", _AnyAgent()))._app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    assert served == {(operation.method, operation.path) for operation in OPERATIONS}


def test_every_schema_named_in_the_document_exists() -> None:
    """No dangling references."""
    text = json.dumps(document())
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= SCHEMAS.keys()


class _AnyAgent:
    """Has whatever is asked for: routes are only listed, never called."""

    def __getattr__(self, name: str) -> _AnyAgent:
        return _AnyAgent()
