"""The kernel's tables as the agent keeps them: desired contents, and a driver that writes them.

Writes go in an order in which nothing refers to what is not there yet; deletes go in the reverse order. Nothing
is written before :meth:`Tables.resync` was called once, which is after the first complete view of the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import structlog

from netloom.model.errors import NetloomError
from netloom.plan.claims import Claims
from netloom.plan.delta import Delta

K = TypeVar("K")
V = TypeVar("V")


class Driver(Protocol[K, V]):
    """Reads and writes one kernel table. Methods raise NetloomError."""

    async def read(self) -> Mapping[K, V]:
        """Everything of ours in the table."""

    async def put(self, key: K, value: V) -> None:
        """Write one entry, whatever was there."""

    async def delete(self, key: K) -> None:
        """Remove one entry; no error when it is not there."""


@dataclass(slots=True)
class Table(Generic[K, V]):
    """One table."""

    name: str
    """Also the name of the field of :class:`Claims` that feeds it."""
    driver: Driver[K, V]
    delta: Delta[K, V]
    errors: int = 0


@dataclass(frozen=True, slots=True)
class _Problem:
    """A write that failed."""

    table: Table[Any, Any]
    key: Any
    error: NetloomError


@dataclass(frozen=True, slots=True)
class Repair:
    """One entry that was not as it should be, and was put right."""

    table: str
    key: str
    action: str


class Tables:
    """All tables of a node, in the order in which they are written."""

    def __init__(self, drivers: Mapping[str, Driver[Any, Any]]) -> None:
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

    def errors(self) -> Mapping[str, int]:
        """Failed writes so far, by table."""
        return {table.name: table.errors for table in self._tables}

    async def apply(self, owner: str | None = None) -> None:
        """Write what is pending, everything that can be written.

        Raises the first NetloomError; with ``owner``, only one that concerns its entries.
        """
        if not self._in_sync:
            return
        async with self._lock:
            problems = await self._write()
        for problem in problems:
            if owner is None or problem.table.delta.claims(owner, problem.key):
                raise problem.error

    async def resync(self) -> tuple[Repair, ...]:
        """Compare every table with the kernel and put right what differs; returns what that was."""
        async with self._lock:
            repairs = [repair for table in self._tables for repair in _differences(table, await table.driver.read())]
            first, self._in_sync = not self._in_sync, True
            problems = await self._write()
        if problems:
            raise problems[0].error
        return () if first else tuple(repairs)

    async def _write(self) -> list[_Problem]:
        problems: list[_Problem] = []
        for table in self._tables:
            for key, value in table.delta.pending().upserts.items():
                await self._step(table, key, value, problems)
        for table in reversed(self._tables):
            for key in table.delta.pending().deletes:
                await self._step(table, key, None, problems)
        return problems

    async def _step(self, table: Table[Any, Any], key: Any, value: Any, problems: list[_Problem]) -> None:
        try:
            await (table.driver.delete(key) if value is None else table.driver.put(key, value))
        except NetloomError as error:
            table.errors += 1
            problems.append(_Problem(table, key, error))
            self._log.error("table.write_failed", table=table.name, key=str(key), error=str(error))
        else:
            table.delta.applied(key, value)


def _differences(table: Table[Any, Any], actual: Mapping[Any, Any]) -> list[Repair]:
    """What somebody else did to the table; what was claimed and is only waiting to be written is nobody's damage."""
    waiting = table.delta.pending()
    table.delta.observe(actual)
    found = table.delta.pending()
    written = [key for key in found.upserts if key not in waiting.upserts]
    deleted = [key for key in found.deletes if key not in waiting.deletes]
    return [
        *(Repair(table.name, str(key), "written") for key in written),
        *(Repair(table.name, str(key), "deleted") for key in deleted),
    ]
