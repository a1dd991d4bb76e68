"""The monitor: events of the data path, from the ring to the log of recent flows, to plugins, and to whoever listens.

**Bounded.** The ring is read whether or not anybody listens, and drops can come in storms. After each batch the reader
rests three times as long as the batch took, so it never takes more than a quarter of the loop's time; what the
kernel's ring has no room for meanwhile is lost, counted by the kernel, and told as a loss in its place.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from netloom.agent.flow_log import FlowLog, Item, Loss, Seen, Where
from netloom.agent.witness import Witness
from netloom.bpf.ring import BATCH_EVENTS, EventRing
from netloom.datapath.events import action_of, kinds_of
from netloom.datapath.registry import CAPTURE_BYTES, EVENTS, TraceFlag
from netloom.model.flow import Flow, FlowKind
from netloom.model.l7_messages import Access
from netloom.plugins.contract import Flows
from netloom.plugins.manager import PluginManager

QUEUE_ITEMS = 10_000
"""Items kept for a listener that reads slowly; later ones are counted as lost."""
TAKEN_ITEMS = 256
"""Items a listener gets at once: to decode and to send them is a few milliseconds of the event loop."""
BATCH_FLOWS = 100_000
"""Flows kept for plugins between two batches."""
BATCH_INTERVAL_S = 0.1
LOSS_INTERVAL_S = 1.0
"""How often the kernel's counts of losses are looked at."""
RING_BATCHES = EVENTS.max_entries // CAPTURE_BYTES // BATCH_EVENTS
"""More than the kernel's ring has room for."""
REST_S = 0.01
"""Least time between two batches: verdicts come one by one, and each would wake the agent."""
REST_SHARE = 3
"""Rest, as multiple of the time that the batch before it took."""
_FLAGS: Mapping[FlowKind, TraceFlag] = {
    FlowKind.TRACE: TraceFlag.PACKETS,
    FlowKind.VERDICT: TraceFlag.VERDICTS,
}
"""What the data path must be asked to report while somebody listens to a kind; drops are always reported."""


