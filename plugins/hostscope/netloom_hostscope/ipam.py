"""The address manager: pools of both IP versions, and what every owner has."""

from __future__ import annotations

from collections.abc import Iterable

from netloom.model.address import Address, Network
from netloom.model.errors import Conflict, Exhausted
from netloom.plugins import AddressRequest, Allocation, PoolStatus
from netloom_hostscope.pool import Pool


class HostScopeIpam:
    """An Ipam. The agent keeps the allocations over restarts and hands them to :meth:`restore`."""

    def __init__(self, prefixes: Iterable[Network]) -> None:
        self._pools = tuple(Pool(prefix) for prefix in prefixes)
        self._given: dict[str, tuple[Address, ...]] = {}

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """As configured."""
        return tuple(pool.prefix for pool in self._pools)

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The first address of the first prefix of each IP version."""
        first: dict[int, Address] = {}
        for pool in self._pools:
            first.setdefault(pool.prefix.version, pool.gateway)
        return tuple(first.values())

    async def allocate(self, request: AddressRequest) -> Allocation:
        """One address of each IP version; raises Conflict or Exhausted."""
        owner = request.owner
        if owner in self._given:
            raise Conflict(f'"{owner}" has {_texts(self._given[owner])} already; release them first')
        taken: list[Address] = []
        for version in dict.fromkeys(pool.prefix.version for pool in self._pools):
            address = self._take(version, owner)
            if address is None:
                self._free(taken)
                raise Exhausted(self._full(version))
            taken.append(address)
        self._given[owner] = tuple(taken)
        return Allocation(owner=owner, addresses=tuple(taken))

    async def restore(self, allocation: Allocation) -> None:
        """Take these very addresses; raises Conflict when one cannot be the owner's."""
        owner, addresses = allocation.owner, allocation.addresses
        if owner in self._given:
            raise Conflict(f'"{owner}" has {_texts(self._given[owner])} already; release them first')
        places = [self._place(address, owner) for address in addresses]
        for pool, address in zip(places, addresses, strict=True):
            pool.take(address, owner)
        self._given[owner] = addresses

    async def release(self, owner: str) -> None:
        """Give back everything; no error when there is nothing."""
        self._free(self._given.pop(owner, ()))

    async def status(self) -> tuple[PoolStatus, ...]:
        """One state for each prefix."""
        return tuple(pool.status for pool in self._pools)

    def _take(self, version: int, owner: str) -> Address | None:
        for pool in self._pools:
            if pool.prefix.version == version and (address := pool.take_next(owner)) is not None:
                return address
        return None

    def _free(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            for pool in self._pools:
                pool.give_back(address)

    def _place(self, address: Address, owner: str) -> Pool:
        pool = next((pool for pool in self._pools if pool.fits(address)), None)
        if pool is None:
            raise Conflict(f'{address} of "{owner}" is no address of {_texts(self.prefixes)} that a pod may have')
        if holder := pool.holder(address):
            raise Conflict(f'{address} cannot be given to "{owner}": "{holder}" has it')
        return pool

    def _full(self, version: int) -> str:
        prefixes = _texts(pool.prefix for pool in self._pools if pool.prefix.version == version)
        return (
            f"every IPv{version} address of {prefixes} is in use; remove pods from this node, "
            "or add a prefix to plugins.hostscope.pod_cidrs"
        )


def _texts(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)
