"""Endpoints of this node: attached and detached on request, kept across restarts.

An endpoint's interface is useless until its address stands in the ``endpoints`` map: the program on it drops
what comes from an address that is not there. That entry is written last on ADD, after what policies say of the
endpoint, and removed first on DEL, so a half-made endpoint is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from netloom.agent.cluster import Cluster
from netloom.agent.datapath import Datapath
from netloom.agent.endpoint_changes import EndpointPatch, labels_after, ports_after
from netloom.agent.identities import Identities
from netloom.agent.policies import Policies
from netloom.agent.records import decode_endpoint, encode_endpoint
from netloom.agent.residents import Resident, Residents
from netloom.agent.tables import Tables
from netloom.agent.undo import Undo
from netloom.edge.files import read_bytes, remove_file, remove_unfinished, write_atomic
from netloom.model.address import Address
from netloom.model.bandwidth import UNLIMITED, Bandwidth
from netloom.model.endpoint import MAX_ENDPOINT_ID, Attachment, Endpoint, EndpointId, EndpointState, IfIndex
from netloom.model.errors import Conflict, Exhausted, Invalid, NetloomError, NotFound
from netloom.model.identity import Identity, IdentityId, Reserved
from netloom.model.labels import Labels
from netloom.model.ports import NamedPort
from netloom.model.visibility import Visibility
from netloom.plan.claims import endpoint_claims
from netloom.plugins.contract import AddressRequest, Allocation, EndpointReady, EndpointRemoved, Ipam
from netloom.plugins.manager import PluginManager


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """What a runtime asks for."""

    attachment: Attachment
    labels: Labels
    pod_name: str = ""
    pod_namespace: str = ""
    pod_uid: str = ""
    network: str = ""
    bandwidth: Bandwidth = UNLIMITED
    addresses: tuple[Address, ...] = ()
    """Those it must get, at most one of each IP version; of other versions it gets any."""
    mac: bytes | None = None
    """The one its interface must get, 6 bytes."""
    ports: tuple[NamedPort, ...] = ()
    visibility: tuple[Visibility, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the manager works with."""

    directory: Path
    ipam: Ipam
    datapath: Datapath
    tables: Tables
    cluster: Cluster
    identities: Identities
    policies: Policies
    plugins: PluginManager