class Listener:
    """One reader's queue. Bounded: what does not fit is counted, never waited for."""

    def __init__(self, kinds: Collection[FlowKind]) -> None:
        self._kinds = frozenset(kinds)
        self._items: deque[Item] = deque()
        self._lost = 0
        self._wake = asyncio.Event()

    def push(self, items: Collection[tuple[Item, frozenset[FlowKind]]]) -> None:
        """Hand over items in order, each with the kinds it may be asked for as; losses concern everybody."""
        wanted = [item for item, kinds in items if isinstance(item, Loss) or not self._kinds.isdisjoint(kinds)]
        if not wanted:
            return
        room = QUEUE_ITEMS - len(self._items)
        self._items.extend(wanted[:room])
        self._lost += max(0, len(wanted) - room)
        self._wake.set()

    async def next(self) -> tuple[Item, ...]:
        """Wait for items, TAKEN_ITEMS at most; what this listener lost comes behind them, when it has caught up."""
        while not self._items and not self._lost:
            self._wake.clear()
            await self._wake.wait()
        taken = [self._items.popleft() for _ in range(min(TAKEN_ITEMS, len(self._items)))]
        if self._lost and not self._items:
            taken.append(Loss(where=Where.LISTENER, count=self._lost, at_ns=time.time_ns()))
            self._lost = 0
        return tuple(taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """Where events come from."""

    ring: EventRing
    set_trace: Callable[[TraceFlag], None]
    losses: Callable[[], Mapping[Where, int]]
    """What the kernel has counted so far."""


class Monitor:
    """Reads the event ring, keeps what it read, and hands it to listeners and plugins."""

    def __init__(self, tap: Tap, witness: Witness, plugins: PluginManager, size: int) -> None:
        self._tap = tap
        self._witness = witness
        self._plugins = plugins
        self._listeners: set[Listener] = set()
        self._wanted: Counter[TraceFlag] = Counter()
        self._batch: deque[Flow] = deque(maxlen=BATCH_FLOWS)
        self._batched = 0
        self._known_losses: dict[Where, int] = {}
        self._resting: asyncio.TimerHandle | None = None
        self.log = FlowLog(size)
        self._seen: Counter[bytes] = Counter()
        """Events read so far, by the two bytes that say type and code."""
        self._lost: Counter[Where] = Counter()
        """Since the start."""

    def start(self) -> None:
        """Begin reading; call from the event loop."""
        self._known_losses = dict(self._tap.losses())
        self._listen_to_ring()

    def stop(self) -> None:
        """Stop reading and let go of the ring."""
        if self._resting is not None:
            self._resting.cancel()
        asyncio.get_running_loop().remove_reader(self._tap.ring.fd)
        self._tap.set_trace(TraceFlag(0))
        self._tap.ring.close()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def verdicts(self) -> Mapping[str, int]:
        """How often policies said ``allow``, ``audit`` and ``deny`` since the start, told or untold."""
        found = {"allow": self._lost[Where.UNTOLD], "audit": 0, "deny": 0}
        for (kind, code), count in self._seen.items():
            if action := action_of(kind, code):
                found[action] += count
        return found

    @contextmanager
    def listen(self, kinds: Collection[FlowKind]) -> Iterator[Listener]:
        """Listen; the data path reports traces, and every verdict, only while somebody wants them."""
        listener = Listener(kinds)
        flags = [_FLAGS[kind] for kind in frozenset(kinds) if kind in _FLAGS]
        self._listeners.add(listener)
        self._want(flags, +1)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._want(flags, -1)

    def hear(self, access: Access) -> None:
        """Take up a request that the proxy tells of."""
        self._keep([(self._witness.note_request(access), frozenset({FlowKind.L7}))])

    async def feed_plugins(self) -> None:
        """Give plugins what came since the last call."""
        if not self._batched:
            return
        flows, lost = tuple(self._batch), self._batched - len(self._batch)
        self._batch.clear()
        self._batched = 0
        await self._plugins.notify("netloom_flows", Flows(flows=flows, lost=lost))

    async def note_losses(self) -> None:
        """Put what was lost since the last call into the log, in its place: behind all that found room in the ring."""
        losses = self._tap.losses()
        new = {where: count - self._known_losses.get(where, 0) for where, count in losses.items()}
        self._known_losses = dict(losses)
        if new.get(Where.RING):
            await self._empty_ring()
        now_ns = time.time_ns()
        told = [Loss(where=where, count=count, at_ns=now_ns) for where, count in new.items() if count > 0]
        self._lost.update({loss.where: loss.count for loss in told})
        self.log.extend(told)
        self._hand_over([(loss, frozenset()) for loss in told])

    async def _empty_ring(self) -> None:
        """Take what is in the ring now; others have their turn between two batches."""
        for _ in range(RING_BATCHES):
            events = self._tap.ring.consume()
            self._take(events)
            if len(events) < BATCH_EVENTS:
                return
            await asyncio.sleep(0)

    def _want(self, flags: Collection[TraceFlag], step: int) -> None:
        before = self._traced()
        for flag in flags:
            self._wanted[flag] += step
        if self._traced() != before:
            self._tap.set_trace(self._traced())

    def _traced(self) -> TraceFlag:
        found = TraceFlag(0)
        for flag, listeners in self._wanted.items():
            found |= flag if listeners else TraceFlag(0)
        return found

    def _listen_to_ring(self) -> None:
        self._resting = None
        asyncio.get_running_loop().add_reader(self._tap.ring.fd, self._read)

    def _read(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._take(self._tap.ring.consume())
        loop.remove_reader(self._tap.ring.fd)
        self._resting = loop.call_later(max(REST_S, REST_SHARE * (loop.time() - began)), self._listen_to_ring)

    def _take(self, events: Collection[bytes]) -> None:
        now_ns = time.time_ns()
        items: list[tuple[Seen, frozenset[FlowKind]]] = []
        for raw in events:
            self._seen[raw[:2]] += 1
            items.append((self._witness.note(raw, now_ns), kinds_of(raw)))
        self._keep(items)

    def _keep(self, items: Collection[tuple[Seen, frozenset[FlowKind]]]) -> None:
        # Traces come only while somebody listens, and then by the thousand: they would leave no room for the others.
        self.log.extend(record for record, kinds in items if FlowKind.TRACE not in kinds)
        self._hand_over(items)
        if self._plugins.listen_to("netloom_flows"):
            self._batch.extend(record.flow() for record, _ in items)
            self._batched += len(items)

    def _hand_over(self, items: Collection[tuple[Item, frozenset[FlowKind]]]) -> None:
        for listener in self._listeners:
            listener.push(items)
