"""Routing plugins: what they announce for this node, and what they learn, into the tables."""

from __future__ import annotations

from netloom.agent.tables import Tables
from netloom.model.node import Node
from netloom.plan.claims import Claims
from netloom.plugins.contract import Router, RouteSpec


class Routing:
    """Drives every router at each resync; a router that fails is reported by its guard and left out."""

    def __init__(self, routers: tuple[Router, ...], tables: Tables, node: Node) -> None:
        self._routers = routers
        self._tables = tables
        self._node = node
        self._announced = False

    async def refresh(self) -> None:
        """Announce this node's pod prefixes once, and take over the routes learnt since."""
        for number, router in enumerate(self._routers):
            if not self._announced:
                await router.announce(self._node.pod_cidrs)
            learned = await router.learned()
            routes = {route.prefix: RouteSpec(prefix=route.prefix, device="", via=route.via) for route in learned}
            self._tables.claim(f"router/{number}", Claims(routes=routes))
        self._announced = True
