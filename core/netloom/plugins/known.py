"""What installed plugins give where no agent runs, and so no node config is read."""

from __future__ import annotations

from functools import partial

from netloom.config.load import NoSection, Unread
from netloom.config.schema import Reader
from netloom.plugins import accept, discovery
from netloom.plugins.contract import Context
from netloom.plugins.discovery import Plugin
from netloom.plugins.guard import DEFAULT_TIMEOUT_S, PluginFailure
from netloom.plugins.protocols import L7Protocol

_HOOK = "netloom_l7_parsers"


def known_protocols() -> tuple[L7Protocol, ...]:
    """Application protocols of all plugins that are installed here and need no settings for them."""
    found: list[L7Protocol] = []
    for plugin in discovery.find((), DEFAULT_TIMEOUT_S):
        if plugin.usable and _HOOK in plugin.hooks:
            found += _protocols_of(plugin)
    return tuple(found)


def _protocols_of(plugin: Plugin) -> tuple[L7Protocol, ...]:
    """None where it cannot say them by its defaults; whoever names one is told that it is not known here."""
    config = None
    if plugin.section_type not in (NoSection, Unread):
        config = Reader("").section(plugin.section_type, None, "")
    context = Context(node_name="", config=config)
    try:
        return plugin.guard.call(_HOOK, partial(plugin.hooks[_HOOK], context=context), accept.protocols)
    except PluginFailure:
        return ()
    finally:
        plugin.guard.close()
