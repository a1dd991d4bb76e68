"""Writing many entries of an eBPF map at once: in batches where the kernel can, one by one where it cannot.

A batch is one call for all entries, in their order. That matters most to maps of maps: after a change of one the kernel
waits until no program uses what stood there before, some ten milliseconds, and since Linux 6.8 once for a whole batch.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Sequence

from netloom.bpf import libbpf

NO_BATCHES = (errno.EOPNOTSUPP, libbpf.ENOTSUPP, errno.EINVAL)
"""Answers of kernels that have no batches for a kind of map: tries have them since Linux 5.14, per-CPU arrays since
5.13, maps of maps since 5.19."""

Refused = Callable[[int, int], None]
"""Told of an entry that the kernel refused, by its place, and of the negative errno; raises if that is an error."""


def put_all(fd: int, entries: Sequence[tuple[bytes, bytes]], refused: Refused) -> None:
    """Write keys with their values; what stands before an entry that is refused is written."""

    def batch(start: int, count: ctypes.c_uint32) -> int:
        keys = b"".join(key for key, _ in entries[start:])
        values = b"".join(value for _, value in entries[start:])
        return int(libbpf.library().bpf_map_update_batch(fd, keys, values, count, _options()))

    def one(at: int) -> int:
        return int(libbpf.library().bpf_map_update_elem(fd, *entries[at], libbpf.BPF_ANY))

    _all(len(entries), batch, one, refused)


def delete_all(fd: int, keys: Sequence[bytes], refused: Refused) -> None:
    """Remove keys; what stands before one that is refused is removed."""

    def batch(start: int, count: ctypes.c_uint32) -> int:
        return int(libbpf.library().bpf_map_delete_batch(fd, b"".join(keys[start:]), count, _options()))

    def one(at: int) -> int:
        return int(libbpf.library().bpf_map_delete_elem(fd, keys[at]))

    _all(len(keys), batch, one, refused)


def _all(total: int, batch: Callable[[int, ctypes.c_uint32], int], one: Callable[[int], int], refused: Refused) -> None:
    """A batch ends at the first entry that is refused; where that is no error, another one begins behind it."""
    done = 0
    while done < total:
        count = ctypes.c_uint32(total - done)
        result = batch(done, count)
        if -result in NO_BATCHES:
            break
        done += count.value
        if result < 0:
            refused(done, result)
            done += 1
    for at in range(done, total):
        if (result := one(at)) < 0:
            refused(at, result)


def _options() -> libbpf.BatchOpts:
    return libbpf.BatchOpts(sz=ctypes.sizeof(libbpf.BatchOpts))
