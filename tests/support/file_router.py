"""A small routing plugin, with a directory in the place of everybody outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from netloom.model.address import Network
from netloom.model.errors import Invalid, PluginError
from netloom.plugins import (
    Context,
    LearnedRoute,
    PluginInfo,
    Query,
    Role,
    RouteChanges,
    Router,
    RouteWatcher,
    Sample,
    hookimpl,
)
from netloom.plugins.testing import RouterWorld

VIA = {4: ip_address("192.0.2.9"), 6: ip_address("fd00:9::9")}
POLL_S = 0.02


class Meeting:
    """Where node and outside leave what they announce: a file each, a prefix on each line."""

    def __init__(self, run_dir: Path) -> None:
        self.announced = run_dir / "announced"
        self.spread = run_dir.parent / "spread"
        self.closed = run_dir.parent / "closed"
        """Nobody enters while there is such a file."""

    def read(self, file: Path) -> tuple[Network, ...]:
        """What it holds. Raises PluginError while nobody may enter."""
        self._enter()
        return tuple(map(ip_network, file.read_text().split())) if file.exists() else ()

    def write(self, prefixes: Collection[Network]) -> None:
        """Announce exactly these. Raises PluginError."""
        self._enter()
        write(self.announced, prefixes)

    def _enter(self) -> None:
        if self.closed.exists():
            raise PluginError("files", f"{self.closed} keeps everybody out")


def write(file: Path, prefixes: Collection[Network]) -> None:
    """In one step: whoever reads finds all of it or what was there before."""
    fresh = file.with_suffix(".new")
    fresh.write_text("".join(f"{prefix}\n" for prefix in prefixes))
    fresh.replace(file)


class FileRouter:
    """A RouteWatcher."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting
        self.told: dict[Network, LearnedRoute] = {}

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        """Raises PluginError while nobody may enter."""
        self.meeting.write(prefixes)

    async def changes(self) -> AsyncIterator[RouteChanges]:
        """Everything first, then what differs."""
        self.told = self.found()
        yield RouteChanges(routes=tuple(self.told.values()), complete=True)
        while True:
            await asyncio.sleep(POLL_S)
            found = self.found()
            new = tuple(route for prefix, route in found.items() if prefix not in self.told)
            gone = tuple(self.told.keys() - found.keys())
            self.told = found
            if new or gone:
                yield RouteChanges(routes=new, gone=gone)

    def found(self) -> dict[Network, LearnedRoute]:
        """What stands outside; what was told while nobody may enter."""
        try:
            prefixes = self.meeting.read(self.meeting.spread)
        except PluginError:
            return self.told
        return {prefix: LearnedRoute(prefix=prefix, via=VIA[prefix.version]) for prefix in prefixes}


class AskedFileRouter:
    """A Router."""

    def __init__(self, meeting: Meeting) -> None:
        self._watcher = FileRouter(meeting)

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        """Raises PluginError."""
        await self._watcher.announce(prefixes)

    async def learned(self) -> tuple[LearnedRoute, ...]:
        """As a RouteWatcher would tell."""
        self._watcher.told = self._watcher.found()
        return tuple(self._watcher.told.values())


class Files:
    """The plugin."""

    router_type: type[FileRouter | AskedFileRouter] = FileRouter

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name="files", role=Role.ROUTER, summary="Exchanges routes by files.")

    @hookimpl
    def netloom_start(self, context: Context) -> None:
        """Remember where."""
        self.meeting = Meeting(context.run_dir)

    @hookimpl
    def netloom_routers(self) -> Sequence[Router | RouteWatcher]:
        """The router."""
        return (self.router_type(self.meeting),)

    @hookimpl
    def netloom_clean(self, context: Context) -> Sequence[str]:
        """Take back what was announced."""
        announced = Meeting(context.run_dir).announced
        if not announced.exists():
            return ()
        announced.unlink()
        return (f"file {announced}",)

    @hookimpl
    def netloom_queries(self) -> Sequence[Query]:
        """What is announced, or whether a prefix is."""
        return (Query(name="announced", summary="What is announced.", answer=self.answer, parameters=("prefix",)),)

    def answer(self, parameters: Mapping[str, str]) -> Any:
        """Raises Invalid."""
        announced = self.meeting.read(self.meeting.announced)
        if "prefix" not in parameters:
            return [str(prefix) for prefix in announced]
        try:
            return ip_network(parameters["prefix"]) in announced
        except ValueError as error:
            raise Invalid(f'"{parameters["prefix"][:40]}" is no prefix; expected one as 10.244.1.0/24') from error

    @hookimpl
    def netloom_metrics(self) -> Sequence[Sample]:
        """How many."""
        count = len(self.meeting.read(self.meeting.announced))
        return (Sample(name="announced", help="Prefixes that are announced.", value=count),)


class FileWorld(RouterWorld):
    """A node and those it shares a directory with."""

    outlives = True

    def __init__(self, directory: Path, plugin: type[Files], patience_s: float) -> None:
        self.patience_s = patience_s
        self._run_dir = directory / "run"
        self._run_dir.mkdir()
        self._plugin = plugin
        self._meeting = Meeting(self._run_dir)

    def make_plugin(self) -> object:
        """One of the class under test."""
        return self._plugin()

    def context(self) -> Context:
        """Of any node."""
        return Context(node_name="n1", config=None, run_dir=self._run_dir)

    def heard(self) -> Collection[Network]:
        """Nothing is heard while nobody may enter."""
        try:
            return self._meeting.read(self._meeting.announced)
        except PluginError:
            return ()

    def spread(self, prefixes: Collection[Network]) -> None:
        """Into the file that the plugin looks at."""
        write(self._meeting.spread, prefixes)

    def cut(self) -> None:
        """Keep the node out."""
        self._meeting.closed.touch()

    def mend(self) -> None:
        """Let it in."""
        self._meeting.closed.unlink()