class EndpointManager:
    """The node's endpoints. Requests for one attachment follow each other; different ones run side by side."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._by_key: dict[str, Endpoint] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._ids: set[int] = set()
        self._last_id = 0
        self.residents = Residents()
        """Pods of this node."""
        self._announcing: dict[str, asyncio.Task[None]] = {}
        self._log = structlog.get_logger()

    def all(self) -> tuple[Endpoint, ...]:
        """Every endpoint, by number."""
        return tuple(sorted(self._by_key.values(), key=lambda endpoint: endpoint.id))

    def ready(self) -> tuple[Endpoint, ...]:
        """Those that carry traffic, by number."""
        return tuple(endpoint for endpoint in self.all() if endpoint.state is EndpointState.READY)

    def get(self, number: int) -> Endpoint:
        """Raises NotFound."""
        for endpoint in self._by_key.values():
            if endpoint.id == number:
                return endpoint
        raise NotFound(f"endpoint {number} does not exist on this node; see `netctl endpoint list`")

    async def attach(self, request: AttachRequest) -> Endpoint:
        """Make an endpoint that carries traffic; raises a NetloomError and leaves nothing behind when it cannot."""
        key = request.attachment.key
        async with self._lock(key):
            if key in self._by_key:
                raise Conflict(f"container {key} is attached already; detach it first")
            endpoint = await self._make(request)
        await self._parts.plugins.notify("netloom_endpoint_ready", EndpointReady(endpoint=endpoint))
        self._log.info("endpoint.ready", endpoint=endpoint.id, container=key, identity=endpoint.identity)
        return endpoint

    async def detach(self, attachment: Attachment) -> bool:
        """Undo an attachment, wholly or partly there; says whether there was an endpoint. Never fails for absence."""
        key = attachment.key
        async with self._lock(key):
            endpoint = self._by_key.get(key)
            if endpoint is None:
                await self._parts.datapath.delete_workload(attachment)
                await self._parts.ipam.release(key)
            else:
                await self._remove(endpoint)
        if endpoint is not None:
            await self._parts.plugins.notify("netloom_endpoint_removed", EndpointRemoved(endpoint=endpoint))
            self._log.info("endpoint.removed", endpoint=endpoint.id, container=key)
        return endpoint is not None

    def of_attachment(self, key: str) -> Endpoint:
        """The endpoint of an attachment. Raises NotFound."""
        endpoint = self._by_key.get(key)
        if endpoint is None:
            raise NotFound(f"container {key} has no endpoint on this node")
        return endpoint

    def of_network(self, network: str) -> tuple[Endpoint, ...]:
        """Those that a runtime's network attached, by number."""
        return tuple(endpoint for endpoint in self.all() if endpoint.network == network)

    async def change(self, number: int, patch: EndpointPatch) -> Endpoint:
        """Give an endpoint other labels, other named ports, or both.

        Its policies change with it in one step. Raises NotFound, Invalid, Conflict while it is not ready, or what
        making an identity raises; the endpoint then stays as it was.
        """
        async with self._lock(self.get(number).attachment.key):
            endpoint = self.get(number)
            if endpoint.state is not EndpointState.READY:
                raise Conflict(f"endpoint {number} is {endpoint.state}: only one that is ready can be changed")
            ports = ports_after(endpoint, patch)
            identity = await self._parts.identities.identity_of(labels_after(endpoint, patch))
            changed = replace(endpoint, labels=identity.labels, identity=identity.id, ports=tuple(sorted(set(ports))))
            if changed != endpoint:
                await self._become(changed)
        self._log.info("endpoint.changed", endpoint=number, identity=changed.identity)
        return changed

    async def restore(self) -> None:
        """Take up the endpoints an earlier run left; clean up those that were never finished or have gone."""
        remove_unfinished(self._parts.directory)
        for path in sorted(self._parts.directory.glob("*.json")):
            try:
                endpoint = decode_endpoint(read_bytes(path), f'endpoint file "{path}"')
            except Invalid as error:
                aside = path.with_suffix(".unreadable")
                path.rename(aside)
                self._log.error("endpoint.file_set_aside", error=str(error), file=str(aside))
                continue
            await self._restore_one(endpoint)
        await self._parts.datapath.delete_other_workloads(self.all())

    async def announce_restored(self) -> None:
        """Publish the restored endpoints again, and tell the plugins of them."""
        for endpoint in self.ready():
            self._announce(endpoint)
            await self._parts.plugins.notify("netloom_endpoint_ready", EndpointReady(endpoint=endpoint))

    async def confirm_identities(self) -> None:
        """See that every identity in use here is in the store; an endpoint follows when its number had to change."""
        for endpoint in self.ready():
            identity = await self._parts.identities.confirm(Identity(endpoint.identity, endpoint.labels))
            if identity.id != endpoint.identity and endpoint in self._by_key.values():
                self._log.warning("endpoint.identity_changed", endpoint=endpoint.id, identity=identity.id)
                await self._become(replace(endpoint, identity=identity.id))

    async def _become(self, changed: Endpoint) -> None:
        """Let an endpoint have another identity: closed to nobody who may reach either, at no moment open to others."""
        self._parts.policies.use(changed)
        self._keep(changed)
        self._save(changed)
        await self._parts.tables.apply(_owner(changed))
        self._parts.policies.leave(changed, but=changed.identity)
        self._announce(changed)

    async def _leave(self, endpoint: Endpoint) -> None:
        self._parts.policies.leave(endpoint)

    async def _restore_one(self, endpoint: Endpoint) -> None:
        self._ids.add(endpoint.id)
        try:
            if endpoint.state is not EndpointState.READY:
                raise NotFound("it was not finished")
            link = await self._parts.datapath.adopt_workload(endpoint)
            await self._parts.ipam.restore(_allocation(endpoint))
        except NetloomError as error:
            self._log.warning("endpoint.not_restored", container=endpoint.attachment.key, reason=str(error))
            await self._try_to_remove(endpoint)
            return
        self._parts.policies.use(endpoint)
        self._keep(replace(endpoint, ifindex=IfIndex(link.ifindex), node_mac=link.mac))

    async def _make(self, request: AttachRequest) -> Endpoint:
        parts, key = self._parts, request.attachment.key
        async with Undo() as undo:
            allocation = await parts.ipam.allocate(_address_request(request))
            undo.add("release addresses", partial(parts.ipam.release, key))
            identity = await parts.identities.identity_of(request.labels)
            endpoint = _draft(request, allocation, self._take_id())
            undo.add("free endpoint id", partial(self._free_id, endpoint.id))
            self._save(endpoint)
            undo.add("remove file", partial(self._unsave, endpoint))
            workload = await parts.datapath.create_workload(endpoint)
            undo.add(
                "delete interface",
                partial(parts.datapath.delete_workload, request.attachment, IfIndex(workload.ifindex)),
            )
            endpoint = replace(
                endpoint,
                ifindex=IfIndex(workload.ifindex),
                mac=workload.mac,
                node_mac=workload.host_mac,
                identity=identity.id,
                labels=identity.labels,
                state=EndpointState.READY,
            )
            undo.add("forget policies", partial(self._leave, endpoint))
            parts.policies.use(endpoint)
            undo.add("close", partial(self._forget, endpoint))
            self._keep(endpoint)
            await parts.tables.apply(_owner(endpoint))
            self._save(endpoint)
        self._announce(endpoint)
        return endpoint

    async def _remove(self, endpoint: Endpoint) -> None:
        """Each step may be repeated: where one fails the endpoint stays, disconnecting, for the next attempt."""
        leaving = replace(endpoint, state=EndpointState.DISCONNECTING)
        self._by_key[endpoint.attachment.key] = leaving
        self._save(leaving)
        await self._close(endpoint)
        await self._leave(endpoint)
        withdrawing = asyncio.create_task(self._withdraw(endpoint))
        try:
            await self._parts.datapath.delete_workload(endpoint.attachment, endpoint.ifindex)
        finally:
            await withdrawing
        await self._parts.ipam.release(endpoint.attachment.key)
        await self._unsave(endpoint)
        await self._free_id(endpoint.id)
        self._drop(endpoint.attachment.key)

    async def _try_to_remove(self, endpoint: Endpoint) -> None:
        """What cannot be removed now stays, disconnecting, until its runtime detaches it or the agent starts again."""
        try:
            await self._remove(endpoint)
        except NetloomError as error:
            self._log.error("endpoint.not_removed", container=endpoint.attachment.key, error=str(error))

    async def _forget(self, endpoint: Endpoint) -> None:
        self._drop(endpoint.attachment.key)
        await self._close(endpoint)

    async def _close(self, endpoint: Endpoint) -> None:
        """No packet to or from it from now on."""
        self._parts.tables.withdraw(_owner(endpoint))
        await self._parts.tables.apply(_owner(endpoint))

    def _announce(self, endpoint: Endpoint) -> None:
        """Tell the other nodes, after what they were told before; whoever asked for the endpoint need not wait."""
        key = endpoint.attachment.key
        self._announcing[key] = asyncio.create_task(self._publish(endpoint, self._announcing.get(key)))

    async def _publish(self, endpoint: Endpoint, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        publish = partial(self._parts.cluster.publish_address, pod=endpoint.pod, ports=endpoint.ports)
        try:
            await asyncio.gather(*(publish(address, endpoint.identity) for address in endpoint.addresses))
        finally:
            if self._announcing.get(endpoint.attachment.key) is asyncio.current_task():
                del self._announcing[endpoint.attachment.key]

    async def _withdraw(self, endpoint: Endpoint) -> None:
        """The other nodes forget it; after this its addresses may be another's."""
        if (announcing := self._announcing.get(endpoint.attachment.key)) is not None:
            await announcing
        await asyncio.gather(*map(self._parts.cluster.withdraw_address, endpoint.addresses))

    async def finish(self) -> None:
        """Wait until the other nodes were told of everything."""
        await asyncio.gather(*self._announcing.values())

    def _lock(self, key: str) -> asyncio.Lock:
        """One lock per attachment, for as long as somebody holds or awaits it."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    def _keep(self, endpoint: Endpoint) -> None:
        key = endpoint.attachment.key
        self._by_key[key] = endpoint
        self.residents.put(key, endpoint.addresses, Resident(endpoint.pod, endpoint.id))
        self._parts.tables.claim(_owner(endpoint), endpoint_claims(endpoint))

    def _drop(self, key: str) -> None:
        """No error when it is not kept."""
        endpoint = self._by_key.pop(key, None)
        self.residents.drop(key, endpoint.addresses if endpoint else ())

    def _file(self, endpoint: Endpoint) -> Path:
        return self._parts.directory / f"{endpoint.id}.json"

    def _save(self, endpoint: Endpoint) -> None:
        write_atomic(self._file(endpoint), encode_endpoint(endpoint))

    async def _unsave(self, endpoint: Endpoint) -> None:
        remove_file(self._file(endpoint))

    def _take_id(self) -> EndpointId:
        """The next number after the last one given: a number just freed is not given again at once."""
        for step in range(1, MAX_ENDPOINT_ID + 1):
            number = (self._last_id + step - 1) % MAX_ENDPOINT_ID + 1
            if number not in self._ids:
                self._ids.add(number)
                self._last_id = number
                return EndpointId(number)
        raise Exhausted(f"all {MAX_ENDPOINT_ID} endpoint numbers of this node are in use")

    async def _free_id(self, number: int) -> None:
        self._ids.discard(number)

    def refcounts(self) -> Mapping[int, int]:
        """Local endpoints by identity."""
        counts: dict[int, int] = {}
        for endpoint in self._by_key.values():
            counts[endpoint.identity] = counts.get(endpoint.identity, 0) + 1
        return counts


def _owner(endpoint: Endpoint) -> str:
    return f"endpoint/{endpoint.attachment.key}"


def _address_request(request: AttachRequest) -> AddressRequest:
    return AddressRequest(
        owner=request.attachment.key,
        pod_name=request.pod_name,
        pod_namespace=request.pod_namespace,
        labels=request.labels,
        wanted=request.addresses,
    )


def _allocation(endpoint: Endpoint) -> Allocation:
    return Allocation(owner=endpoint.attachment.key, addresses=tuple(endpoint.addresses))


def _draft(request: AttachRequest, allocation: Allocation, number: EndpointId) -> Endpoint:
    """The endpoint before its interface exists."""
    ipv4 = next((a for a in allocation.addresses if isinstance(a, IPv4Address)), None)
    ipv6 = next((a for a in allocation.addresses if isinstance(a, IPv6Address)), None)
    return Endpoint(
        id=number,
        attachment=request.attachment,
        ipv4=ipv4,
        ipv6=ipv6,
        ifindex=IfIndex(0),
        mac=request.mac or bytes(6),
        node_mac=bytes(6),
        identity=IdentityId(Reserved.UNKNOWN.value),
        labels=request.labels,
        state=EndpointState.REGENERATING,
        ports=tuple(sorted(set(request.ports))),
        visibility=request.visibility,
        pod_name=request.pod_name,
        pod_namespace=request.pod_namespace,
        pod_uid=request.pod_uid,
        network=request.network,
        bandwidth=request.bandwidth,
    )
