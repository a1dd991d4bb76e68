"""What a network mode may be able to do besides: have pods keep their own addresses in some of the world."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from netloom.model.address import Network
from netloom.plugins.contract import NetworkMode


@runtime_checkable
class NativeCidrs(NetworkMode, Protocol):
    """A NetworkMode that reaches prefixes outside the cluster natively: pods keep their addresses there.

    Since contract 1.3.
    """

    @property
    def native_cidrs(self) -> tuple[Network, ...]:
        """Prefixes that are the world to policies, are not masqueraded, and go through the NATIVE stage."""
