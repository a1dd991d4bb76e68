"""What this node's programs remember of connections: shown, swept of what has expired, and forgotten when asked to.

A full table has hundreds of thousands of entries, so it is read in a thread, in batches; few instructions of ours are
spent on each. Programs go on meanwhile: an entry that comes or goes during a sweep is met or not. One that is begun
anew between being found expired and being removed is lost, and its next packet judged as the first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import structlog

from netloom.bpf.maps import BpfMap, MapSet
from netloom.datapath import connection_records as records
from netloom.datapath.connections import CONNECTIONS_ANY, CONNECTIONS_TCP, ConnectionInfo, ConnectionKey
from netloom.model.connection import Connection
from netloom.plan.sweeps import FIRST_PAUSE_S, next_pause_s

BATCH_ENTRIES = 4096
"""Read at once: half a megabyte."""
Wanted = Callable[[Connection], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What one sweep has met."""

    seen: int
    """Entries, those included that it removed."""
    removed: int
    at: float
    """When it ended, in seconds since the epoch."""
    seconds: float

    @property
    def removed_share(self) -> float:
        """0 to 1."""
        return self.removed / self.seen if self.seen else 0.0


class Connections:
    """The connection maps of a node."""

    def __init__(self, maps: MapSet, on_sweep: Callable[[], None] = lambda: None) -> None:
        """``on_sweep`` is called after each sweep that went well."""
        self._maps: tuple[BpfMap[ConnectionKey, ConnectionInfo], ...] = (
            maps.of(CONNECTIONS_TCP),
            maps.of(CONNECTIONS_ANY),
        )
        self._on_sweep = on_sweep
        self._held: dict[str, int] = {}
        self.pause_s = FIRST_PAUSE_S
        """Until the next sweep."""
        self.last: Sweep | None = None
        self.removed = 0
        """By all sweeps since the start."""

    async def run(self) -> None:
        """Sweep again and again, for ever. Raises KernelError."""
        while True:
            await self.sweep()
            await asyncio.sleep(self.pause_s)

    async def sweep(self) -> Sweep:
        """Remove what has expired, and say when to do so again. Raises KernelError."""
        done = await asyncio.to_thread(self._sweep)
        self.pause_s = next_pause_s(self.pause_s, done.removed_share)
        self.removed += done.removed
        self.last = done
        structlog.get_logger().debug("connections.swept", seen=done.seen, removed=done.removed, next_in_s=self.pause_s)
        self._on_sweep()
        return done

    def live(self) -> Iterator[Connection]:
        """All there are at this moment, in no order; takes microseconds for each. Raises KernelError."""
        return chain.from_iterable(map(_live, self._maps))

    async def select(self, wanted: Wanted, most: int) -> tuple[list[Connection], int]:
        """Up to ``most`` of those that are wanted, and how many these are. Raises KernelError."""

        def read() -> tuple[list[Connection], int]:
            found: list[Connection] = []
            total = 0
            for connection in filter(wanted, self.live()):
                total += 1
                if total <= most:
                    found.append(connection)
            return found, total

        return await asyncio.to_thread(read)

    async def forget(self, wanted: Wanted | None = None) -> int:
        """Forget those that are wanted, or all there are; says how many. They are judged again. Raises KernelError."""
        return await asyncio.to_thread(lambda: sum(_forget(each, wanted) for each in self._maps))

    def held(self) -> dict[str, int]:
        """Entries by map when they were last swept; counting them takes too long to do it each time somebody asks."""
        return dict(self._held)

    def _sweep(self) -> Sweep:
        began = time.monotonic()
        seen = removed = 0
        for each in self._maps:
            met, gone = _remove_expired(each)
            self._held[each.spec.name] = met - gone
            seen, removed = seen + met, removed + gone
        return Sweep(seen=seen, removed=removed, at=time.time(), seconds=time.monotonic() - began)


def _live(table: BpfMap[ConnectionKey, ConnectionInfo]) -> Iterator[Connection]:
    for keys, infos in table.raw_batches(BATCH_ENTRIES):
        yield from (one for one in records.read(keys, infos, time.monotonic_ns()) if one.expires_in_s > 0)


def _remove_expired(table: BpfMap[ConnectionKey, ConnectionInfo]) -> tuple[int, int]:
    """How many there were, and how many of them are gone."""
    seen = removed = 0
    for keys, infos in table.raw_batches(BATCH_ENTRIES):
        gone = records.expired(infos, time.monotonic_ns())
        table.delete_all_raw(records.keys_at(keys, gone))
        seen, removed = seen + records.count(keys), removed + len(gone)
    return seen, removed


def _forget(table: BpfMap[ConnectionKey, ConnectionInfo], wanted: Wanted | None) -> int:
    forgotten = 0
    for keys, infos in table.raw_batches(BATCH_ENTRIES):
        places = list(range(records.count(keys)))
        if wanted is not None:
            read = list(records.read(keys, infos, time.monotonic_ns()))
            places = [at for at in places if wanted(read[at])]
        table.delete_all_raw(records.keys_at(keys, places))
        forgotten += len(places)
    return forgotten
