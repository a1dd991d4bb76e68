"""The agent of one node: builds its parts in order, runs them, and takes them down.

Start, after lock, plugins and the compiler's beginning (``headstart``): kernel features, store, data path (programs
loaded, nothing open yet), endpoints of an earlier run, first complete view of the cluster, and only then writes to the
tables, the node's own record, and the API's doors. Stop: doors, loops, store; the data path stays and goes on working.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from netloom import __version__
from netloom.agent import observe, policy_views, views
from netloom.agent.api import Api, group_id
from netloom.agent.cluster import Cluster, Local
from netloom.agent.connections import Connections
from netloom.agent.controllers import Controllers
from netloom.agent.datapath import Datapath
from netloom.agent.datapath_plan import DatapathPlan
from netloom.agent.detachments import Detachments
from netloom.agent.endpoints import EndpointManager, Parts
from netloom.agent.headstart import HeadStart
from netloom.agent.identities import Identities
from netloom.agent.kernel import KernelThread
from netloom.agent.monitor import BATCH_INTERVAL_S, LOSS_INTERVAL_S, Monitor
from netloom.agent.notices import Notice
from netloom.agent.policies import Policies, Requests
from netloom.agent.policy_tables import PolicyTables
from netloom.agent.prefilter.manager import Prefilter, prefilter_of
from netloom.agent.proxy.wanted import proxy_of
from netloom.agent.repairs import RepairJournal
from netloom.agent.residents import Resident
from netloom.agent.routing import Routing
from netloom.agent.tables import Tables
from netloom.agent.upkeep import Upkeep
from netloom.agent.walk.facts import walker_of
from netloom.agent.watch import Watch
from netloom.agent.witness import witness_of
from netloom.bpf import features
from netloom.config.load import Loaded
from netloom.model.errors import NetloomError, StoreError, Unavailable
from netloom.model.identity import reserved_identities
from netloom.model.node import Node
from netloom.plan.claims import native_cidr_claims, world_claims
from netloom.plugins.contract import CONTRACT_VERSION, PoolStatus
from netloom.plugins.manager import PluginManager

FIRST_SYNC_S = 10.0
"""How long start waits for the store's first answer before it goes on and says so."""


