"""What descriptions of operations and schemas are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


STRING: Json = {"type": "string"}
NUMBER: Json = {"type": "integer"}
MAYBE: Json = {"type": ["string", "null"]}
STRINGS: Json = {"type": "array", "items": STRING}
OBJECT: Json = {"type": "object"}
OBJECTS: Json = {"type": "array", "items": OBJECT}
TRUTH: Json = {"type": "boolean"}


def schema(required: Json, optional: Json | None = None) -> Json:
    """An object with these properties."""
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}
