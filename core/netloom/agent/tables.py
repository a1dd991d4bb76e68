"""The kernel's tables as the agent keeps them: desired contents, and a driver that writes them.

Writes go in an order in which nothing refers to what is not there yet; deletes go in the reverse order. Nothing
is written before :meth:`Tables.resync` was called once, which is after the first complete view of the cluster.

A table that is full harms only those whose entries it has no room for: everything else is written, what is left out
is told once, and tried again with each resync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

import structlog

from netloom.agent.repairs import Repair
from netloom.model.errors import Exhausted, NetloomError
from netloom.plan.claims import Claims
from netloom.plan.delta import Delta
from netloom.plugins.contract import UNDERLAY

ROUTES: Final = "routes"
"""Name of the table of routes."""
K = TypeVar("K")
V = TypeVar("V")


class Driver(Protocol[K, V]):
    """Reads and writes one kernel table. Methods raise NetloomError."""

    async def read(self) -> Mapping[K, V] | None:
        """Everything of ours in the table; None may stand for what this driver has left there."""

    async def put(self, key: K, value: V) -> None:
        """Write one entry, whatever was there. Raises Exhausted when there is no room for one more."""

    async def delete(self, key: K) -> None:
        """Remove one entry; no error when it is not there."""


@runtime_checkable
class BatchDriver(Protocol):
    """Of a table to which many entries cost little more than one. Methods raise NetloomError, for all of them."""

    async def read(self) -> Mapping[Any, Any] | None:
        """As :meth:`Driver.read`."""

    async def put_all(self, entries: Mapping[Any, Any]) -> Mapping[Any, NetloomError]:
        """Write each, whatever was there; the errors of those that were refused."""

    async def delete_all(self, keys: Iterable[Any]) -> None:
        """Remove each; no error when it is not there."""


@dataclass(slots=True)
class Table(Generic[K, V]):
    """One table."""

    name: str
    """Also the name of the field of :class:`Claims` that feeds it."""
    driver: Driver[K, V] | BatchDriver
    delta: Delta[K, V]
    errors: int = 0
    refused: dict[K, NetloomError] = field(default_factory=dict)
    """Entries that could not be written when last tried."""


@dataclass(frozen=True, slots=True)
class TableState:
    """How writing to one table fares."""

    errors: int
    """Failed writes so far."""
    unwritten: int
    """Entries that should be there and could not be written."""


class Tables:
    """All tables of a node, in the order in which they are written."""

    def __init__(self, drivers: Mapping[str, Driver[Any, Any] | BatchDriver]) -> None:
        self._tables: tuple[Table[Any, Any], ...] = tuple(
            Table(name, driver, Delta()) for name, driver in drivers.items()
        )
        self._lock = asyncio.Lock()
        self._in_sync = False
        self._log = structlog.get_logger()

    def claim(self, owner: str, claims: Claims) -> None:
        """``owner`` wants exactly this from now on; takes effect with :meth:`apply`."""
        for table in self._tables:
            table.delta.claim(owner, getattr(claims, table.name))

    def withdraw(self, owner: str) -> None:
        """``owner`` wants nothing any more; takes effect with :meth:`apply`."""
        for table in self._tables:
            table.delta.withdraw(owner)

    def wanted(self, name: str) -> Iterator[tuple[Any, Any, str, str]]:
        """What the table of that name should hold: key, value, owner, and why it is not written; "" when it is."""
        table = next(table for table in self._tables if table.name == name)
        pending = table.delta.pending().upserts
        for key, value, owner in table.delta.wanted():
            refused = table.refused.get(key)
            yield key, value, owner, str(refused) if refused else "waiting" if key in pending else ""

    def states(self) -> Mapping[str, TableState]:
        """How each table fares, by name."""
        return {table.name: TableState(table.errors, len(table.refused)) for table in self._tables}

    async def apply(self, owner: str | None = None) -> None:
        """Write what is pending, everything that can be written.

        Raises the first NetloomError that concerns entries of ``owner``; without an owner, the first one that is not
        Exhausted, as :meth:`resync`.
        """
        if not self._in_sync:
            return
        async with self._lock:
            await self._write(owner)
        for table, key, error in self._problems():
            if table.delta.claims(owner, key) if owner else not isinstance(error, Exhausted):
                raise error

    async def resync(self, only: Collection[str] = ()) -> tuple[Repair, ...]:
        """Compare every table (or those named) with the kernel and put right what differs; returns what that was.

        Raises the first NetloomError but Exhausted, which is told when it is new and shown by :meth:`states`.
        The first time it raises Exhausted too when there is no room for what this node itself needs.
        """
        async with self._lock:
            wanted = [table for table in self._tables if not only or table.name in only]
            repairs = [repair for table in wanted for repair in _differences(table, await table.driver.read())]
            first, self._in_sync = not self._in_sync, True
            await self._write(None)
        for table, key, error in self._problems():
            if not isinstance(error, Exhausted) or (first and _is_local(table.delta.claimants(key))):
                raise error
        return () if first else tuple(repairs)

    def _problems(self) -> Iterator[tuple[Table[Any, Any], Any, NetloomError]]:
        return ((table, key, error) for table in self._tables for key, error in table.refused.items())

    async def _write(self, owner: str | None) -> None:
        before = {table.name: table.refused for table in self._tables}
        for table in self._tables:
            table.refused = {}
        await self._upsert_ways()
        for table in self._tables:
            await self._upsert(table, owner)
        for table in reversed(self._tables):
            deletes = table.delta.pending().deletes
            await self._delete(table, deletes)
            if deletes and table.refused:
                # There may be room now.
                table.refused = {key: table.refused[key] for key in deletes if key in table.refused}
                await self._upsert(table, owner)
        for table in self._tables:
            self._tell(table, before[table.name])

    async def _upsert_ways(self) -> None:
        """Routes by the underlay go before all else: what the maps send natively needs them there."""
        for table in self._tables:
            if table.name == ROUTES:
                entries = table.delta.pending().upserts
                await self._put_all(table, {key: value for key, value in entries.items() if value.device == UNDERLAY})

    async def _upsert(self, table: Table[Any, Any], owner: str | None) -> None:
        """Where there is no room for a new entry there is none for the next either; what ``owner`` wants is tried.

        What was refused in this pass is not tried again.
        """
        pending = table.delta.pending().upserts
        entries = {key: value for key, value in pending.items() if key not in table.refused}
        if isinstance(table.driver, BatchDriver):
            await self._put_all(table, entries)
            return
        full: Exhausted | None = None
        for key, value in entries.items():
            if full and table.delta.is_new(key) and not (owner and table.delta.claims(owner, key)):
                table.refused[key] = full
                continue
            await self._step(table, table.driver, key, value)
            error = table.refused.get(key)
            full = error if isinstance(error, Exhausted) else full

    async def _put_all(self, table: Table[Any, Any], entries: Mapping[Any, Any]) -> None:
        """Try every one of them, whatever became of the others."""
        if not isinstance(table.driver, BatchDriver):
            for key, value in entries.items():
                await self._step(table, table.driver, key, value)
            return
        if not entries:
            return
        try:
            refused = await table.driver.put_all(entries)
        except NetloomError as error:
            refused = dict.fromkeys(entries, error)
        for key, value in entries.items():
            self._note(table, key, value, refused.get(key))

    async def _delete(self, table: Table[Any, Any], keys: Sequence[Any]) -> None:
        if not isinstance(table.driver, BatchDriver):
            for key in keys:
                await self._step(table, table.driver, key, None)
            return
        if not keys:
            return
        failed: NetloomError | None = None
        try:
            await table.driver.delete_all(keys)
        except NetloomError as error:
            failed = error
        for key in keys:
            self._note(table, key, None, failed)

    async def _step(self, table: Table[Any, Any], driver: Driver[Any, Any], key: Any, value: Any) -> None:
        failed: NetloomError | None = None
        try:
            await (driver.delete(key) if value is None else driver.put(key, value))
        except NetloomError as error:
            failed = error
        self._note(table, key, value, failed)

    def _note(self, table: Table[Any, Any], key: Any, value: Any, failed: NetloomError | None) -> None:
        """What became of writing one entry."""
        if failed is not None:
            table.errors += 1
            table.refused[key] = failed
        else:
            table.delta.applied(key, value)

    def _tell(self, table: Table[Any, Any], before: Mapping[Any, NetloomError]) -> None:
        """Name what could not be written once, not at every attempt; of a full table, that it is full."""
        new = {str(error): key for key, error in reversed(table.refused.items()) if key not in before}
        for text, key in new.items():
            self._log.error(
                "table.write_failed", table=table.name, key=str(key), error=text, unwritten=len(table.refused)
            )
        if before and not table.refused:
            self._log.info("table.complete", table=table.name)


def _is_local(owners: Collection[str]) -> bool:
    """Whether this node itself wants it: its devices and addresses, or an endpoint."""
    return any(owner in ("node", "world") or owner.startswith("endpoint/") for owner in owners)


def _differences(table: Table[Any, Any], actual: Mapping[Any, Any] | None) -> list[Repair]:
    """What somebody else did to the table; what was claimed and is only waiting to be written is nobody's damage."""
    if actual is None:
        return []
    waiting = table.delta.pending()
    table.delta.observe(actual)
    found = table.delta.pending()
    written = [key for key in found.upserts if key not in waiting.upserts]
    deleted = [key for key in found.deletes if key not in waiting.deletes]
    return [
        *(_repair(table.name, key, "written") for key in written),
        *(_repair(table.name, key, "deleted") for key in deleted),
    ]


def _repair(table: str, key: Any, action: str) -> Repair:
    if table == ROUTES:
        return Repair(kind="route", name=str(key), action=action)
    return Repair(kind="map entry", name=f"{table} {key}", action=action)
