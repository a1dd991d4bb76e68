"""The objects plugins give, as the agent holds them: every method answers in time, with the right type, or raises."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from netloom.model.address import Address, Family, Network
from netloom.model.errors import Invalid, NetloomError, StoreError
from netloom.model.node import Node
from netloom.plugins import accept
from netloom.plugins.accept import IpamFacts, ModeFacts
from netloom.plugins.batches import BatchStore
from netloom.plugins.contract import (
    AddressRequest,
    Allocation,
    DeviceSpec,
    Entry,
    PoolStatus,
    Reach,
    Store,
    StoreEvent,
    Tunnel,
    WorkloadKind,
)
from netloom.plugins.guard import Guard, Junk, PluginFailure

T = TypeVar("T")

IPV6_MIN_MTU = 1280
"""RFC 8200, section 5; Linux turns IPv6 off on an interface with less."""


class GuardedIpam:
    """An Ipam. Knows who has what, so that a plugin that gives one address twice is caught."""

    def __init__(self, guard: Guard, facts: IpamFacts) -> None:
        self._guard = guard
        self._facts = facts
        self._ipam = facts.ipam
        self._given: dict[str, tuple[Address, ...]] = {}
        self._holders: dict[Address, str] = {}

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """As the plugin said at start."""
        return self._facts.prefixes

    @property
    def gateways(self) -> tuple[Address, ...]:
        """As the plugin said at start."""
        return self._facts.gateways

    async def allocate(self, request: AddressRequest) -> Allocation:
        """Raises PluginFailure too; what the plugin gave in that case, or gives later, is released again."""
        try:
            return await self._guard.acall(
                "Ipam.allocate", partial(self._ipam.allocate, request), partial(self._take, request)
            )
        except PluginFailure:
            if request.owner not in self._given:
                self._guard.post(partial(self._ipam.release, request.owner))
            raise

    async def restore(self, allocation: Allocation) -> None:
        """Raises PluginFailure too."""

        def restored(value: Any) -> None:
            accept.nothing(value)
            self._take(AddressRequest(owner=allocation.owner), allocation)

        await self._guard.acall("Ipam.restore", partial(self._ipam.restore, allocation), restored)

    async def release(self, owner: str) -> None:
        """Raises PluginFailure too."""

        def released(value: Any) -> None:
            accept.nothing(value)
            for address in self._given.pop(owner, ()):
                del self._holders[address]

        await self._guard.acall("Ipam.release", partial(self._ipam.release, owner), released)

    async def status(self) -> tuple[PoolStatus, ...]:
        """Empty when the plugin cannot say: how full pools are is no reason to fail a request."""
        try:
            return await self._guard.acall("Ipam.status", self._ipam.status, accept.pools)
        except NetloomError:
            return ()

    def _take(self, request: AddressRequest, value: Any) -> Allocation:
        """Check and remember; like every check it runs in the plugin's thread, so one follows the other."""
        owner, found = request.owner, accept.allocation(self._facts, request, value)
        if owner in self._given:
            raise Junk(f'gave "{owner}" addresses again, expected Conflict')
        for address in found.addresses:
            if address in self._holders:
                raise Junk(f'gave {address}, which "{self._holders[address]}" has')
        self._given[owner] = found.addresses
        self._holders.update(dict.fromkeys(found.addresses, owner))
        return found


