"""Answers to what people ask: peers, routes, events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from netloom.model.errors import Invalid, NotFound, Unavailable
from netloom.plugins import Query, Sample
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.client import Gobgp
from netloom_bgp.happenings import Happenings
from netloom_bgp.model import RouteView
from netloom_bgp.paths import FAMILIES, view
from netloom_bgp.router import BgpRouter

VIEWS: Final = ("best", "available", "advertised")
DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 100_000


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
                parameters=("view", "peer", "limit"),
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
        which, peer = parameters.get("view", VIEWS[0]), self._checked(parameters.get("peer", ""))
        if which not in VIEWS:
            raise Invalid(f'view "{which}", expected one of {", ".join(VIEWS)}')
        limit = _limit(parameters.get("limit", ""))
        if (life := self._router.life) is None:
            raise Unavailable(f"no gobgpd runs: {self._router.error or 'it is being started'}")
        shown: list[RouteView] = []
        total = 0
        async for path in self._paths(life.gobgp, which, peer):
            total += 1
            if len(shown) < limit:
                shown.append(path)
        return {"view": which, "routes": [asdict(one) for one in shown], "total": total}

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

    async def _paths(self, gobgp: Gobgp, which: str, peer: str) -> AsyncIterator[RouteView]:
        now = time.time()
        established = [str(one.peer.address) for one in self._router.sessions.all() if one.established]
        peers = [peer] if peer else established
        for family in FAMILIES.values():
            if which == "best":
                async for one in gobgp.paths(pb.GLOBAL, family):
                    for path in one.paths:
                        if (found := view(path, now)).best and peer in ("", found.peer):
                            yield found
                continue
            table = pb.ADJ_IN if which == "available" else pb.ADJ_OUT
            for address in peers:
                if address not in established:
                    continue
                async for one in gobgp.paths(table, family, address):
                    for path in one.paths:
                        yield view(path, now)

    def _checked(self, peer: str) -> str:
        if peer and self._router.sessions.get(peer) is None:
            names = ", ".join(str(one.peer.address) for one in self._router.sessions.all()) or "none is configured"
            raise NotFound(f'no peer has the address "{peer}"; peers: {names}')
        return peer


def _limit(text: str) -> int:
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
        raise Invalid(f'limit "{text}", expected a number from 1 to {MAX_LIMIT}')
    return int(text)
