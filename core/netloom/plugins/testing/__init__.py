"""What a plugin must do, as tests its author can run: inherit a class, say how to make the object, call pytest.

    from netloom.plugins.testing import IpamConformance, check_plugin

    def test_the_plugin_keeps_the_contract() -> None:
        check_plugin(MyPlugin)

    class TestIpam(IpamConformance):
        def make_ipam(self) -> Ipam:
            return MyIpam(...)

Every test is a plain function that runs its own event loop, so no pytest plugin is needed. Netloom's own plugins are
held to the same classes.
"""

# ruff: noqa: S101 - these are tests, wherever they are kept

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from netloom.config.document import compose
from netloom.config.schema import Reader
from netloom.plugins.contract import PluginInfo
from netloom.plugins.discovery import Plugin, load
from netloom.plugins.guard import Guard
from netloom.plugins.testing.ipam import IpamConformance
from netloom.plugins.testing.mode import NetworkModeConformance
from netloom.plugins.testing.parser import ParserConformance, Talk
from netloom.plugins.testing.router import RouterConformance
from netloom.plugins.testing.router_world import RouterWorld
from netloom.plugins.testing.samples import endpoint, flow, node
from netloom.plugins.testing.store import StoreConformance

__all__ = [
    "IpamConformance",
    "NetworkModeConformance",
    "ParserConformance",
    "RouterConformance",
    "RouterWorld",
    "StoreConformance",
    "Talk",
    "check_plugin",
    "endpoint",
    "flow",
    "node",
    "read_section",
]

T = TypeVar("T")


def check_plugin(cls: Callable[[], object], name: str | None = None) -> PluginInfo:
    """Load a plugin as the agent would; AssertionError with the sentence the agent would stop with, or log.

    ``name`` is that of the entry point; without it, whatever the plugin calls itself.
    """
    if name is None:
        info = getattr(cls(), "netloom_plugin_info", None)
        assert info is not None, f"{cls!r} has no method netloom_plugin_info"
        name = str(info().name)
    plugin = Plugin(name=name, distribution="under test", version="0", guard=Guard(name))
    load(plugin, cls)
    plugin.guard.close()
    problem = plugin.breach or plugin.failure
    assert not problem, f'plugin "{name}": {problem}'
    assert plugin.info is not None
    assert plugin.info.summary.endswith("."), "summary is one sentence, with a full stop"
    return plugin.info


def read_section(cls: type[T], text: str) -> T:
    """Read a config section from YAML as the agent would; raises ConfigError with all problems."""
    reader = Reader("section.yaml")
    section = reader.section(cls, compose(text, "section.yaml"), "")
    reader.finish()
    assert section is not None
    return section
