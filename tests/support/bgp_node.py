"""The BGP plugin of one node, in a namespace and a thread of its own, and what the agent would hear of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

from netloom.edge.netns import enter_netns, open_netns
from netloom.model.address import Network
from netloom.plugins import Context, LearnedRoute
from netloom.plugins.testing import read_section
from netloom_bgp.plugin import Bgp
from netloom_bgp.router import BgpRouter
from netloom_bgp.settings import BgpSettings
from support.netns import Namespace

T = TypeVar("T")


class BgpNode:
    """Plugin and reader of its changes. ``stop`` is an agent that dies: gobgpd goes on; ``close`` ends that too."""

    def __init__(self, netns: Namespace, directory: Path, config: str) -> None:
        self.netns = netns
        self.directory = directory
        self.config = config
        self.learned: dict[Network, LearnedRoute] = {}
        self.complete = 0
        self.gone: list[Network] = []
        self.start()

    def start(self) -> None:
        """Start the plugin, as an agent that starts."""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait()
        settings = read_section(BgpSettings, self.config)
        self.plugin = Bgp()
        self.do(self.plugin.netloom_start(Context(node_name="n1", config=settings, run_dir=self.directory)))
        (router,) = self.plugin.netloom_routers()
        assert isinstance(router, BgpRouter)
        self.router = router
        self.complete = 0
        self._reader = asyncio.run_coroutine_threadsafe(self._read(), self._loop)

    def _serve(self) -> None:
        with open_netns(self.netns.path) as fd:
            enter_netns(fd)
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()

    async def _read(self) -> None:
        async for changes in self.router.changes():
            if changes.complete:
                self.complete += 1
                self.gone += self.learned.keys() - {one.prefix for one in changes.routes}
                self.learned.clear()
            self.gone += changes.gone
            self.learned |= {route.prefix: route for route in changes.routes}
            for prefix in changes.gone:
                self.learned.pop(prefix, None)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the plugin's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call it in the plugin's loop."""

        async def called() -> None:
            function(*arguments)

        self.do(called())

    def announce(self, *prefixes: str) -> None:
        """Announce exactly these."""
        self.do(self.router.announce(tuple(ip_network(prefix) for prefix in prefixes)))

    def hops(self, prefix: str) -> list[str]:
        """Next hops learnt for a prefix."""
        route = self.learned.get(ip_network(prefix))
        return [] if route is None else [str(hop) for hop in (route.via, *route.more)]

    def peer(self, number: int = 0) -> dict[str, Any]:
        """A peer, as the query shows it."""
        found: dict[str, Any] = self.ask("peers")["peers"][number]
        return found

    def established(self) -> bool:
        """Whether the session with each peer stands."""
        return all(one["state"] == "established" for one in self.ask("peers")["peers"])

    def ask(self, name: str, **parameters: str) -> Any:
        """The answer to a query."""
        query = next(one for one in self.plugin.netloom_queries() if one.name == name)

        async def answer() -> Any:
            found = query.answer(parameters)
            return await found if asyncio.iscoroutine(found) else found

        return self.do(answer())

    def events(self, kind: str, peer: str = "") -> list[str]:
        """Texts of the events of a kind, of one peer if it is named."""
        events = self.ask("events")["events"]
        return [one["text"] for one in events if one["kind"] == kind and peer in ("", one["peer"])]

    def stop(self) -> None:
        """End the plugin without a word, as SIGKILL ends an agent; once is enough."""
        if self._loop.is_closed():
            return

        async def cancel() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        with contextlib.suppress(RuntimeError):
            self.do(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def restart(self, config: str | None = None) -> None:
        """An agent that dies and starts again, with other settings if they are given."""
        self.stop()
        self.config = config or self.config
        self.learned.clear()
        self.gone.clear()
        self.start()

    def close(self) -> None:
        """End gobgpd and the plugin."""
        self.stop()
        asyncio.run(self.router.speaker.stop())
