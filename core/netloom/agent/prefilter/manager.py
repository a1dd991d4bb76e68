"""The prefilter as a whole: a request becomes entries, a program and a file, or nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from netloom.agent.datapath import Datapath
from netloom.agent.kernel import KernelThread
from netloom.agent.prefilter import book
from netloom.agent.prefilter.book import Kept
from netloom.agent.prefilter.hook import Hooks, loader
from netloom.agent.prefilter.request import Change, Verb, changed
from netloom.agent.prefilter.tables import PrefilterTables
from netloom.agent.repairs import Repair
from netloom.config.settings import Settings
from netloom.edge.files import FileError
from netloom.model.address import Address
from netloom.model.errors import Conflict, Invalid, NetloomError, Unavailable
from netloom.model.node import Node
from netloom.plan.prefilter import (
    entries,
    held_nodes,
    holder,
    in_order,
    objections,
    parse_all,
    refuse_unless_meant,
    text_of,
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What it works with."""

    file: Path
    tables: PrefilterTables
    hooks: Hooks
    nodes: Callable[[], Iterable[Node]]
    """Of the cluster, as far as they are known; this one among them."""


class Prefilter:
    """One change, or one comparison with the kernel, at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept = Kept()
        self._entries = entries(())
        self._damage = ""
        """Why the file could not be read: until it can, or is written anew, the kernel is left as it is."""
        self._trouble = ""
        """Why entries or program are not what they should be."""
        self._one_at_a_time = asyncio.Lock()
        self._log = structlog.get_logger()

    async def restore(self) -> None:
        """Take up what an earlier run kept, before anything else may wait for others: it concerns this node alone."""
        try:
            self._kept = await asyncio.to_thread(book.read, self._parts.file)
        except (Invalid, FileError) as error:
            self._damage = str(error)
            self._log.error("prefilter.unreadable", error=str(error))
            return
        self._entries = await asyncio.to_thread(entries, self._kept.cidrs)
        await self._parts.hooks.leave_other_devices()
        await self.repair()

    async def repair(self) -> list[Repair]:
        """Make entries and program what they should be; returns what they were not.

        What stands in the way is told by :attr:`problem` rather than raised: the rest of the node must not wait for it.
        """
        async with self._one_at_a_time:
            if self._damage:
                return []
            return await self._settle()

    async def change(self, change: Change) -> Json:
        """Carry out a request, wholly or not at all: the answer of the API.

        Raises Invalid for what is no prefix, or what would cut the node off and is not forced; NotFound, Conflict for
        another revision or a stranger's program, Exhausted, FileError, KernelError.
        """
        named = await asyncio.to_thread(parse_all, change.cidrs)
        async with self._one_at_a_time:
            before = self._current(change)
            wanted = changed(before.cidrs, change.verb, named)
            if not change.force:
                refuse_unless_meant(objections(wanted - before.cidrs, self._parts.nodes()))
            after = Kept(before.revision + 1, wanted)
            if self._damage:
                await self._begin_anew(after)
            elif wanted != before.cidrs:
                await self._carry_out(after)
        added, removed = len(wanted - before.cidrs), len(before.cidrs - wanted)
        self._log.info("prefilter.changed", revision=self._kept.revision, added=added, removed=removed)
        return self.summary() | {"added": added, "removed": removed}

    def summary(self) -> Json:
        """For ``/v1/status``: everything but the prefixes."""
        return {
            "revision": self._kept.revision,
            "count": len(self._kept.cidrs),
            "devices": [self._device(name) for name in self._parts.hooks.devices],
            "problem": self.problem,
            "warnings": held_nodes(self._kept.cidrs, self._parts.nodes()),
        }

    def _device(self, name: str) -> Json:
        attached = self._parts.hooks.attached.get(name)
        return {
            "name": name,
            "mode": attached.mode if attached else "off",
            "obstacle": attached.obstacle if attached else "",
        }

    async def view(self) -> Json:
        """``/v1/prefilter``."""
        return self.summary() | {"cidrs": await asyncio.to_thread(in_order, self._kept.cidrs)}

    @property
    def problem(self) -> str:
        """Why the node does not refuse what it should; "" when it does."""
        return self._damage or self._trouble

    @property
    def watched(self) -> frozenset[int]:
        """Indexes of the devices that have the program."""
        return self._parts.hooks.indexes

    def refusing(self, address: Address) -> str:
        """The prefix for which packets from an address are refused; "" when they are not."""
        found = holder(self._kept.cidrs, address) if self._parts.hooks.attached else None
        return "" if found is None else text_of(found)

    def _current(self, change: Change) -> Kept:
        """The set as it stands, if it may be changed like this."""
        if self._damage and change.verb is not Verb.REPLACE:
            raise Unavailable(self._damage)
        if change.revision is not None and change.revision != self._kept.revision:
            raise Conflict(
                f"the prefilter is at revision {self._kept.revision}, not {change.revision}: somebody has changed it; "
                "look at `netctl prefilter list` and ask again"
            )
        return self._kept

    async def _carry_out(self, after: Kept) -> None:
        """Entries, program, file: what was done is undone when the next cannot be."""
        before, tables, old = self._kept, self._parts.tables, self._entries
        new = await asyncio.to_thread(entries, after.cidrs)
        tables.check_room(new)
        await asyncio.to_thread(tables.write, old, new)
        try:
            if after.cidrs - before.cidrs:
                await self._parts.hooks.ensure(wanted=True)
            await asyncio.to_thread(book.write, self._parts.file, after)
        except NetloomError:
            await asyncio.to_thread(tables.write, new, old)
            await self._settle_program()
            raise
        self._kept, self._entries = after, new
        await self._settle_program()

    async def _begin_anew(self, after: Kept) -> None:
        """Where nobody knows what the kernel should hold, the file comes first, and the kernel follows it."""
        new = await asyncio.to_thread(entries, after.cidrs)
        self._parts.tables.check_room(new)
        await asyncio.to_thread(book.write, self._parts.file, after)
        self._kept, self._entries, self._damage = after, new, ""
        await self._settle()

    async def _settle(self) -> list[Repair]:
        """Entries and program as the set wants them."""
        try:
            repairs = await asyncio.to_thread(self._parts.tables.repair, self._entries)
        except NetloomError as error:
            return self._in_trouble(error)
        return repairs + await self._settle_program()

    async def _settle_program(self) -> list[Repair]:
        """The program is there if the set wants it."""
        try:
            repairs = await self._parts.hooks.ensure(wanted=bool(self._kept.cidrs))
        except NetloomError as error:
            return self._in_trouble(error)
        self._trouble = ""
        return repairs

    def _in_trouble(self, error: NetloomError) -> list[Repair]:
        """Told once."""
        if str(error) != self._trouble:
            self._log.error("prefilter.not_in_place", error=str(error))
        self._trouble = str(error)
        return []

    async def close(self) -> None:
        """Let go of descriptors; the program and its maps go on."""
        await self._parts.hooks.close()


def prefilter_of(
    datapath: Datapath, kernel: KernelThread, settings: Settings, nodes: Callable[[], Iterable[Node]]
) -> Prefilter:
    """That of the node whose data path has been prepared."""
    paths = settings.paths
    return Prefilter(
        Parts(
            file=paths.state_dir / settings.node.name / "prefilter.json",
            tables=PrefilterTables(datapath.maps),
            hooks=Hooks(kernel, datapath.underlay.names, loader(paths.cache_dir, datapath.maps)),
            nodes=nodes,
        )
    )
