"""Plugins installed for one test: real distributions with real entry points, in a directory on the import path."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from netloom.config.load import load_text
from netloom.plugins.contract import CONTRACT_VERSION
from netloom.plugins.discovery import GROUP
from netloom.plugins.guard import DEFAULT_TIMEOUT_S
from netloom.plugins.manager import Active, PluginManager, PluginRecord

HEADER = """\
import asyncio, threading
from ipaddress import ip_address, ip_network
from netloom.plugins import *
release = threading.Event()
def hang():
    release.wait(60)
"""
IPAM = """\
class ThePool:
    prefixes = (ip_network("10.1.0.0/24"),)
    gateways = (ip_address("10.1.0.1"),)
    async def allocate(self, request): return Allocation(owner=request.owner, addresses=(ip_address("10.1.0.9"),))
    async def restore(self, allocation): pass
    async def release(self, owner): pass
    async def status(self): return ()
"""
TIMEOUT_S = 1.0
"""Long enough for a call that does little on a machine under load, short enough to wait for a plugin that hangs."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a test makes and installs plugins."""

    directory: Path
    monkeypatch: pytest.MonkeyPatch
    managers: list[PluginManager]

    def install(self, name: str, body: str, *, distribution: str = "", version: str = "1.2.3") -> None:
        """Install a distribution whose module holds ``body`` and whose entry point ``name`` is its class ``P``."""
        distribution = distribution or f"netloom-{name}"
        module = f"loomtest_{distribution.replace('-', '_')}"
        self.directory.joinpath(f"{module}.py").write_text(HEADER + textwrap.dedent(body))
        install(self.directory, distribution, version, {name: f"{module}:P"})

    def discover(self, disabled: tuple[str, ...] = (), timeout_s: float = DEFAULT_TIMEOUT_S) -> PluginManager:
        """A manager of everything installed now, ours included; ended with the test.

        Imports take as long as they take on a machine under load: only a plugin that hangs wants TIMEOUT_S.
        """
        manager = PluginManager.discover(disabled, timeout_s)
        self.managers.append(manager)
        return manager

    def record(self, name: str, manager: PluginManager | None = None) -> PluginRecord:
        """How the plugin fares."""
        records = (manager or self.discover()).records()
        return next(record for record in records if record.name == name)


def install(directory: Path, distribution: str, version: str, entry_points: Mapping[str, str]) -> None:
    """What pip leaves of a distribution whose modules are in ``directory``."""
    info = directory / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [f"[{GROUP}]", *(f"{name} = {target}" for name, target in entry_points.items()), ""]
    info.joinpath("entry_points.txt").write_text("\n".join(lines))


def plugin(name: str, *hooks: str, role: str = "EXTENSION", info: str = "") -> str:
    """Source of a plugin class: its description, and hooks, each the text of one method."""
    said = info or f'return PluginInfo(name="{name}", role=Role.{role}, summary="Does something.")'
    methods = [f"@hookimpl\ndef netloom_plugin_info(self):\n    {said}", *hooks]
    return "class P:\n" + textwrap.indent("\n".join(methods), "    ") + "\n"


def hook(name: str, body: str, arguments: str = "") -> str:
    """Text of one marked hook method."""
    keyword = "async def" if "await " in body else "def"
    return f"@hookimpl\n{keyword} {name}(self{', ' if arguments else ''}{arguments}):\n{textwrap.indent(body, '    ')}"


def out_of_range() -> str:
    """A plugin that speaks only a later contract."""
    later = f"Version({CONTRACT_VERSION.major + 1}, 0)"
    return (
        'return PluginInfo(name="late", role=Role.EXTENSION, summary="From the future.", '
        f"contract_min={later}, contract_max={later})"
    )


async def activate(manager: PluginManager, text: str = "", pod_cidrs: str = "10.1.0.0/24") -> Active:
    """What the agent would get with this config, short of sections for our own plugins."""
    sections = f"plugins:\n  hostscope: {{pod_cidrs: [{pod_cidrs}]}}\n  local: {{path: /nowhere/store.db}}\n"
    loaded = load_text(f"hooks: {{timeout_s: {TIMEOUT_S}}}\n{text}{sections}", "node.yaml", manager.section_types())
    return await manager.activate(loaded.settings, loaded.sections)


@contextmanager
def workshop(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    """A workshop; at its end hanging plugins are let go, threads ended, modules forgotten."""
    monkeypatch.syspath_prepend(str(directory))
    shop = Workshop(directory, monkeypatch, [])
    yield shop
    for name in [name for name in sys.modules if name.startswith("loomtest_")]:
        release: Callable[[], object] = sys.modules[name].release.set
        release()
        del sys.modules[name]
    for manager in shop.managers:
        manager.close()
