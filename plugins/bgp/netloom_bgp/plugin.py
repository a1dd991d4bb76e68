"""The plugin: its settings and its hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from netloom.model.errors import Invalid
from netloom.plugins import Context, PluginInfo, Query, Role, RouteWatcher, Sample, hookimpl
from netloom_bgp.bfd import BfdWatch
from netloom_bgp.happenings import Happenings
from netloom_bgp.links import LinkWatch
from netloom_bgp.questions import Questions
from netloom_bgp.router import BgpRouter
from netloom_bgp.sessions import Sessions
from netloom_bgp.settings import BgpSettings
from netloom_bgp.speaker import Speaker


class Bgp:
    """Announces this node's prefixes to routers, and learns theirs, by BGP."""

    def __init__(self) -> None:
        self._router: BgpRouter | None = None
        self._questions: Questions | None = None
        self._work: asyncio.Task[None] | None = None
        self._watches: tuple[LinkWatch, BfdWatch] | None = None

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
            raise Invalid(f"plugins.bgp, with the overrides for this node's labels: {error}") from error
        directory = context.run_dir / "bgp"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        happenings = Happenings()
        sessions = Sessions(settings, happenings)
        speaker = Speaker(directory, settings.speaker.socket)
        self._router = BgpRouter(settings, speaker, sessions, happenings)
        self._questions = Questions(self._router, happenings)
        self._work = asyncio.create_task(self._router.run(), name="bgp")
        links = LinkWatch(tuple(peer.address for peer in settings.peers), sessions)
        self._watches = links, BfdWatch(settings.peers, directory, sessions)
        for watch in self._watches:
            await watch.start()

    @hookimpl
    def netloom_routers(self) -> Sequence[RouteWatcher]:
        """The router; none on a node without peers."""
        return (self._router,) if self._router is not None and self._router.settings.peers else ()

    @hookimpl
    def netloom_queries(self) -> Sequence[Query]:
        """Peers, routes, events."""
        return self._questions.queries() if self._questions is not None else ()

    @hookimpl
    def netloom_metrics(self) -> Sequence[Sample]:
        """Sessions, routes, restarts."""
        return self._questions.samples() if self._questions is not None else ()
