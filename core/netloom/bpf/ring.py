"""Reading the event ring."""

from __future__ import annotations

import ctypes
from typing import Any

from netloom.bpf import libbpf
from netloom.bpf.maps import BpfMap
from netloom.model.errors import KernelError

BATCH_EVENTS = 512
"""Most events one call of :meth:`EventRing.consume` takes, so that a flood cannot hold its caller for long."""
_STOP = -1


class EventRing:
    """The consumer of a ring-buffer map; there should be one. Not for several threads at once."""

    def __init__(self, ring: BpfMap[Any, Any]) -> None:
        """Map the ring into memory. Raises KernelError, with EINVAL when the map is no ring buffer."""
        self._taken: list[bytes] = []
        self._callback = libbpf.SAMPLE_CALLBACK(self._take)  # kept: C holds no reference to it
        self._handle = libbpf.library().ring_buffer__new(ring.fd, self._callback, None, None)
        if not self._handle:
            raise KernelError("map", f'event ring "{ring.spec.name}"', ctypes.get_errno())

    @property
    def fd(self) -> int:
        """Readable while events wait, for poll, epoll and an event loop's ``add_reader``; -1 after close."""
        return int(libbpf.library().ring_buffer__epoll_fd(self._handle)) if self._handle else -1

    def consume(self) -> list[bytes]:
        """Take the waiting events, oldest first, without blocking; the rest, if any, keeps :attr:`fd` readable.

        Raises KernelError.
        """
        if not self._handle:
            return []
        taken: list[bytes] = []
        self._taken = taken
        result = libbpf.library().ring_buffer__consume(self._handle)
        if len(taken) < BATCH_EVENTS:
            libbpf.check(result, "read", "event ring")
        return taken

    def close(self) -> None:
        """Let go of the ring; unread events stay in it. May be called twice."""
        handle, self._handle = self._handle, None
        if handle:
            libbpf.library().ring_buffer__free(handle)

    def _take(self, _context: int | None, data: int, size: int) -> int:
        self._taken.append(ctypes.string_at(data, size))
        return _STOP if len(self._taken) >= BATCH_EVENTS else 0
