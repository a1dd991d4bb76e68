"""One life of gobgpd, from the moment it answers until it ends: told what is wanted, and listened to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.client import Gobgp, SpeakerGone
from netloom_bgp.configure import Configurator
from netloom_bgp.paths import Told, told
from netloom_bgp.rib import Rib
from netloom_bgp.sessions import Session, Sessions
from netloom_bgp.speaker import Speaker

CHUNK: Final = 200
"""Paths read before others in the plugin's loop get their turn: some five milliseconds."""
POLL_S: Final = 5.0
SETTLING_POLL_S: Final = 0.3


class Life:
    """Reads events and asks for accounts, side by side, until gobgpd ends."""

    def __init__(self, gobgp: Gobgp, speaker: Speaker, sessions: Sessions, rib: Rib) -> None:
        self.gobgp = gobgp
        self._speaker = speaker
        self._sessions = sessions
        self._rib = rib
        self._tables = 0
        """Events of the table so far; the first holds everything that stands."""
        self.over = asyncio.Event()
        """Set when this life is known to have ended."""
        self.changed: Callable[[], None] = _nothing
        self.settled: Callable[[], None] = _nothing

    async def run(self, configurator: Configurator, deadline: float) -> None:
        """Until gobgpd ends: SpeakerGone. ``deadline``, on the monotonic clock: what is not told then is gone."""
        works: list[Awaitable[None]] = [self._watch(), self._poll(configurator, deadline), self._speaker.ended()]
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise SpeakerGone("gobgpd ended")

    async def _watch(self) -> None:
        async for event in self.gobgp.watch():
            if event.HasField("peer"):
                if event.peer.peer.state.session_state:
                    self._sessions.heard(self._speaker.said())
                    self._sessions.changed(event.peer.peer)
                continue
            for chunk in chunks(event.table.paths):
                self._rib.tell(self._ours(told(chunk)))
                if self._rib.pending:
                    self.changed()
                if len(chunk) >= CHUNK:
                    await asyncio.sleep(0)
            self._tables += 1

    def _ours(self, found: list[Told]) -> list[Told]:
        """Of a gobgpd that is shared, what this node's own peers told: no filter has judged the rest."""
        if self._speaker.own:
            return found
        peers = {str(one.peer.address) for one in self._sessions.all() if not one.foreign}
        return [one._replace(hops=tuple(hop for hop in one.hops if hop.neighbor in peers)) for one in found]

    async def _poll(self, configurator: Configurator, deadline: float) -> None:
        settled = False
        while True:
            self._sessions.heard(self._speaker.said())
            for peer in await self.gobgp.peers():
                self._sessions.listed(peer)
                await self._try_again(configurator, peer)
            self._sessions.silent()
            waiting = [one for one in self._sessions.all() if not (one.complete or one.away or one.refused)]
            if not settled and self._tables and (not waiting or time.monotonic() >= deadline):
                settled, configurator.restarting = True, False
                self._rib.settle()
                self.settled()
            await asyncio.sleep(POLL_S if settled else SETTLING_POLL_S)

    async def _try_again(self, configurator: Configurator, peer: pb.Peer) -> None:
        """A peer that told too much stays down in gobgpd until it is made anew."""
        session = self._sessions.get(peer.conf.neighbor_address)
        if session is None or session.foreign or peer.state.admin_state != pb.PeerState.PFX_CT:
            return
        if time.monotonic() - session.since > session.peer.max_prefixes_retry_s:
            session.since = time.monotonic()
            await configurator.renew_peer(self.gobgp, session)

    async def move(self, configurator: Configurator, session: Session) -> None:
        """Have gobgpd follow a peer that went away or came back."""
        if session.foreign:
            return
        if session.away:
            await self.gobgp.disable_peer(str(session.peer.address), next(iter(session.away.values()))[:100])
        else:
            await configurator.renew_peer(self.gobgp, session)


def chunks(paths: Sequence[pb.Path]) -> Iterator[Sequence[pb.Path]]:
    """Pieces of some CHUNK paths; all paths of one prefix, which follow each other, stay together."""
    start = 0
    while start < len(paths):
        end = min(start + CHUNK, len(paths))
        while end < len(paths) and paths[end].nlri.value == paths[end - 1].nlri.value:
            end += 1
        yield paths[start:end]
        start = end


def _nothing() -> None:
    """Nobody listens yet."""
