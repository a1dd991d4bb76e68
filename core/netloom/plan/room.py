"""Room in the kernel's tables where the node's memory decides. Pure.

The kernel takes the memory of a table that forgets when it makes it, whether anybody speaks or not. As in Cilium all
such tables together get a small share of the machine's memory, each in proportion to its room on a large one.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from netloom.config.settings import MapSettings
from netloom.datapath.connections import CONNECTIONS_ANY, CONNECTIONS_TCP

MEMORY_SHARE: Final = 0.0025
LEAST_ENTRIES: Final = 16384
SHARED_OUT: Final = (CONNECTIONS_TCP, CONNECTIONS_ANY)
_OVERHEAD_BYTES: Final = 64
"""Of an entry, besides key and value: links, hash and place in the order of forgetting (kernel/bpf/hashtab.c)."""


def map_sizes(settings: MapSettings, memory_bytes: int) -> dict[str, int]:
    """Entries by map, as set, and where that is left open by the machine's memory."""
    most = {spec.name: spec.max_entries * (spec.key_bytes + spec.value_bytes + _OVERHEAD_BYTES) for spec in SHARED_OUT}
    scale = memory_bytes * MEMORY_SHARE / sum(most.values())
    by_memory = {
        spec.name: min(spec.max_entries, max(LEAST_ENTRIES, int(spec.max_entries * scale))) for spec in SHARED_OUT
    }
    return {name: by_memory[name] if entries is None else entries for name, entries in asdict(settings).items()}
