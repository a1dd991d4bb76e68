"""Everything that runs on a node with peers, put together. Slow to import, so only such a node does."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Final

from netloom_bgp.bfd import BfdWatch
from netloom_bgp.bfdd import Bfdd
from netloom_bgp.client import Gobgp, SpeakerGone
from netloom_bgp.configure import take_back
from netloom_bgp.ears import Ears
from netloom_bgp.happenings import Happenings
from netloom_bgp.links import LinkWatch
from netloom_bgp.questions import Questions
from netloom_bgp.router import BgpRouter
from netloom_bgp.sessions import Sessions
from netloom_bgp.settings import BgpSettings
from netloom_bgp.speaker import Speaker

SHARED: Final = "shared"
"""File that names the socket of a gobgpd of somebody else which an agent has configured."""


class Work:
    """Router, questions, and those who watch peers."""

    def __init__(self, settings: BgpSettings, directory: Path) -> None:
        happenings = Happenings()
        _note_shared(directory, settings.speaker.socket)
        sessions = Sessions(settings, happenings)
        self.router = BgpRouter(settings, Speaker(directory, settings.speaker.socket), sessions, happenings)
        self.questions = Questions(self.router, happenings)
        ears = Ears(settings.peers, settings.listen_port, sessions.evidence)
        sessions.sought = ears.seek
        self._watches = (
            LinkWatch(tuple(peer.address for peer in settings.peers), sessions),
            BfdWatch(settings.peers, directory, sessions, sessions.is_established),
            ears,
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, in the background: a node works without its peers."""
        self._task = asyncio.create_task(self.router.run(), name="bgp")
        for watch in self._watches:
            await watch.start()


async def end_leftovers(directory: Path) -> None:
    """End the daemons that an agent with peers left running, and remove their files; undo what it told others'."""
    if (socket := _noted_shared(directory)) is not None:
        # One that does not run has nothing of ours any more.
        with contextlib.closing(Gobgp(socket)) as gobgp, contextlib.suppress(SpeakerGone):
            await take_back(gobgp)
    await Speaker(directory, None).stop()
    Bfdd(directory).end()
    shutil.rmtree(directory, ignore_errors=True)


def _note_shared(directory: Path, socket: Path | None) -> None:
    """For whoever cleans up when the settings do not say it any more."""
    if socket is not None:
        directory.joinpath(SHARED).write_text(f"{socket}\n")


def _noted_shared(directory: Path) -> Path | None:
    try:
        return Path(directory.joinpath(SHARED).read_text().rstrip("\n"))
    except FileNotFoundError:
        return None
