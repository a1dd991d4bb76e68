"""The plugin: its settings and its hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netloom.model.errors import Invalid
from netloom.plugins import Context, PluginInfo, Query, Role, RouteWatcher, Sample, hookimpl
from netloom_bgp import idle
from netloom_bgp.settings import BgpSettings

if TYPE_CHECKING:
    from netloom_bgp.work import Work


class Bgp:
    """Announces this node's prefixes to routers, and learns theirs, by BGP."""

    def __init__(self) -> None:
        self._settings = BgpSettings()
        self._work: Work | None = None

    @hookimpl
    def netloom_plugin_info(self) -> PluginInfo:
        """Describe the plugin."""
        return PluginInfo(name="bgp", role=Role.ROUTER, summary="Exchanges routes with routers by BGP.")

    @hookimpl
    def netloom_config_type(self) -> type:
        """The section's type."""
        return BgpSettings

    @hookimpl
    async def netloom_start(self, context: Context) -> None:
        """Begin to speak, in the background: a node works without its peers. Raises Invalid for settings of no use."""
        settings = context.config if context.config is not None else BgpSettings()
        try:
            settings = settings.of_node(context.node_labels)
        except ValueError as error:
            labels = ", ".join(f"{name}={value}" for name, value in sorted(context.node_labels.items())) or "none"
            raise Invalid(f"plugins.bgp of a node with labels {labels}: {error}") from error
        self._settings, directory = settings, context.run_dir / "bgp"
        if not settings.peers and not directory.exists():
            return
        # Every node imports this module; what speaks BGP costs 150 ms, and only nodes with peers pay.
        from netloom_bgp.work import Work, end_leftovers

        if not settings.peers:
            await end_leftovers(directory)
            return
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._work = Work(settings, directory)
        await self._work.start()

    @hookimpl
    async def netloom_clean(self, context: Context) -> Sequence[str]:
        """End the daemons of an agent with peers."""
        directory = context.run_dir / "bgp"
        if not directory.exists():
            return ()
        from netloom_bgp.work import end_leftovers

        await end_leftovers(directory)
        return (f"BGP speaker of {directory}",)

    @hookimpl
    def netloom_routers(self) -> Sequence[RouteWatcher]:
        """The router; none on a node without peers."""
        return () if self._work is None else (self._work.router,)

    @hookimpl
    def netloom_queries(self) -> Sequence[Query]:
        """Peers, routes, events."""
        return idle.queries(self._settings.local_as) if self._work is None else self._work.questions.queries()

    @hookimpl
    def netloom_metrics(self) -> Sequence[Sample]:
        """Sessions, routes, restarts."""
        return () if self._work is None else self._work.questions.samples()
