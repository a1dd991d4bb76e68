"""Reading all entries of an eBPF map: in batches where the kernel can, key by key where it cannot."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator
from typing import Any

from netloom.bpf import libbpf
from netloom.bpf.batch import NO_BATCHES
from netloom.datapath.maps import MapSpec

BATCH_ENTRIES = 512
"""Entries asked for at once; doubled while a single hash bucket holds more."""
_TOKEN_BYTES = 4
"""A hash table's place in a walk is a bucket number; other maps' is a key."""

Entries = Iterator[tuple[bytes, bytes]]
Batch = tuple[bytes, bytes]
"""Keys and values of some entries, one behind the other."""


def raw_entries(fd: int, spec: MapSpec[Any, Any], entry_bytes: int) -> Entries:
    """Keys and values of all entries, undecoded. Raises KernelError.

    ``entry_bytes`` is what the kernel copies for one value: in per-CPU maps, all CPUs' together. Entries written
    or removed meanwhile may be seen or not.
    """
    batches = _Batches(fd, spec, entry_bytes, BATCH_ENTRIES)
    return batches.entries() if batches.first() else _one_by_one(fd, spec, entry_bytes)


def raw_batches(fd: int, spec: MapSpec[Any, Any], entry_bytes: int, entries: int) -> Iterator[Batch]:
    """As :func:`raw_entries`, about ``entries`` at once, for who looks at hundreds of thousands."""
    batches = _Batches(fd, spec, entry_bytes, entries)
    return batches.batches() if batches.first() else _one_by_one(fd, spec, entry_bytes)


class _Batches:
    """One walk through a map by BPF_MAP_LOOKUP_BATCH."""

    def __init__(self, fd: int, spec: MapSpec[Any, Any], entry_bytes: int, entries: int) -> None:
        self._fd = fd
        self._spec = spec
        self._entry_bytes = entry_bytes
        self._token = ctypes.create_string_buffer(max(spec.key_bytes, _TOKEN_BYTES))
        self._begun = False
        self._allocate(min(entries, spec.max_entries))

    def _allocate(self, entries: int) -> None:
        self._room = entries
        self._keys = ctypes.create_string_buffer(entries * self._spec.key_bytes)
        self._values = ctypes.create_string_buffer(entries * self._entry_bytes)
        self._count = ctypes.c_uint32(entries)

    def first(self) -> bool:
        """Read the first batch; False when the kernel has no batches for this map."""
        self._result = self._read()
        return -self._result not in NO_BATCHES

    def entries(self) -> Entries:
        """Entries of the batch at hand and of all that follow."""
        key_bytes, entry_bytes = self._spec.key_bytes, self._entry_bytes
        for keys, values in self.batches():
            for index in range(len(keys) // key_bytes):
                key_at, value_at = index * key_bytes, index * entry_bytes
                yield keys[key_at : key_at + key_bytes], values[value_at : value_at + entry_bytes]

    def batches(self) -> Iterator[Batch]:
        """The batch at hand and all that follow."""
        while True:
            if self._result != -errno.ENOENT:
                libbpf.check(self._result, "read", f'eBPF map "{self._spec.name}"')
            count = self._count.value
            keys = bytes(memoryview(self._keys)[: count * self._spec.key_bytes])
            yield keys, bytes(memoryview(self._values)[: count * self._entry_bytes])
            if self._result == -errno.ENOENT:
                return
            self._result = self._read()

    def _read(self) -> int:
        options = libbpf.BatchOpts(sz=ctypes.sizeof(libbpf.BatchOpts))
        while True:
            self._count.value = self._room
            result: int = libbpf.library().bpf_map_lookup_batch(
                self._fd,
                self._token if self._begun else None,
                self._token,
                self._keys,
                self._values,
                self._count,
                options,
            )
            if result != -errno.ENOSPC or self._room > self._spec.max_entries:
                self._begun = True
                return result
            self._allocate(self._room * 2)


def _one_by_one(fd: int, spec: MapSpec[Any, Any], entry_bytes: int) -> Entries:
    """Ask for key after key. At most as many as fit the map: a walk whose key vanished starts over."""
    key = ctypes.create_string_buffer(spec.key_bytes)
    value = ctypes.create_string_buffer(entry_bytes)
    previous: ctypes.Array[ctypes.c_char] | None = None
    obj = f'eBPF map "{spec.name}"'
    for _ in range(spec.max_entries):
        result = libbpf.library().bpf_map_get_next_key(fd, previous, key)
        if result == -errno.ENOENT:
            return
        libbpf.check(result, "walk", obj)
        previous = key
        result = libbpf.library().bpf_map_lookup_elem(fd, key, value)
        if result == -errno.ENOENT:  # an empty slot, or an entry that has just gone
            continue
        libbpf.check(result, "read", obj)
        yield key.raw, value.raw
