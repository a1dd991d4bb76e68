"""Upkeep: compares the node with what it should be, puts right what differs, and tells of it.

The whole node at every resync; a part of it when the kernel gave notice (see :mod:`netloom.agent.watch`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog

from netloom.agent.cluster import Cluster
from netloom.agent.datapath import Datapath
from netloom.agent.endpoints import EndpointManager
from netloom.agent.notices import Aspect, Known, Notice
from netloom.agent.policies import Policies
from netloom.agent.prefilter.manager import Prefilter
from netloom.agent.repairs import Repair, RepairJournal
from netloom.agent.routing import Routing
from netloom.agent.tables import Tables
from netloom.edge.ownership import firewall_tables
from netloom.model.endpoint import Endpoint
from netloom.model.errors import NetloomError, StoreError
from netloom.plan.claims import local_node_claims

Repairs = Iterable[Repair]


@dataclass(slots=True, kw_only=True)
class Upkeep:
    """Each step is tried whatever became of the others; the first failure is raised at the end."""

    datapath: Datapath
    tables: Tables
    cluster: Cluster
    endpoints: EndpointManager
    policies: Policies
    routing: Routing
    prefilter: Prefilter
    journal: RepairJournal
    _settled: bool = False
    """Whether all was put in place once: what is done before is no repair."""
    _gone: frozenset[str] = frozenset()
    """Interfaces of endpoints that a stranger deleted: nobody can make those again, so it is told once."""
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def resync(self) -> None:
        """Compare everything with the kernel.

        The first time it puts this run's programs in the place of an earlier run's: the tables are complete by then.
        Raises StoreError before the first complete view of the cluster: until then nothing is written.
        """
        if not self.cluster.in_sync.is_set():
            raise StoreError("the store has not told of the cluster yet; the data path goes on as it was left")
        async with self._one_at_a_time:
            steps = (
                self._host,
                self._inner_maps,
                self._learned_routes,
                self._tables_and_programs,
                self._pins,
                self._prefilter,
            )
            await _all(self._firewall, *steps)
            self._settled = True

    async def check(self, notice: Notice) -> None:
        """Compare what the kernel gave notice of."""
        if not self._settled:
            return
        steps: dict[Aspect, tuple[Callable[[], Awaitable[None]], ...]] = {
            Aspect.FIREWALL: (self._firewall,),
            Aspect.HOST: (self._host, self.tables.apply),
            Aspect.ROUTES: (self._routes,),
            Aspect.PREFILTER: (self._prefilter,),
        }
        async with self._one_at_a_time:
            todo = [step for aspect, found in steps.items() if aspect in notice.aspects for step in found]
            concerned = tuple(endpoint for endpoint in self.endpoints.ready() if endpoint.ifindex in notice.devices)
            await _all(*todo, lambda: self._workloads(concerned))

    async def follow(self) -> None:
        """Take a change of the cluster's nodes into the kernel."""
        await _all(self.tables.apply, self._follow_firewall)

    async def use_all_modes(self) -> None:
        """Reach every node by the mode it prefers, and tell the others of all modes: the programs are at work."""
        self.cluster.use_all_modes()
        await self.follow()
        await self.cluster.publish_node()

    def claim_node(self) -> None:
        """Claim what this node's own devices and addresses want: they are others once a stranger deleted them."""
        datapath = self.datapath
        addresses = datapath.host_addresses
        self.tables.claim("node", local_node_claims(datapath.node, datapath.host, addresses, datapath.mtu_bytes))

    def known(self) -> Known:
        """What notices may be about."""
        return Known(
            host_devices=self.datapath.watched(),
            workload_devices=frozenset(endpoint.ifindex for endpoint in self.endpoints.ready()),
            tables=firewall_tables(self.datapath.node.name),
            prefiltered_devices=self.prefilter.watched,
            uplinks=frozenset(self.datapath.uplinks.indexes),
            uplinks_away=self.datapath.uplinks.away,
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Endpoints' interfaces on the node that somebody deleted, until their containers are detached."""
        return tuple(sorted(self._gone & {each.attachment.host_ifname for each in self.endpoints.ready()}))

    def _note(self, repairs: Repairs) -> None:
        if self._settled:
            self.journal.note(repairs)

    async def _firewall(self) -> None:
        self._note(await self._ensure_firewall())

    async def _follow_firewall(self) -> None:
        await self._ensure_firewall()

    async def _ensure_firewall(self) -> Repairs:
        return await self.datapath.ensure_firewall(self.cluster.unmasqueraded)

    async def _host(self) -> None:
        repairs = await self.datapath.repair_host()
        self._note(repairs)
        self.claim_node()

    async def _all_tables(self) -> None:
        self._note(await self.tables.resync())

    async def _routes(self) -> None:
        self._note(await self.tables.resync(("routes",)))

    async def _learned_routes(self) -> None:
        self._note(await self.routing.refresh())

    async def _tables_and_programs(self) -> None:
        """New programs never meet tables that are not complete: those at work go on instead."""
        if self._settled:
            await _all(self._policies, self._all_tables, self._all_workloads)
        else:
            self.policies.open()
            await self._all_tables()
            await self._all_workloads()

    async def _policies(self) -> None:
        self._note(self.policies.check())

    async def _all_workloads(self) -> None:
        await self._workloads(self.endpoints.ready())

    async def _workloads(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Programs first: an interface that is down comes up with its program on it."""
        self._note(await self.datapath.repair_filters(endpoints))
        repairs, gone = await self.datapath.repair_interfaces(endpoints)
        self._note(repairs)
        # Those detached meanwhile are gone for good reason.
        left = gone & {endpoint.attachment.host_ifname for endpoint in self.endpoints.ready()}
        for name in sorted(left - self._gone):
            structlog.get_logger().error("workload.device_missing", device=name, hint="detach the container")
        self._gone = left | (self._gone - {endpoint.attachment.host_ifname for endpoint in endpoints})
        self._note(await self.datapath.repair_queues(endpoints))

    async def _pins(self) -> None:
        self._note(self.datapath.repair_pins())

    async def _prefilter(self) -> None:
        self._note(await self.prefilter.repair())

    async def _inner_maps(self) -> None:
        self._note(self.datapath.repair_inner_maps())


async def _all(*steps: Callable[[], Awaitable[None]]) -> None:
    problems: list[NetloomError] = []
    for step in steps:
        try:
            await step()
        except NetloomError as error:
            problems.append(error)
    if problems:
        raise problems[0]
