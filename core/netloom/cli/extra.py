"""Commands that other distributions bring: ``netctl bgp`` of a BGP plugin, found by the entry-point group GROUP."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

from netloom.cli.commands import Lazy

GROUP: Final = "netloom.cli"
"""An entry point names a click command; what its class and helpers may be stands in :mod:`netloom.cli.kit`."""


def extra_commands() -> dict[str, Lazy]:
    """By name. Their summaries are known once they are loaded."""
    return {point.name: Lazy(point.value, "") for point in entry_points(group=GROUP)}
