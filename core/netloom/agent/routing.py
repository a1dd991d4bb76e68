"""Routing plugins: what they announce for this node, and what they learn, into the tables."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from netloom.agent.tables import Tables
from netloom.model.errors import NetloomError
from netloom.model.node import Node
from netloom.plan.claims import Claims
from netloom.plugins.contract import Router, RouteSpec


class Routing:
    """Drives every router at each resync. One that fails keeps the routes it gave, and harms no other."""

    def __init__(self, routers: Iterable[Router], tables: Tables, node: Node, device: str) -> None:
        """Learnt routes lead out of ``device``, the underlay's."""
        self._routers = {f"router/{number}": router for number, router in enumerate(routers)}
        self._announced: set[str] = set()
        self._tables = tables
        self._node = node
        self._device = device
        self._log = structlog.get_logger()

    async def refresh(self) -> None:
        """Announce this node's pod prefixes where that was not done, and claim the routes learnt."""
        for owner, router in self._routers.items():
            try:
                await self._refresh_one(owner, router)
            except NetloomError as error:
                self._log.warning("router.failed", router=owner, error=str(error))

    async def _refresh_one(self, owner: str, router: Router) -> None:
        if owner not in self._announced:
            await router.announce(self._node.pod_cidrs)
            self._announced.add(owner)
        learned = await router.learned()
        routes = (RouteSpec(prefix=route.prefix, device=self._device, via=route.via) for route in learned)
        self._tables.claim(owner, Claims(routes={route.prefix: route for route in routes}))
