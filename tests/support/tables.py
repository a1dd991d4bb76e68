"""A kernel table in a dictionary: the driver of tables in tests of what is claimed, not of how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MemoryTable:
    """Holds what it is told to hold."""

    def __init__(self) -> None:
        self.entries: dict[Any, Any] = {}

    async def read(self) -> Mapping[Any, Any]:
        return dict(self.entries)

    async def put(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    async def delete(self, key: Any) -> None:
        self.entries.pop(key, None)
