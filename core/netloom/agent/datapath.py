"""The data path of this node: its devices, maps and programs, brought up and kept in place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import structlog

from netloom.agent.condition import Expectation, faults
from netloom.agent.generation import (
    Compiled,
    Generation,
    compile_generation,
    next_directory,
    remove_others,
)
from netloom.agent.kernel import KernelThread, MapDriver, RouteDriver
from netloom.agent.node_maps import NodeMaps
from netloom.agent.removals import Removals
from netloom.agent.tables import Driver
from netloom.bpf.compiler import Compiler
from netloom.bpf.maps import MapSet
from netloom.bpf.programs import LoadedProgram
from netloom.bpf.ring import EventRing
from netloom.config.settings import Settings
from netloom.datapath import registry
from netloom.datapath.maps import Index
from netloom.edge.firewall import MasqueradeSpec, ensure_masquerade, remove_masquerade
from netloom.edge.host import HostLinks, HostSpec, prepare_host
from netloom.edge.inspection import look_at_workload
from netloom.edge.netlink import Direction, LinkInfo, Netlink
from netloom.edge.underlay import Underlay, find_underlay
from netloom.edge.workload import Workload, WorkloadSpec, adopt_workload, create_workload
from netloom.model.address import Address, Family, Network
from netloom.model.endpoint import Attachment, Endpoint
from netloom.model.errors import NotFound
from netloom.model.node import Node
from netloom.plan.claims import NO_ADDRESS, HostDevice
from netloom.plugins.contract import NetworkMode
from netloom.plugins.manager import OwnedProgram

WORKLOAD_PREFIX = "lxc"
TABLES = (registry.PEERS, registry.ENDPOINTS, registry.DEVICES, registry.IPCACHE, registry.TUNNELS)
"""Maps that claims fill, in the order of writing: a workload may send (DEVICES) once it can be answered (ENDPOINTS)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathPlan:
    """What is to be built."""

    settings: Settings
    mode: NetworkMode
    prefixes: tuple[Network, ...]
    gateways: tuple[Address, ...]
    programs: tuple[OwnedProgram, ...]


