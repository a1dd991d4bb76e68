"""Answers to what people ask: peers, routes, events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from netloom.model.errors import NotFound, Unavailable
from netloom.plugins import Query, Sample
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.client import Gobgp
from netloom_bgp.happenings import Happenings
from netloom_bgp.listing import PARAMETERS, Asked, Listing, asked
from netloom_bgp.model import plain
from netloom_bgp.paths import FAMILIES, view
from netloom_bgp.router import BgpRouter

VIEWS_AT_ONCE: Final = 200
"""Routes made ready to be shown before others in the plugin's loop get their turn: some five milliseconds."""


class Questions:
    """What the plugin answers, and its numbers."""

    def __init__(self, router: BgpRouter, happenings: Happenings) -> None:
        self._router = router
        self._happenings = happenings

    def queries(self) -> tuple[Query, ...]:
        """All of them."""
        return (
            Query(name="peers", summary="Peers and their sessions.", answer=self.peers, parameters=("peer",)),
            Query(
                name="routes",
                summary="Routes: the best ones, those available from peers, or those advertised to them.",
                answer=self.routes,
                parameters=PARAMETERS,
            ),
            Query(name="events", summary="What happened last.", answer=self.events),
        )

    async def peers(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Raises NotFound for a peer that is not configured."""
        wanted = self._checked(parameters.get("peer", ""))
        trouble = await self._router.account()
        for session in self._router.sessions.all():
            session.advertised = self._router.advertised(session)
        views = [one for one in self._router.sessions.views() if not wanted or one.address == wanted]
        speaker = asdict(await self._router.view())
        speaker["error"] = speaker["error"] or trouble
        return {
            "router_id": self._router.router_id,
            "local_as": self._router.settings.local_as,
            "speaker": speaker,
            "peers": [asdict(one) for one in views],
        }

    async def routes(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Raises Invalid, NotFound, or Unavailable while no gobgpd runs."""
        question = asked(parameters)
        self._checked(question.peer)
        if (life := self._router.life) is None:
            raise Unavailable(f"no gobgpd runs: {self._router.error or 'it is being started'}")
        listing = Listing(question)
        async for some in self._destinations(life.gobgp, question):
            listing.take(some)
        paths, last = listing.page()
        routes: list[dict[str, Any]] = []
        now = time.time()
        for start in range(0, len(paths), VIEWS_AT_ONCE):
            routes += [plain(view(prefix, path, now)) for prefix, path in paths[start : start + VIEWS_AT_ONCE]]
            await asyncio.sleep(0)
        return {"view": question.view, "routes": routes, "total": listing.total, "next": last}

    def events(self, _parameters: Mapping[str, str]) -> dict[str, Any]:
        """Oldest first."""
        return {"events": [asdict(one) for one in self._happenings.all()]}

    def samples(self) -> tuple[Sample, ...]:
        """The plugin's numbers."""
        found = [
            Sample(name="speaker_up", help="1 while gobgpd answers.", value=float(self._router.life is not None)),
            Sample(
                name="speaker_restarts", help="Times that gobgpd ended.", value=self._router.restarts, kind="counter"
            ),
            Sample(name="routes", help="Prefixes learnt and passed on.", value=len(self._router.rib)),
        ]
        for reason, count in self._router.rib.refused().items():
            labels = {"reason": reason}
            found.append(
                Sample(name="routes_refused", help="Prefixes learnt, not passed on.", value=count, labels=labels)
            )
        for one in self._router.sessions.all():
            labels = {"peer": str(one.peer.address)}
            values: tuple[tuple[str, str, float], ...] = (
                ("session_up", "1 while the session is established.", float(one.established)),
                ("received_prefixes", "Prefixes received.", one.received),
                ("accepted_prefixes", "Prefixes accepted by the import filters.", one.accepted),
            )
            found += [Sample(name=name, help=text, value=value, labels=labels) for name, text, value in values]
            found.append(
                Sample(name="flaps", help="Sessions that ended.", value=one.flaps, kind="counter", labels=labels)
            )
            for way, count in one.messages.items():
                both = labels | {"direction": way}
                found.append(Sample(name="messages", help="BGP messages.", value=count, kind="counter", labels=both))
        return tuple(found)

    async def _destinations(self, gobgp: Gobgp, question: Asked) -> AsyncIterator[Sequence[pb.Destination]]:
        if question.view == "best":
            for family in FAMILIES.values():
                async for some in gobgp.paths(pb.GLOBAL, family, binary=True):
                    yield some
            return
        table = pb.ADJ_IN if question.view == "available" else pb.ADJ_OUT
        for session in self._router.sessions.all():
            address = str(session.peer.address)
            if not session.established or question.peer not in ("", address):
                continue
            for name in session.peer.all_families:
                async for some in gobgp.paths(table, FAMILIES[name], address, binary=True):
                    yield some

    def _checked(self, peer: str) -> str:
        if peer and self._router.sessions.get(peer) is None:
            names = ", ".join(str(one.peer.address) for one in self._router.sessions.all()) or "none is configured"
            raise NotFound(f'no peer has the address "{peer}"; peers: {names}')
        return peer
