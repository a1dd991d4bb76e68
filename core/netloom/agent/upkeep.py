"""Upkeep: what is done at every resync so that the node stays as it should be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from netloom.agent.cluster import Cluster
from netloom.agent.datapath import Datapath
from netloom.agent.endpoints import EndpointManager
from netloom.agent.routing import Routing
from netloom.agent.tables import Tables
from netloom.model.errors import NetloomError, StoreError
from netloom.plan.claims import local_node_claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """Each step is tried whatever became of the others; the first failure is raised at the end."""

    datapath: Datapath
    tables: Tables
    cluster: Cluster
    endpoints: EndpointManager
    routing: Routing

    async def resync(self) -> None:
        """Compare the kernel with what should be there, repair it, and say what was repaired.

        Raises StoreError before the first complete view of the cluster: until then nothing is written.
        """
        if not self.cluster.in_sync.is_set():
            raise StoreError("the store has not told of the cluster yet; the data path goes on as it was left")
        await _all(self.masquerade, self._repair_devices, self.routing.refresh, self._repair_tables)

    async def follow(self) -> None:
        """Take a change of the cluster's nodes into the kernel."""
        await _all(self.tables.apply, self.masquerade)

    async def masquerade(self) -> None:
        """Masquerade towards everything but the pods of all nodes, if that is wanted."""
        others = (cidr for known in self.cluster.nodes().values() for cidr in known.node.pod_cidrs)
        await self.datapath.ensure_masquerade(tuple(others))

    def claim_node(self) -> None:
        """Claim what this node's own devices and addresses want: they are others once a stranger deleted them."""
        datapath = self.datapath
        addresses = datapath.host_addresses
        self.tables.claim("node", local_node_claims(datapath.node, datapath.host, addresses, datapath.mtu_bytes))

    async def _repair_devices(self) -> None:
        for repair in await self.datapath.repair(self.endpoints.ready()):
            structlog.get_logger().warning("datapath.repaired", what=repair)
        self.claim_node()

    async def _repair_tables(self) -> None:
        for repair in await self.tables.resync():
            structlog.get_logger().warning("table.repaired", table=repair.table, key=repair.key, action=repair.action)


async def _all(*steps: Callable[[], Awaitable[None]]) -> None:
    problems: list[NetloomError] = []
    for step in steps:
        try:
            await step()
        except NetloomError as error:
            problems.append(error)
    if problems:
        raise problems[0]