class Agent:
    """One node's agent. ``run`` is its whole life."""

    node: Node
    mtu_bytes: int
    endpoints: EndpointManager
    detachments: Detachments
    prefilter: Prefilter
    monitor: Monitor

    def __init__(self, loaded: Loaded, plugins: PluginManager, started: HeadStart) -> None:
        self.loaded = loaded
        self._settings = loaded.settings
        self.plugins = plugins
        self._active = started.active
        self._compiling = started.compiling
        self._controllers = Controllers()
        self._log = structlog.get_logger()
        self._started_at = time.time()
        self._ready = False
        self._pools: tuple[PoolStatus, ...] = ()
        self.repairs = RepairJournal()

    async def run(self, stop: asyncio.Event) -> None:
        """Start, serve until ``stop`` is set, and shut down. Raises NetloomError when it cannot start."""
        async with AsyncExitStack() as stack:
            await self._start(stack)
            # What there is now stays: without it a full collection takes a millisecond, with it tens.
            gc.collect()
            gc.freeze()
            gc.enable()
            self._log.info("agent.ready", node=self.node.name, seconds=round(time.time() - self._started_at, 3))
            await stop.wait()
            self._log.info("agent.stopping", node=self.node.name)
            self._ready = False

    async def _start(self, stack: AsyncExitStack) -> None:
        paths, name = self._settings.paths, self._settings.node.name
        group = group_id(self._settings.api.group)
        run_dir, state_dir = paths.run_dir / name, paths.state_dir / name
        features.mount_bpffs(paths.bpf_dir)
        features.probe()
        self._kernel = KernelThread()
        stack.callback(self._kernel.close)
        self._identities = Identities(self._active.store)
        self.datapath = Datapath(self._datapath_plan(), self._kernel)
        stack.push_async_callback(self.datapath.close)
        await self.datapath.prepare()
        self.node, self.mtu_bytes = self.datapath.node, self.datapath.mtu_bytes
        self.tables = Tables(self.datapath.drivers())
        await self._active.store.open()
        stack.push_async_callback(self._active.store.close)
        socket = run_dir / "netloom.sock"
        self._build(state_dir, socket)
        stack.callback(self.policies.close)
        stack.callback(self.routing.close)
        self._watch = Watch(self._upkeep.known, self._check)
        stack.callback(self._watch.close)
        stack.push_async_callback(self.proxy.stop)
        stack.push_async_callback(self.walker.close)
        stack.push_async_callback(self.endpoints.finish)
        stack.push_async_callback(self._controllers.stop)
        await self._bring_up(stack)
        self._api = Api(self)
        await self._api.start(socket, group)
        stack.push_async_callback(self._api.stop)

    def _datapath_plan(self) -> DatapathPlan:
        settings, active = self._settings, self._active
        return DatapathPlan(
            settings=settings,
            mode=active.mode,
            prefixes=active.ipam.prefixes,
            gateways=active.ipam.gateways,
            programs=active.programs,
            compiling=self._compiling,
        )

    def _build(self, state_dir: Path, socket: Path) -> None:
        self.proxy = proxy_of(self.loaded, self.plugins, lambda access: self.monitor.hear(access))  # noqa: PLW0108
        self.policies = self._policies()
        self.connections = Connections(self.datapath.maps, lambda: self._controllers.succeeded("connections"))
        self.cluster = self._cluster()
        directory = state_dir / "endpoints"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.endpoints = EndpointManager(
            Parts(
                directory=directory,
                ipam=self._active.ipam,
                datapath=self.datapath,
                tables=self.tables,
                cluster=self.cluster,
                identities=self._identities,
                policies=self.policies,
                plugins=self.plugins,
            )
        )
        self.detachments = Detachments(socket, self.endpoints)
        self.prefilter = prefilter_of(self.datapath, self._kernel, self._settings, self._all_nodes)
        witness = witness_of(self.policies.repository, self._resident_at, self._settings.policy)
        self.monitor = observe.monitor_of(self.datapath, witness, self.plugins, self._settings.observe.flows)
        self.walker = walker_of(self)
        self.routing = Routing(self._active.routers, lambda: self.datapath.node, unheard=self._active.unheard)
        self._upkeep = Upkeep(
            datapath=self.datapath,
            tables=self.tables,
            cluster=self.cluster,
            endpoints=self.endpoints,
            policies=self.policies,
            routing=self.routing,
            prefilter=self.prefilter,
            journal=self.repairs,
        )

    def _policies(self) -> Policies:
        tables = PolicyTables(self.datapath.maps, self._settings.maps.policy_entries)
        tables.restore()
        requests = Requests(protocols=self._active.protocols, tell=self.proxy.tell)
        bump_epoch = self.datapath.bump_policy_epoch
        return Policies(self._active.store, tables, self._settings.policy, bump_epoch, requests)

    def _cluster(self) -> Cluster:
        local = Local(node=self.node, mode=self._active.mode, mtu_bytes=self.mtu_bytes)
        return Cluster(self._active.store, local, self.tables, self._identities, self.policies.hear_address)

    def _resident_at(self, address: bytes) -> Resident | None:
        return self.endpoints.residents.at(address) or self.cluster.residents.at(address)

    async def _bring_up(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self.prefilter.close)
        await self.prefilter.restore()
        self.tables.claim("world", world_claims())
        self.tables.claim("native-cidrs", native_cidr_claims(self._active.mode.native_cidrs))
        self._upkeep.claim_node()
        await self.endpoints.restore()
        try:
            await self.cluster.refuse_overlap()
        except StoreError as error:
            self._log.warning("store.away", error=str(error))
        await self.cluster.announce_node()
        self._controllers.forever("cluster", self._follow_cluster)
        for loop, work in self.routing.loops():
            self._controllers.forever(loop, work)
        try:
            await asyncio.wait_for(self.cluster.in_sync.wait(), FIRST_SYNC_S)
        except TimeoutError:
            self._log.warning("store.late", hint="serving what is there; nothing is changed before the store answers")
        else:
            await self._resync()
        self.monitor.start()
        stack.callback(self.monitor.stop)
        self._controllers.every("publish", self._settings.resync_interval_s, self._publish)
        self._controllers.every("resync", self._settings.resync_interval_s, self._resync)
        self._controllers.forever("watch", self._watch.run)
        await self._finish_detachments()
        self._controllers.every("detachments", self._settings.resync_interval_s, self._finish_detachments)
        self._controllers.every("plugin-flows", BATCH_INTERVAL_S, self.monitor.feed_plugins)
        self._controllers.forever("connections", self.connections.run)
        self._controllers.every("losses", LOSS_INTERVAL_S, self.monitor.note_losses)

    async def _follow_cluster(self) -> None:
        first = True
        async for events in self._active.store.watch(""):
            changes = self.cluster.take(events, first=first)
            self.policies.take(events, first=first)
            first = False
            self.cluster.in_sync.set()
            self._controllers.succeeded("cluster")
            if self._ready:
                # A peer's identity means something in policies before its address leads to it.
                await self._apply(self.policies.write)
                # Masquerading depends on nodes alone: a pod somewhere in the cluster must not cost a run of nft.
                await self._apply(self._upkeep.follow if changes else self.tables.apply)
                if self.cluster.robbed:
                    await self._publish()
            for change in changes:
                await self.plugins.notify("netloom_node_changed", change)

    async def _apply(self, write: Callable[[], Awaitable[None]]) -> None:
        """What cannot be written now is tried again at the next resync: the watch goes on."""
        try:
            await write()
        except NetloomError as error:
            self._log.error("cluster.change_not_applied", error=str(error))

    async def _check(self, notice: Notice) -> None:
        await self._upkeep.check(notice)
        self._controllers.succeeded("watch")

    async def _resync(self) -> None:
        await self._upkeep.resync()
        if not self._ready:
            await self._upkeep.use_all_modes()
            await self.datapath.raise_mtu(self.endpoints.ready())
            await self.datapath.retire_others()
            await self.endpoints.announce_restored()
            await self.proxy.start()
            self._ready = True

    async def _finish_detachments(self) -> None:
        """Not before the tables may be written; then before anybody may ask for an attachment."""
        if self._ready:
            await self.detachments.finish_all()

    async def _publish(self) -> None:
        await self.endpoints.confirm_identities()
        await self.cluster.republish()

    @property
    def is_ready(self) -> bool:
        """Whether endpoints may be changed."""
        return self._ready

    def _all_nodes(self) -> tuple[Node, ...]:
        return (self.node, *(known.node for known in self.cluster.nodes().values()))

    def require_ready(self) -> None:
        """Raises Unavailable while the agent starts or stops."""
        if not self._ready:
            raise Unavailable("the agent is starting or stopping; try again")

    async def forget_node(self, name: str) -> bool:
        """Remove a node that is gone for good from the cluster."""
        return await self.cluster.forget_node(name)

    def _store_view(self) -> views.Json:
        error = self.store_error()
        return {"plugin": self._settings.store, "state": "failing" if error else "ok", "error": error}

    async def status(self) -> views.Json:
        """``/v1/status``."""
        await self.refresh_pools()
        controllers = [views.controller_view(state) for state in self._controllers.states()]
        unwritten = {name: state.unwritten for name, state in self.tables.states().items() if state.unwritten}
        missing, policy = self._upkeep.missing, policy_views.status_view(self.policies)
        proxy = self.proxy.summary()
        failing = bool(self.prefilter.problem or proxy["problems"]) or any(
            each["state"] == "failing" for each in controllers
        )
        return {
            "node": self.node.name,
            "version": __version__,
            "state": ("degraded" if failing or unwritten or missing or policy["closed"] else "ok")
            if self._ready
            else "starting",
            "started_at": views.instant(self._started_at),
            "uptime_s": round(time.time() - self._started_at, 1),
            "pid": os.getpid(),
            "kernel": platform.release(),
            "network_mode": self._settings.network_mode,
            "fallback_mode": self._settings.fallback_mode,
            "mtu_bytes": self.mtu_bytes,
            **observe.ways(self.datapath),
            "masquerade": self._settings.masquerade,
            "prefilter": self.prefilter.summary(),
            "proxy": proxy,
            "ipam": views.plain(self._pools),
            "ipam_plugin": self._settings.ipam,
            "store": self._store_view(),
            **views.reached(self.cluster.nodes()),
            "endpoints": len(self.endpoints.all()),
            "identities": len(self.identity_list()),
            "controllers": controllers,
            "repairs": views.repairs_view(self.repairs),
            "unwritten": unwritten,
            "missing": missing,
            "policy": policy,
            **observe.traffic(self.datapath, self.monitor, self.connections),
            "plugins": views.plugin_counts(self.plugins.records()),
        }

    def store_error(self) -> str:
        """Why the store cannot be followed now; "" when it can."""
        states = (state for state in self._controllers.states() if state.name == "cluster")
        return next((state.last_error for state in states if state.failing), "")

    async def refresh_pools(self) -> tuple[PoolStatus, ...]:
        """How full the pools are. The last answer stands while the IPAM plugin cannot give one; its record says why."""
        try:
            self._pools = await self._active.ipam.status()
        except NetloomError as error:
            self._log.warning("ipam.status_unknown", error=str(error))
        return self._pools

    def version(self) -> views.Json:
        """``/v1/version``."""
        return {"version": __version__, "kernel": platform.release(), "contract": str(CONTRACT_VERSION)}

    def identity_list(self) -> list[views.Json]:
        """``/v1/identities``, reserved ones first; refcount counts endpoint addresses known here."""
        counts = dict(self.endpoints.refcounts())
        for remote in self.cluster.addresses():
            if remote.address.version == 4 or self.node.gateway(4) is None:
                counts[remote.identity] = counts.get(remote.identity, 0) + 1
        labels = {int(item.id): item.labels for item in reserved_identities()} | dict(self._identities.known())
        return views.identities_view(labels, counts)

    def node_list(self) -> list[views.Json]:
        """``/v1/nodes``."""
        return views.nodes_view(self.node, self.cluster.nodes())

    def map_list(self) -> list[views.Json]:
        """``/v1/maps``."""
        return observe.map_list(self.datapath, self.tables.states(), self.connections.held())

    def map_dump(self, name: str) -> views.Json:
        """``/v1/maps/{name}``; raises NotFound."""
        return observe.map_dump(self.datapath, name)

    def counters(self) -> list[views.Json]:
        """``/v1/counters``."""
        return views.counters_view(observe.counters(self.datapath))

    def metrics_snapshot(self) -> views.Json:
        """Everything the metrics are made of."""
        return {
            "counters": self.counters(),
            "maps": self.map_list(),
            "controllers": [views.controller_view(state) for state in self._controllers.states()],
            "endpoints": len(self.endpoints.all()),
            "repairs": dict(self.repairs.counts()),
            "nodes": 1 + len(self.cluster.nodes()),
            "identities": len(self.identity_list()),
            "plugins_failed": sum(record.state == "failed" for record in self.plugins.records()),
            "monitor": observe.monitor_view(self.datapath, self.monitor),
            "verdicts": self.monitor.verdicts(),
            "proxy": self.proxy.summary(),
            "connections": observe.connections_view(self.connections),
            "policy": policy_views.status_view(self.policies) | policy_views.usage_view(self.policies),
            "ipam": views.plain(self._pools),
            "learned_routes": self.routing.learned.counts(),
        }
