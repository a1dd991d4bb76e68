"""How a map is declared; the maps themselves stand in :mod:`netloom.datapath.registry`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, TypeVar

from netloom.datapath.layout import U32, U64, layout_of

K = TypeVar("K")
V = TypeVar("V")

NO_PREALLOC = 1
"""BPF_F_NO_PREALLOC (linux/bpf.h); longest-prefix maps must have it."""


class MapKind(IntEnum):
    """Kernel map types, numbered as in ``enum bpf_map_type`` (linux/bpf.h)."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    LPM_TRIE = 11
    HASH_OF_MAPS = 13
    SOCKMAP = 15
    RINGBUF = 27


@dataclass(frozen=True, slots=True)
class MapSpec(Generic[K, V]):
    """One map: shape, size in entries (bytes for a ring buffer), and what it is for."""

    name: str
    kind: MapKind
    key: type[K]
    value: type[V]
    max_entries: int
    purpose: str
    version: int = 1
    """Raised with every change of shape; part of the pin's name."""
    flags: int = 0
    inner: MapSpec[Any, Any] | None = None
    """The shape of all maps in a map of maps, which may differ in size alone."""

    @property
    def pin_name(self) -> str:
        """File name below the node's pin directory."""
        return f"{self.name}_v{self.version}"

    @property
    def key_bytes(self) -> int:
        """Size the kernel must report; a ring buffer has none."""
        return 0 if self.kind is MapKind.RINGBUF else layout_of(self.key).size

    @property
    def value_bytes(self) -> int:
        """Size the kernel must report; a ring buffer has none."""
        return 0 if self.kind is MapKind.RINGBUF else layout_of(self.value).size


@dataclass(frozen=True, slots=True)
class Index:
    """Index into an array map."""

    index: U32


@dataclass(frozen=True, slots=True)
class Counter:
    """Packets and bytes, one per CPU."""

    packets: U64
    bytes: U64


@dataclass(frozen=True, slots=True)
class Slot:
    """A loaded program, by file descriptor."""

    program: U32


@dataclass(frozen=True, slots=True)
class InnerMap:
    """A map in a map: written by file descriptor, read as the kernel's number of it."""

    map: U32


def by_name(specs: Iterable[MapSpec[Any, Any]]) -> dict[str, MapSpec[Any, Any]]:
    """Maps by name, with those that stand in maps."""
    found = {spec.name: spec for spec in specs}
    return found | {spec.inner.name: spec.inner for spec in found.values() if spec.inner}
