"""The router that the agent is given: announces, and tells what is learnt, through all lives of gobgpd."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

from netloom.model.address import Network
from netloom.model.errors import Invalid, NetloomError
from netloom.plugins import LearnedRoute, RouteChanges
from netloom_bgp.client import SpeakerGone
from netloom_bgp.configure import Configurator
from netloom_bgp.happenings import Happenings
from netloom_bgp.life import Life
from netloom_bgp.model import SpeakerView
from netloom_bgp.paths import family_name
from netloom_bgp.policy import announced
from netloom_bgp.rib import Rib
from netloom_bgp.sessions import Session, Sessions
from netloom_bgp.settings import BgpSettings
from netloom_bgp.speaker import Speaker

BATCH: Final = 500
"""Routes told at once: some five milliseconds."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""A gobgpd that lived as long is started again without delay."""
ACCOUNT_S: Final = 1.5
"""Seconds gobgpd is given to say how its peers are, when somebody asks; usually it takes 2 ms."""
COLD_S: Final = 30.0
"""Seconds given to peers after the agent's start, where no graceful restart was agreed on."""


class BgpRouter:
    """A RouteWatcher."""

    def __init__(self, settings: BgpSettings, speaker: Speaker, sessions: Sessions, happenings: Happenings) -> None:
        self.settings = settings
        self.speaker = speaker
        self.sessions = sessions
        self.rib = Rib(settings.imports.max_paths)
        self.life: Life | None = None
        """Of the gobgpd that runs now."""
        self.restarts = 0
        self.error = ""
        """Why no gobgpd runs, as far as known."""
        self._died = False
        """Whether one ran before."""
        self._happenings = happenings
        self._configurator = Configurator(settings, shared=not speaker.own)
        self._prefixes: tuple[Network, ...] = ()
        self._told = asyncio.Event()
        self._changed = asyncio.Event()
        self._settled = not settings.peers
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        sessions.moved = self._moved

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        """As RouteWatcher; while no gobgpd answers, the next one is told first of all."""
        self._prefixes = prefixes
        self._told.set()
        if (life := self.life) is not None:
            async with self._order:
                await self._configurator.set_paths(life.gobgp, self._prefixes)

    async def changes(self) -> AsyncIterator[RouteChanges]:
        """As RouteWatcher."""
        self.rib.change_all()
        self._changed.set()
        complete = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self.rib.pending:
                changes = self.rib.take(BATCH)
                if changes.routes or changes.gone:
                    yield changes
                else:
                    await asyncio.sleep(0)
            if self._settled and not complete:
                complete = True
                yield await self._everything()

    @property
    def router_id(self) -> str:
        """As told to gobgpd; "" before."""
        return self._configurator.router_id

    def advertised(self, session: Session) -> int:
        """Prefixes that the peer is told of. GoBGP's own count holds some that it does not send."""
        exports, families = self.settings.exports, session.peer.all_families
        mine = [prefix for prefix in self._prefixes if family_name(prefix) in families]
        return sum(announced(exports, prefix) for prefix in mine) if session.established else 0

    async def view(self) -> SpeakerView:
        """Of gobgpd."""
        running, own = self.life is not None, self.speaker.own
        state = "running" if running else "starting"
        if self.error:
            state = "restarting" if own and self._died else "down"
        who = "it is being started again" if own else "whoever runs it has to start it again"
        return SpeakerView(
            state=state,
            own=own,
            version=await self.speaker.version() if running else "",
            pid=self.speaker.pid,
            restarts=self.restarts,
            error=f"{self.error}; {who}, and no session stands until then" if self._died else self.error,
        )

    async def account(self) -> str:
        """Take in what gobgpd says of all peers now; why it says nothing, a sentence without full stop, or ""."""
        if (life := self.life) is None:
            return ""
        try:
            async with asyncio.timeout(ACCOUNT_S):
                peers = await life.gobgp.peers()
        except TimeoutError:
            return f"gobgpd has not answered for {ACCOUNT_S:.0f} s: sessions are shown as it told of them last"
        except NetloomError as error:
            # Whoever lives with it notices as well, a moment later: then there is one answer to all that is asked.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ACCOUNT_S):
                    await life.over.wait()
            return "" if self.life is None else f"{error}: sessions are shown as it told of them last"
        for peer in peers:
            self.sessions.listed(peer)
        return ""

    async def run(self) -> None:
        """One life of gobgpd after the other, for ever."""
        if not self.settings.peers:
            await self.speaker.stop()
            return
        self.speaker.skip_said()
        await self._told.wait()
        pause, died = FIRST_PAUSE_S, 0.0
        while True:
            began = time.monotonic()
            try:
                await self._live(died)
            except NetloomError as error:
                died = self._ended(error)
            if time.monotonic() - began > STEADY_S:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _live(self, died: float) -> None:
        gobgp = await self.speaker.ensure()
        try:
            async with self._order:
                fresh = await self._configurator.identify(gobgp)
                self._configurator.restarting = fresh
                again = await self._configurator.set_policies(gobgp)
                await self._configurator.set_paths(gobgp, self._prefixes)
                await self._configurator.set_peers(gobgp, self.sessions.all(), again=again and not fresh)
                self.rib.begin_again()
                self.life = life = Life(gobgp, self.speaker, self.sessions, self.rib)
            life.changed, life.settled = self._changed.set, self._settle
            self.error, self._died = "", False
            self._happenings.tell("speaker.started" if fresh else "speaker.found", f"gobgpd at {self.speaker.socket}")
            await life.run(self._configurator, self._deadline(died, fresh=fresh))
        finally:
            if self.life is not None:
                self.life.over.set()
            self.life = None
            gobgp.close()

    def _deadline(self, died: float, *, fresh: bool) -> float:
        """When routes of before that nobody told again are gone."""
        graceful = self.settings.graceful_restart
        patience = graceful.restart_time_s if graceful.enabled else COLD_S
        if died:
            return died + patience
        return time.monotonic() + (patience if fresh else max(0.0, patience - self.speaker.age_s))

    async def _everything(self) -> RouteChanges:
        routes: list[LearnedRoute] = []
        for some in self.rib.everything(BATCH):
            routes += some
            await asyncio.sleep(0)
        return RouteChanges(routes=tuple(routes), complete=True)

    def _settle(self) -> None:
        self._settled = True
        self._changed.set()

    def _ended(self, error: NetloomError) -> float:
        """When it died, on the monotonic clock. Without graceful restart the peers have dropped our routes already."""
        self.sessions.heard(self.speaker.said())
        self.sessions.gone(str(error))
        died = isinstance(error, SpeakerGone)
        if died:
            self.restarts += 1
        if str(error) != self.error:
            self._happenings.tell("speaker.died" if died else "speaker.failed", str(error))
        self.error, self._died = str(error), died
        self.rib.begin_again()
        if not self.settings.graceful_restart.enabled and not isinstance(error, Invalid):
            self.rib.settle()
            self._settle()
        return time.monotonic()

    def _moved(self, address: str, away: bool) -> None:
        """A peer went away, or came back: the node hears of it before gobgpd does."""
        if away:
            self.rib.hold(address)
        else:
            self.rib.unhold(address)
        if self.rib.pending:
            self._changed.set()
        task = asyncio.get_running_loop().create_task(self._follow(address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, address: str) -> None:
        async with self._order:
            if (life := self.life) is None:
                return
            try:
                await life.move(self._configurator, self.sessions[address])
            except NetloomError as error:
                self._happenings.tell("peer.refused", str(error), address)