class Datapath:
    """Built by :meth:`prepare`; everything it made in the kernel outlives it."""

    node: Node
    mtu_bytes: int
    host: HostDevice

    def __init__(self, plan: DatapathPlan, kernel: KernelThread) -> None:
        self._plan = plan
        self._kernel = kernel
        self._log = structlog.get_logger()
        self._trace = False
        self._directory = plan.settings.paths.bpf_dir / plan.settings.node.name

    async def prepare(self) -> None:
        """Devices, maps, programs, filters: idempotent, and closed towards workloads until tables are written."""
        compiling = asyncio.create_task(asyncio.to_thread(self._compile))
        try:
            self._removals = Removals(self._plan.settings.node.name)
            await self._kernel.run(self._prepare_host)
            self._maps = NodeMaps(self._directory / "maps", self._plan.programs)
            self._write_node_config()
        finally:
            compiled = await compiling
        self._generation = Generation(next_directory(self._directory / "generations"), compiled, self._maps.all)
        await self._kernel.run(self._attach)

    def retire_other_generations(self) -> None:
        """Unpin earlier programs. Call once no device has one of them any more: their tail calls end with the pins."""
        remove_others(self._generation.directory.parent, self._generation.directory)

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

    def drivers(self) -> Mapping[str, Driver[Any, Any]]:
        """Drivers of all tables, in the order in which they are written."""
        maps = {spec.name: MapDriver(self._maps.all.of(spec)) for spec in TABLES}
        return {**maps, "routes": RouteDriver(self._kernel, self._netlink)}

    @property
    def maps(self) -> MapSet:
        """The maps that outlive generations, plugins' among them."""
        return self._maps.all

    @property
    def generation(self) -> Generation:
        """The programs at work."""
        return self._generation

    @property
    def underlay(self) -> Underlay:
        """Device and addresses by which other nodes reach this one."""
        return self._underlay

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

    def set_trace(self, wanted: bool) -> None:
        """Have programs report every packet, or drops alone."""
        self._trace = wanted
        self._write_node_config()

    async def create_workload(self, endpoint: Endpoint) -> Workload:
        """Make a workload's interface, its program attached before it is up. Raises NetloomError, leaving nothing."""
        return await self._kernel.run(create_workload, self._netlink, self._workload_spec(endpoint))

    async def delete_workload(self, attachment: Attachment, ifindex: int = 0) -> None:
        """Remove a workload's interface; everything may be missing. ``ifindex``: of its host side, 0 if unknown."""
        await self._removals.remove(attachment.host_ifname, ifindex)

    async def adopt_workload(self, endpoint: Endpoint) -> LinkInfo:
        """Take up an interface an earlier run made, with this run's program on it. Raises NotFound when it has gone."""
        return await self._kernel.run(adopt_workload, self._netlink, self._workload_spec(endpoint))

    async def condition_of(self, endpoint: Endpoint, netns: str, addresses: Iterable[Address]) -> tuple[str, ...]:
        """In what an interface is not as it was made, sentences; ``netns``: a path of the container's namespace.

        ``addresses``: what it must have. Raises NotFound when the namespace does not exist, Invalid when it is none.
        """
        names = (endpoint.attachment.host_ifname, endpoint.attachment.ifname)
        found = await self._kernel.run(look_at_workload, self._netlink, *names, netns)
        expected = Expectation(
            program_id=self._generation.workload_program.id,
            addresses=frozenset(addresses),
            gateways=self._plan.gateways,
            mtu_bytes=self.mtu_bytes,
        )
        return faults(endpoint, expected, found)

    async def delete_other_workloads(self, endpoints: Iterable[Endpoint]) -> None:
        """Remove interfaces of ours that belong to no endpoint."""
        await self._kernel.run(self._delete_other_workloads, {item.attachment.host_ifname for item in endpoints})

    async def ensure_masquerade(self, others: Iterable[Network]) -> None:
        """Masquerade what pods send out of the cluster, or see that nothing is; ``others``: other nodes' prefixes."""
        await self._kernel.run(self._masquerade, tuple(others))

    async def repair(self, endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
        """Put back devices and filters that a stranger changed; returns what that was."""
        return await self._kernel.run(self._repair, tuple(endpoints))

    def _compile(self) -> Compiled:
        return compile_generation(Compiler(self._plan.settings.paths.cache_dir), self._plan.programs)

    def _prepare_host(self) -> None:
        settings = self._plan.settings
        self._netlink = Netlink(settings.node.name)
        self._underlay = find_underlay(
            self._netlink, settings.node.underlay_device, settings.node.underlay_ipv4, settings.node.underlay_ipv6
        )
        family: Family = 4 if self._underlay.ipv4 else 6
        self.mtu_bytes = self._plan.mode.mtu_bytes(settings.mtu_bytes or self._underlay.mtu_bytes, family)
        self._take_links(prepare_host(self._netlink, self._host_spec()))
        self.node = Node(
            name=settings.node.name,
            underlay_ipv4=self._underlay.ipv4,
            underlay_ipv6=self._underlay.ipv6,
            pod_cidrs=self._plan.prefixes,
            gateways=self._plan.gateways,
            mode=settings.network_mode,
        )

    def _take_links(self, links: HostLinks) -> None:
        self._links = links
        self.host = HostDevice(name=links.host.name, ifindex=links.host.ifindex, mac=links.host.mac)

    def _host_spec(self) -> HostSpec:
        return HostSpec(
            gateways=self._plan.gateways,
            mtu_bytes=self.mtu_bytes,
            devices=self._plan.mode.devices(),
        )

    def _workload_spec(self, endpoint: Endpoint) -> WorkloadSpec:
        program = self._generation.workload_program
        return WorkloadSpec(
            host_ifname=endpoint.attachment.host_ifname,
            ifname=endpoint.attachment.ifname,
            netns=endpoint.attachment.netns,
            addresses=tuple(endpoint.addresses),
            gateways=self._plan.gateways,
            mtu_bytes=self.mtu_bytes,
            program_fd=program.fd,
            program_name=program.name,
        )

    def _write_node_config(self) -> None:
        tunnel = self._plan.mode.tunnel
        device = self._links.devices.get(tunnel.device) if tunnel else None
        ipv4 = next((a for a in self._plan.gateways if isinstance(a, IPv4Address)), NO_ADDRESS)
        ipv6 = next((a for a in self._plan.gateways if isinstance(a, IPv6Address)), NO_ADDRESS)
        config = registry.NodeConfig(
            gateway_ipv4=ipv4,
            gateway_ipv6=ipv6,
            host_ifindex=self.host.ifindex,
            tunnel_ifindex=device.ifindex if device else 0,
            mtu_bytes=self.mtu_bytes,
            trace=int(self._trace),
            host_mac=self.host.mac,
            tunnel_port=tunnel.port if tunnel else 0,
        )
        self._maps.all.of(registry.NODE_CONFIG).put(Index(0), config)

    def _attach(self) -> None:
        for point, program in self._generation.filters().items():
            self._netlink.attach_filter(point.device, point.direction, program.fd, program.name)

    def _delete_other_workloads(self, keep: set[str]) -> None:
        for link in self._netlink.own_links():
            if link.name.startswith(WORKLOAD_PREFIX) and link.name not in keep:
                self._log.warning("workload.deleted", device=link.name, reason="no endpoint has it")
                self._netlink.delete_link(link.name)

    def _masquerade(self, others: tuple[Network, ...]) -> None:
        name = self._plan.settings.node.name
        if not self._plan.settings.masquerade:
            remove_masquerade(name)
            return
        devices = (self._links.host.name, f"{WORKLOAD_PREFIX}*", *self._links.devices)
        ensure_masquerade(
            MasqueradeSpec(
                node_name=name,
                pod_cidrs=self._plan.prefixes,
                cluster_cidrs=(*self._plan.prefixes, *others),
                devices=devices,
            )
        )

    def _repair(self, endpoints: tuple[Endpoint, ...]) -> tuple[str, ...]:
        found = []
        links = prepare_host(self._netlink, self._host_spec())
        if links != self._links:
            changed = {links.host.name: links.host, **links.devices}
            known = {self._links.host.name: self._links.host, **self._links.devices}
            found += [f"device {name}" for name, link in changed.items() if known.get(name) != link]
            self._take_links(links)
            self._write_node_config()
        wanted = {(p.device, p.direction): program for p, program in self._generation.filters().items()}
        wanted |= {(e.attachment.host_ifname, "ingress"): self._generation.workload_program for e in endpoints}
        for (device, direction), program in wanted.items():
            if self._is_attached(device, direction, program):
                continue
            try:
                self._netlink.attach_filter(device, direction, program.fd, program.name)
            except NotFound:
                self._log.error("workload.device_missing", device=device, hint="the container lost its interface")
                continue
            found.append(f"filter {direction} of {device}")
        return tuple(found)

    def _is_attached(self, device: str, direction: Direction, program: LoadedProgram) -> bool:
        present = self._netlink.filter_of(device, direction)
        return present is not None and present.program_id == program.id
