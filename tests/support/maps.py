"""Maps of tests, which hold few entries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netloom.datapath import registry
from netloom.datapath.maps import MapKind, MapSpec

ROOM = 1024
"""In maps for whose room the kernel takes memory at once."""


def small(spec: MapSpec[Any, Any]) -> MapSpec[Any, Any]:
    """The same map, with room for a test's few entries where room costs memory."""
    return replace(spec, max_entries=ROOM) if spec.kind is MapKind.LRU_HASH else spec


SMALL_MAPS = tuple(map(small, registry.MAPS))
