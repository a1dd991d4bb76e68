"""The monitor: events of the data path, from the ring to whoever listens."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netloom.bpf.ring import EventRing
from netloom.datapath.events import decode_event
from netloom.model.flow import Flow
from netloom.plugins.contract import Flows
from netloom.plugins.manager import PluginManager

QUEUE_FLOWS = 10_000
"""Flows kept for a listener that reads slowly; older ones are counted as lost."""
BATCH_FLOWS = 100_000
"""Flows kept for plugins between two batches."""
BATCH_INTERVAL_S = 0.1


class Listener:
    """One reader's queue. Bounded: what does not fit is counted, never waited for."""

    def __init__(self) -> None:
        self._flows: deque[Flow] = deque()
        self._lost = 0
        self._wake = asyncio.Event()

    def push(self, flows: list[Flow]) -> None:
        """Hand over flows in order."""
        room = QUEUE_FLOWS - len(self._flows)
        self._flows.extend(flows[:room])
        self._lost += max(0, len(flows) - room)
        self._wake.set()

    async def next(self) -> tuple[tuple[Flow, ...], int]:
        """Wait for flows; returns them and how many were lost since the last call."""
        while not self._flows and not self._lost:
            self._wake.clear()
            await self._wake.wait()
        taken, lost = tuple(self._flows), self._lost
        self._flows.clear()
        self._lost = 0
        return taken, lost


class Monitor:
    """Reads the event ring and hands flows to listeners and plugins."""

    def __init__(self, ring: EventRing, plugins: PluginManager, set_trace: Callable[[bool], None]) -> None:
        self._ring = ring
        self._plugins = plugins
        self._set_trace = set_trace
        self._listeners: set[Listener] = set()
        self._tracing = 0
        self._batch: deque[Flow] = deque(maxlen=BATCH_FLOWS)
        self._batched = 0
        self.seen = 0

    def start(self) -> None:
        """Begin reading; call from the event loop."""
        asyncio.get_running_loop().add_reader(self._ring.fd, self._read)

    def stop(self) -> None:
        """Stop reading and let go of the ring."""
        asyncio.get_running_loop().remove_reader(self._ring.fd)
        self._set_trace(False)
        self._ring.close()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    @contextmanager
    def listen(self, *, traces: bool) -> Iterator[Listener]:
        """Listen; the data path reports traces only while somebody wants them."""
        listener = Listener()
        self._listeners.add(listener)
        self._count_tracing(+1 if traces else 0)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._count_tracing(-1 if traces else 0)

    async def feed_plugins(self) -> None:
        """Give plugins what came since the last call."""
        if not self._batched:
            return
        flows, lost = tuple(self._batch), self._batched - len(self._batch)
        self._batch.clear()
        self._batched = 0
        await self._plugins.notify("netloom_flows", Flows(flows=flows, lost=lost))

    def _count_tracing(self, step: int) -> None:
        before, self._tracing = self._tracing, self._tracing + step
        if bool(before) != bool(self._tracing):
            self._set_trace(bool(self._tracing))

    def _read(self) -> None:
        now_ns, events = time.time_ns(), self._ring.consume()
        self.seen += len(events)
        # Every new pod makes itself known to neighbours it does not have: nobody need read of that.
        if not self._listeners and not self._plugins.listen_to("netloom_flows"):
            return
        flows = [decode_event(raw, now_ns) for raw in events]
        self._batch.extend(flows)
        self._batched += len(flows)
        for listener in self._listeners:
            listener.push(flows)