class GuardedMode:
    """A NetworkMode; a failure becomes Invalid, so that the node concerned is reported and not reached."""

    def __init__(self, guard: Guard, facts: ModeFacts, *, serves_ipv6: bool) -> None:
        self._guard = guard
        self._facts = facts
        self._serves_ipv6 = serves_ipv6

    @property
    def workload(self) -> WorkloadKind:
        """As the plugin said at start."""
        return self._facts.workload

    @property
    def tunnel(self) -> Tunnel | None:
        """As the plugin said at start."""
        return self._facts.tunnel

    @property
    def native_cidrs(self) -> tuple[Network, ...]:
        """As the plugin said at start; none of a mode that knows of none."""
        return self._facts.native_cidrs

    def devices(self) -> tuple[DeviceSpec, ...]:
        """As the plugin said at start."""
        return self._facts.devices

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        """Raises Invalid when the underlay is too small for what the pods are to be given."""
        work = partial(self._facts.mode.mtu_bytes, underlay_mtu_bytes, underlay)
        found: int = self._call("NetworkMode.mtu_bytes", work, accept.mtu)
        if self._serves_ipv6 and found < IPV6_MIN_MTU:
            raise Invalid(
                f"an underlay MTU of {underlay_mtu_bytes} leaves pods {found} bytes, but IPv6 needs {IPV6_MIN_MTU}; "
                f"raise the underlay's MTU by {IPV6_MIN_MTU - found} or take the IPv6 prefixes out of the config"
            )
        return found

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        """Raises Invalid."""
        work = partial(self._facts.mode.reach, local, remote, mtu_bytes)
        found: Reach = self._call("NetworkMode.reach", work, partial(accept.reach, remote.pod_cidrs))
        return found

    def _call(self, what: str, work: Callable[[], Any], check: Callable[[Any], Any]) -> Any:
        try:
            return self._guard.call(what, work, check)
        except PluginFailure as failure:
            raise Invalid(str(failure)) from failure


class GuardedStore:
    """A Store; a failure becomes StoreError, after which the agent goes on with what it knows."""

    def __init__(self, guard: Guard, store: Store) -> None:
        self._guard = guard
        self._store = store

    async def open(self) -> None:
        """Raises StoreError."""
        await self._call("open", self._store.open, accept.nothing)

    async def get(self, key: str) -> Entry | None:
        """Raises StoreError."""
        found: Entry | None = await self._call("get", partial(self._store.get, key), accept.entry)
        return found

    async def items(self, prefix: str) -> tuple[Entry, ...]:
        """Raises StoreError."""
        found: tuple[Entry, ...] = await self._call("items", partial(self._store.items, prefix), accept.entries)
        return found

    async def put(self, key: str, value: bytes) -> int:
        """Raises StoreError."""
        return int(await self._call("put", partial(self._store.put, key, value), partial(accept.of, int)))

    async def put_all(self, values: Mapping[str, bytes]) -> None:
        """Raises StoreError, after which a store without batches may hold some of them."""
        if isinstance(self._store, BatchStore):
            await self._call("put_all", partial(self._store.put_all, values), accept.nothing)
            return
        for key, value in values.items():
            await self.put(key, value)

    async def compare_and_swap(self, key: str, expected_revision: int, value: bytes) -> bool:
        """Raises StoreError."""
        work = partial(self._store.compare_and_swap, key, expected_revision, value)
        return bool(await self._call("compare_and_swap", work, partial(accept.of, bool)))

    async def delete(self, key: str) -> None:
        """Raises StoreError."""
        await self._call("delete", partial(self._store.delete, key), accept.nothing)

    async def watch(self, prefix: str) -> AsyncIterator[tuple[StoreEvent, ...]]:
        """Raises StoreError."""
        begin = partial(self._store.watch, prefix)
        try:
            async with aclosing(watched(self._guard, "Store.watch", begin, accept.events_or_end)) as batches:
                async for batch in batches:
                    yield batch
        except PluginFailure as failure:
            raise StoreError(str(failure)) from failure

    async def close(self) -> None:
        """Raises StoreError."""
        await self._call("close", self._store.close, accept.nothing)

    async def _call(self, method: str, work: Callable[[], Any], check: Callable[[Any], Any]) -> Any:
        try:
            return await self._guard.acall(f"Store.{method}", work, check)
        except PluginFailure as failure:
            raise StoreError(str(failure)) from failure


async def watched(
    guard: Guard, what: str, begin: Callable[[], Any], check: Callable[[Any], T | None]
) -> AsyncGenerator[T, None]:
    """What the asynchronous iterator that ``begin`` gives tells, until ``check`` makes None of it: its end.

    Waits without limit between two; the plugin's own iterator is closed at the end. Raises PluginFailure, and what the
    plugin raises on purpose.
    """
    iterator: Any = await guard.acall(what, begin, accept.iterator)
    try:
        while (told := await guard.wait(what, partial(anext, iterator, None), check)) is not None:
            yield told
    finally:
        guard.post(partial(_close, iterator))


async def _close(iterator: Any) -> None:
    """Let a plugin's own iterator clean up."""
    if hasattr(iterator, "aclose"):
        await iterator.aclose()
