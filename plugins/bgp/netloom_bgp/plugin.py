"""The plugin: its settings and its hooks."""

from __future__ import annotations

from netloom.plugins import PluginInfo, Role, hookimpl
from netloom_bgp.settings import BgpSettings


class Bgp:
    """Announces this node's prefixes to routers, and learns theirs, by BGP."""

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name="bgp", role=Role.ROUTER, summary="Exchanges routes with routers by BGP.")

    @hookimpl
    def netloom_config_type(self) -> type:
        """The section's type."""
        return BgpSettings
