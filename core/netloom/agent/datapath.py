"""The data path of this node: its devices, maps and programs, brought up and kept in place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import structlog

from netloom.agent.condition import Expectation, faults
from netloom.agent.datapath_plan import DatapathPlan
from netloom.agent.devices import PLACES_AT_ONCE, Devices, Interface, in_parts
from netloom.agent.direct import DirectWay
from netloom.agent.generation import (
    Compiled,
    Generation,
    next_directory,
    remove_others,
)
from netloom.agent.kernel import KernelThread, MapDriver, RouteDriver
from netloom.agent.node_firewall import FirewallSpec, NodeFirewall
from netloom.agent.node_maps import NodeMaps
from netloom.agent.queues import limited_interfaces, repair_queues
from netloom.agent.removals import Removals
from netloom.agent.repairs import Repair
from netloom.agent.tables import ROUTES, BatchDriver, Driver
from netloom.agent.uplinks import Uplinks
from netloom.bpf.grace import wait_for_running_programs
from netloom.bpf.maps import MapSet
from netloom.bpf.ring import EventRing
from netloom.datapath import registry
from netloom.datapath.maps import Index
from netloom.edge.filters import Way
from netloom.edge.firewall import ensure_guard
from netloom.edge.host import HOST_DEVICE, NET_DEVICE, HostSpec, memory_bytes
from netloom.edge.inspection import look_at_workload
from netloom.edge.netlink import Direction, LinkInfo, Netlink
from netloom.edge.underlay import Underlay, find_underlay
from netloom.edge.workload import Workload, WorkloadSpec, adopt_workload, create_workload, raise_mtu
from netloom.model.address import Address, Family, Network
from netloom.model.endpoint import WORKLOAD_PREFIX, Attachment, Endpoint
from netloom.model.node import Node
from netloom.plan.claims import NO_ADDRESS, HostDevice
from netloom.plan.room import map_sizes
from netloom.plan.shaping import queue_of
from netloom.plugins.contract import AttachPoint

EPOCHS = 1 << 32
TABLES = (registry.PEERS, registry.ENDPOINTS, registry.POLICERS, registry.DEVICES, registry.IPCACHE, registry.TUNNELS)
"""Maps that claims fill, in the order of writing: a workload may send (DEVICES) once it can be answered (ENDPOINTS) and
its limit is known (POLICERS)."""


class Datapath:
    """Built by :meth:`prepare`; everything it made in the kernel outlives it."""

    node: Node
    mtu_bytes: int

    def __init__(self, plan: DatapathPlan, kernel: KernelThread) -> None:
        self._plan = plan
        self._kernel = kernel
        self._log = structlog.get_logger()
        self._trace = registry.TraceFlag(0)
        self._policy_epoch = 0
        self._directory = plan.settings.paths.bpf_dir / plan.settings.node.name

    async def prepare(self) -> None:
        """Devices, maps and programs, none of which is at work yet: what an earlier run attached goes on meanwhile.

        A device without any program gets this run's at once; it is closed until the tables are written.
        """
        try:
            self._removals = Removals(self._plan.settings.node.name)
            await self._kernel.run(self._prepare_host)
            self._maps = NodeMaps(
                self._directory / "maps", self._plan.programs, map_sizes(self._plan.settings.maps, memory_bytes())
            )
            self._policy_epoch = (self._epoch_before() + 1) % EPOCHS
            self._write_node_config()
        finally:
            compiled = await self._plan.compiling
        compiled = self._placed(compiled)
        self._generation = Generation(next_directory(self._directory / "generations"), compiled, self._maps.all)
        await self._kernel.run(self._attach_where_none_is)

    async def retire_others(self) -> None:
        """Take earlier programs off devices where none belongs, remove earlier modes' devices, unpin the rest.

        Call once no device has one of those programs any more: their tail calls end with the pins, so a packet that
        is between two of their stages still gets its time.
        """
        await self._kernel.run(self._remove_unwanted)
        await asyncio.to_thread(wait_for_running_programs)
        remove_others(self._generation.directory.parent, self._generation.directory)
        self._maps.remove_other_versions()

    async def close(self) -> None:
        """Let go of descriptors; the data path goes on."""
        if hasattr(self, "_generation"):
            self._generation.close()
        if hasattr(self, "_maps"):
            self._maps.close()
        if hasattr(self, "_removals"):
            await self._removals.close()
        if hasattr(self, "_netlink"):
            await self._kernel.run(self._netlink.close)

    def drivers(self) -> Mapping[str, Driver[Any, Any] | BatchDriver]:
        """Drivers of all tables, in the order in which they are written."""
        maps = {spec.name: MapDriver(self._maps.all.of(spec)) for spec in TABLES}
        return {**maps, ROUTES: RouteDriver(self._kernel, self._netlink)}

    @property
    def maps(self) -> MapSet:
        """The maps that outlive generations, plugins' among them."""
        return self._maps.all

    @property
    def generation(self) -> Generation:
        """The programs at work."""
        return self._generation

    @property
    def direct_obstacle(self) -> str:
        """Why tunnel packets go by the tunnel device, in words that end a sentence; "" when they pass it by."""
        return self._direct.obstacle

    @property
    def plan(self) -> DatapathPlan:
        """What it was built from."""
        return self._plan

    @property
    def attached_by(self) -> tuple[Way, Way]:
        """How programs hang on the node's own devices, and on workloads' interfaces."""
        return self._netlink.filters.way, self._netlink.filters.way_of_workloads

    @property
    def underlay(self) -> Underlay:
        """Device and addresses by which other nodes reach this one."""
        return self._underlay

    @property
    def host(self) -> HostDevice:
        """loom_host, which is another device after a stranger deleted it."""
        link = self._devices.links.host
        return HostDevice(name=link.name, ifindex=link.ifindex, mac=link.mac)

    @property
    def host_addresses(self) -> tuple[Address, ...]:
        """This node's own addresses besides the gateways."""
        return self._underlay.addresses

    def pin_of(self, name: str) -> Path:
        """Where a map is pinned."""
        return self._maps.pin_of(name)

    def event_ring(self) -> EventRing:
        """A reader of the events; the caller closes it."""
        return EventRing(self._maps.all.of(registry.EVENTS))

    def set_trace(self, wanted: registry.TraceFlag) -> None:
        """Have programs report every packet, or every verdict, or both; otherwise drops and some of the verdicts."""
        self._trace = wanted
        self._write_node_config()

    def bump_policy_epoch(self) -> None:
        """Have programs ask policies again about every connection, once."""
        self._policy_epoch = (self._policy_epoch + 1) % EPOCHS
        self._write_node_config()

    async def create_workload(self, endpoint: Endpoint) -> Workload:
        """Make a workload's interface, its program attached before it is up. Raises NetloomError, leaving nothing."""
        return await self._kernel.run(create_workload, self._netlink, self._workload_spec(endpoint))

    async def delete_workload(self, attachment: Attachment, ifindex: int = 0) -> None:
        """Remove a workload's interface; everything may be missing. ``ifindex``: of its host side, 0 if unknown."""
        await self._removals.remove(attachment.host_ifname, ifindex)

    async def adopt_workload(self, endpoint: Endpoint) -> LinkInfo:
        """Take up an interface an earlier run made, with the program it has. Raises NotFound when it has gone."""
        return await self._kernel.run(adopt_workload, self._netlink, self._workload_spec(endpoint))

    async def raise_mtu(self, endpoints: Iterable[Endpoint]) -> None:
        """Give interfaces of an earlier run this run's MTU if that is larger; call it once the programs are at work."""
        if self._earlier_mtu_bytes < self.mtu_bytes:
            for endpoint in endpoints:
                await self._kernel.run(raise_mtu, self._workload_spec(endpoint), self._earlier_mtu_bytes)

    async def condition_of(self, endpoint: Endpoint, netns: str, addresses: Iterable[Address]) -> tuple[str, ...]:
        """In what an interface is not as it was made, sentences; ``netns``: a path of the container's namespace.

        ``addresses``: what it must have. Raises NotFound when the namespace does not exist, Invalid when it is none.
        """
        names = (endpoint.attachment.host_ifname, endpoint.attachment.ifname)
        limit = endpoint.bandwidth.ingress
        found = await self._kernel.run(look_at_workload, self._netlink, *names, netns)
        expected = Expectation(
            program_id=self._generation.workload_program.id,
            addresses=frozenset(addresses),
            gateways=self._plan.gateways,
            mtu_bytes=self.mtu_bytes,
            ingress=queue_of(limit, self.mtu_bytes) if limit else None,
        )
        return faults(endpoint, expected, found)

    async def delete_other_workloads(self, endpoints: Iterable[Endpoint]) -> None:
        """Remove interfaces of ours that belong to no endpoint."""
        await self._kernel.run(self._delete_other_workloads, {item.attachment.host_ifname for item in endpoints})

    async def ensure_firewall(self, others: Iterable[Network]) -> list[Repair]:
        """The guard, and masquerading if that is wanted; returns what changed.

        ``others``: prefixes besides this node's to which pods go with their own addresses.
        """
        return await self._kernel.run(self._firewall.ensure, tuple(others))

    async def repair_host(self) -> list[Repair]:
        """Put back the node's devices, addresses and settings that a stranger changed; returns what that was."""
        repairs = await self._kernel.run(self._devices.repair_host)
        moved = await self._kernel.run(self._uplinks.look_again)
        if await self._kernel.run(self._direct.look_again):
            self._tell_way()
            moved = True
        if repairs or moved:
            self._write_node_config()
        return repairs

    async def repair_filters(self, endpoints: Iterable[Endpoint]) -> list[Repair]:
        """Every program of the node's devices and of these endpoints in its place; returns what was put right."""
        program = self._generation.workload_program
        interfaces = {AttachPoint(each.attachment.host_ifname, "ingress"): program for each in endpoints}
        wanted = self._generation.filters() | interfaces
        found = [await self._kernel.run(self._devices.repair_filters, part) for part in in_parts(wanted)]
        return [repair for part in found for repair in part]

    async def repair_interfaces(self, endpoints: Iterable[Endpoint]) -> tuple[list[Repair], frozenset[str]]:
        """Interfaces of endpoints: what was put right, and the names of those that are gone."""
        wanted = [Interface(name=each.attachment.host_ifname, ifindex=each.ifindex) for each in endpoints]
        return await self._kernel.run(self._devices.repair_interfaces, wanted)

    async def repair_queues(self, endpoints: Iterable[Endpoint]) -> list[Repair]:
        """Queues that limit these endpoints; returns what was put right."""
        limited = limited_interfaces(endpoints, self.mtu_bytes)
        found = [
            await self._kernel.run(repair_queues, self._netlink, limited[start : start + PLACES_AT_ONCE])
            for start in range(0, len(limited), PLACES_AT_ONCE)
        ]
        return [repair for part in found for repair in part]

    def repair_pins(self) -> list[Repair]:
        """Pins that somebody removed or replaced; returns which."""
        wrong = (*self._maps.repin(), *self._generation.repin())
        return [Repair(kind="pin", name=f"pin {path}", action="pinned") for path in wrong]

    def repair_inner_maps(self) -> list[Repair]:
        """What programs need besides the tables: the slots of the pipeline, and the facts about this node."""
        wrong = [f"{registry.CALLS.name} {slot.name}" for slot in sorted(self._generation.refill())]
        if self._maps.all.of(registry.NODE_CONFIG).get(Index(0)) != self._node_config():
            self._write_node_config()
            wrong.append(registry.NODE_CONFIG.name)
        return [Repair(kind="map entry", name=name, action="written") for name in wrong]

    def watched(self) -> frozenset[int]:
        """Indexes of the node's own devices."""
        return self._devices.watched()

    @property
    def uplinks(self) -> Uplinks:
        """The underlay's devices, as they are now."""
        return self._uplinks

    def _prepare_host(self) -> None:
        settings = self._plan.settings
        self._netlink = Netlink(settings.node.name, settings.datapath.attach)
        own = settings.node
        self._underlay = find_underlay(
            self._netlink, own.underlay_device, own.underlay_ipv4, own.underlay_ipv6, own.uplinks
        )
        self._uplinks = Uplinks(self._netlink, self._underlay)
        family: Family = 4 if self._underlay.ipv4 else 6
        self.mtu_bytes = self._plan.mode.mtu_bytes(settings.mtu_bytes or self._underlay.mtu_bytes, family)
        earlier = self._netlink.link(HOST_DEVICE)
        self._earlier_mtu_bytes = earlier.mtu_bytes if earlier else self.mtu_bytes
        ensure_guard(settings.node.name, self._plan.doors)
        self._devices = Devices(self._netlink, self._host_spec())
        self._direct = DirectWay(self._netlink, self._plan.mode.tunnel, self._underlay)
        self._tell_way()
        self._firewall = NodeFirewall(
            FirewallSpec(
                node_name=own.name,
                pod_cidrs=self._plan.prefixes,
                masquerade=settings.masquerade,
                doors=self._plan.doors,
                mode_devices=tuple(self._devices.links.devices),
            )
        )
        self.node = Node(
            name=settings.node.name,
            underlay_ipv4=self._underlay.ipv4,
            underlay_ipv6=self._underlay.ipv6,
            pod_cidrs=self._plan.prefixes,
            gateways=self._plan.gateways,
            mode=settings.network_mode,
            modes=self._plan.mode.names,
            segments=self._underlay.segments,
        )

    def _placed(self, compiled: Compiled) -> Compiled:
        """With programs of the underlay on its devices. Raises Invalid when one cannot have those it needs."""
        if not compiled.needs_underlay():
            return compiled.at_underlay((self._underlay.device,), direct=self._direct.usable)
        self._uplinks.require_ethernet()
        return compiled.at_underlay(self._underlay.names, direct=self._direct.usable)

    def _host_spec(self) -> HostSpec:
        return HostSpec(
            gateways=self._plan.gateways,
            mtu_bytes=self.mtu_bytes,
            devices=self._plan.mode.devices(),
        )

    def _workload_spec(self, endpoint: Endpoint) -> WorkloadSpec:
        program, limits = self._generation.workload_program, endpoint.bandwidth
        return WorkloadSpec(
            host_ifname=endpoint.attachment.host_ifname,
            ifname=endpoint.attachment.ifname,
            netns=endpoint.attachment.netns,
            addresses=tuple(endpoint.addresses),
            gateways=self._plan.gateways,
            mtu_bytes=self.mtu_bytes,
            program_fd=program.fd,
            program_name=program.name,
            mac=endpoint.mac if any(endpoint.mac) else None,
            ingress=queue_of(limits.ingress, self.mtu_bytes) if limits.ingress else None,
            egress=queue_of(limits.egress, self.mtu_bytes) if limits.egress else None,
        )

    def _write_node_config(self) -> None:
        self._maps.all.of(registry.NODE_CONFIG).put(Index(0), self._node_config())

    def _epoch_before(self) -> int:
        """What an earlier agent left."""
        found = self._maps.all.of(registry.NODE_CONFIG).get(Index(0))
        return found.policy_epoch if found else 0

    def _node_config(self) -> registry.NodeConfig:
        tunnel = self._plan.mode.tunnel
        device = self._devices.links.devices.get(tunnel.device) if tunnel else None
        ipv4 = next((a for a in self._plan.gateways if isinstance(a, IPv4Address)), NO_ADDRESS)
        ipv6 = next((a for a in self._plan.gateways if isinstance(a, IPv6Address)), NO_ADDRESS)
        return registry.NodeConfig(
            gateway_ipv4=ipv4,
            gateway_ipv6=ipv6,
            underlay_ipv4=self._underlay.ipv4 or NO_ADDRESS,
            host_ifindex=self.host.ifindex,
            tunnel_ifindex=device.ifindex if device else 0,
            underlay_ifindex=self._direct.ifindex,
            mtu_bytes=self.mtu_bytes,
            tunnel_mtu_bytes=self._plan.mode.tunnel_mtu_bytes,
            flags=registry.NodeFlag.MASQUERADE if self._plan.settings.masquerade else 0,
            uplinks=self._uplinks.indexes,
            trace=self._trace,
            policy_epoch=self._policy_epoch,
            policy_flags=0 if self._plan.settings.policy.cut_connections else registry.PolicyFlag.KEEP_CONNECTIONS,
            host_mac=self.host.mac,
            tunnel_port=tunnel.port if tunnel else 0,
        )

    def _attach_where_none_is(self) -> None:
        found = self._generation.filters()
        bare = {point: program for point, program in found.items() if not self._netlink.filter_of(*_place(point))}
        self._devices.repair_filters(bare)

    def _remove_unwanted(self) -> None:
        """What earlier runs left on others' devices, and the devices of a network mode this run does not have."""
        self._netlink.detach_all_filters(keep={_place(point) for point in self._generation.filters()})
        wanted = {HOST_DEVICE, NET_DEVICE, *self._devices.links.devices}
        for link in self._netlink.own_links():
            if link.name not in wanted and not link.name.startswith(WORKLOAD_PREFIX):
                self._netlink.delete_link(link.name)
                self._log.info("device.removed", device=link.name, reason="no network mode of this node has it")

    def _tell_way(self) -> None:
        if self._plan.mode.tunnel is not None:
            self._log.info("tunnel.way", direct=not self._direct.obstacle, obstacle=self._direct.obstacle)

    def _delete_other_workloads(self, keep: set[str]) -> None:
        for link in self._netlink.own_links():
            if link.name.startswith(WORKLOAD_PREFIX) and link.name not in keep:
                self._log.warning("workload.deleted", device=link.name, reason="no endpoint has it")
                self._netlink.delete_link(link.name)


def _place(point: AttachPoint) -> tuple[str, Direction]:
    return point.device, point.direction
