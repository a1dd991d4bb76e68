"""The application protocols of installed plugins, for a process that needs nothing else of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import structlog

import netloom
from netloom.config.load import Loaded, NoSection
from netloom.config.settings import Settings
from netloom.model.errors import NetloomError, PluginError
from netloom.plugins import accept
from netloom.plugins.contract import Context, Role
from netloom.plugins.discovery import Plugin
from netloom.plugins.owned import refuse_doubles
from netloom.plugins.protocols import L7Protocol

_COUNTING: Final = ("proxy.", "paths.", "node.name", "log.", "hooks.")
"""Beginnings of the keys that say how a proxy works."""


async def spoken(
    plugins: Iterable[Plugin], settings: Settings, sections: Mapping[str, Any]
) -> list[tuple[str, L7Protocol]]:
    """Protocols, each with the name of its plugin. Raises PluginError when two plugins speak one.

    Only plugins of role L7_PARSER are asked, so no network is set up a second time. One that fails is logged and left
    out: who would be judged by it is closed, and nobody else.
    """
    found: list[tuple[str, L7Protocol]] = []
    for plugin in _parsers(plugins, settings):
        try:
            found += [(plugin.name, protocol) for protocol in await _asked(plugin, settings, sections)]
        except NetloomError as error:
            structlog.get_logger().error("plugin.failed", plugin=plugin.name, error=str(error))
    refuse_doubles([(plugin, f'protocol "{protocol.name}"') for plugin, protocol in found])
    return found


async def _asked(plugin: Plugin, settings: Settings, sections: Mapping[str, Any]) -> tuple[L7Protocol, ...]:
    if not plugin.usable:
        raise PluginError(plugin.name, plugin.breach or plugin.failure)
    config = sections.get(plugin.name)
    if config is None and plugin.section_type is not NoSection:
        raise PluginError(plugin.name, f"needs settings: write a section plugins.{plugin.name} in the node config")
    context = Context(
        node_name=settings.node.name,
        config=config,
        node_labels=settings.node.labels,
        run_dir=settings.paths.run_dir / settings.node.name,
    )
    if "netloom_start" in plugin.hooks:
        start = partial(plugin.hooks["netloom_start"], context=context)
        await plugin.guard.acall("netloom_start", start, accept.nothing)
    ask = partial(plugin.hooks["netloom_l7_parsers"], context=context)
    found: tuple[L7Protocol, ...] = await plugin.guard.acall("netloom_l7_parsers", ask, accept.protocols)
    return found


def fingerprint(plugins: Iterable[Plugin], loaded: Loaded) -> str:
    """Of all that makes a proxy: two of one fingerprint work alike, so neither need replace the other."""
    parsers = list(_parsers(plugins, loaded.settings))
    ours = (*_COUNTING, *(f"plugins.{plugin.name}." for plugin in parsers))
    rows = [[row["key"], row["value"]] for row in loaded.rows() if row["key"].startswith(ours)]
    versions = [[plugin.name, plugin.distribution, plugin.version] for plugin in parsers]
    text = json.dumps([netloom.__version__, versions, rows], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parsers(plugins: Iterable[Plugin], settings: Settings) -> Iterator[Plugin]:
    for plugin in plugins:
        is_off = plugin.disabled or plugin.name in settings.hooks.disabled
        if not is_off and plugin.info is not None and plugin.info.role is Role.L7_PARSER:
            yield plugin
