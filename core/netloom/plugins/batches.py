"""What a store may be able to do besides: writing many entries at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from netloom.plugins.contract import Store


@runtime_checkable
class BatchStore(Store, Protocol):
    """A Store that can write many entries at once; any other is written to entry by entry. Since contract 1.2."""

    async def put_all(self, values: Mapping[str, bytes]) -> None:
        """Write each, whatever was there. Whoever reads or watches sees all of them or none."""
