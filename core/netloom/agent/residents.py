"""Who has which address: pods by the bytes of their addresses, to be looked up for each event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netloom.model.address import Address


class Resident(NamedTuple):
    """A pod at an address."""

    pod: str
    """``namespace/name``; "" when that was not told."""
    endpoint_id: int = 0
    """On this node; 0 for a pod of another."""


class Residents:
    """A directory. An address may pass from one owner to the next before the first is taken out."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[str, Resident]] = {}

    def put(self, owner: str, addresses: Iterable[Address], resident: Resident) -> None:
        """An owner has addresses now."""
        for address in addresses:
            self._found[address.packed] = owner, resident

    def drop(self, owner: str, addresses: Iterable[Address]) -> None:
        """It has them no more; what another has meanwhile stays."""
        for address in addresses:
            if self._found.get(address.packed, ("",))[0] == owner:
                del self._found[address.packed]

    def at(self, address: bytes) -> Resident | None:
        """Who is there; ``address``: 4 or 16 bytes in network order."""
        found = self._found.get(address)
        return found[1] if found else None
