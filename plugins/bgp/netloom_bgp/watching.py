"""What whoever watches links, or peers by other means than BGP, may tell about a peer."""

from __future__ import annotations

from typing import Protocol

from netloom.model.address import Address


class PeerListener(Protocol):
    """Hears of peers. Every method returns at once, and may be called again with what is known already."""

    def lost(self, address: Address, by: str, why: str) -> None:
        """The peer cannot be reached, says ``by`` ("link", "bfd"); ``why`` is a sentence without full stop."""

    def back(self, address: Address, by: str) -> None:
        """``by`` no longer says so; the peer is used again when nobody does."""

    def note(self, address: Address, **facts: str) -> None:
        """Facts to show with the peer: ``device``, ``link``, ``bfd``."""

    def event(self, kind: str, text: str, address: Address | None = None) -> None:
        """Something happened, such as ``link.down``."""
