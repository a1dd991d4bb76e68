"""What both protocols have in common: somebody asks something of some keys."""

from __future__ import annotations

from dataclasses import dataclass

from netloom.plugins.l7.turns import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Request):
    """A command with its keys."""

    command: str
    keys: tuple[bytes, ...] = ()
    operation: int = 0
    """Of the binary protocol; like ``opaque`` an answer carries it back."""
    opaque: int = 0
