"""The address manager: pools of both IP versions, and what every owner has."""

from __future__ import annotations

from collections.abc import Iterable

from netloom.model.address import Address, Network
from netloom.model.errors import Conflict, Exhausted, Invalid
from netloom.plugins import AddressRequest, Allocation, PoolStatus
from netloom_hostscope.pool import Pool


class HostScopeIpam:
    """An Ipam. The agent keeps the allocations over restarts and hands them to :meth:`restore`."""

    def __init__(self, prefixes: Iterable[Network]) -> None:
        self._pools = tuple(Pool(prefix) for prefix in prefixes)
        self._versions = {pool.prefix.version for pool in self._pools}
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
        """One address of each IP version, the wanted ones among them; raises Conflict, Exhausted or Invalid."""
        owner = request.owner
        self._refuse_second(owner)
        wanted = [(self._wanted_pool(address, owner), address) for address in request.wanted]
        for pool, address in wanted:
            pool.take(address, owner)
        taken = list(request.wanted)
        for version in sorted(self._versions - {address.version for address in taken}):
            if (found := self._take(version, owner)) is None:
                self._free(taken)
                raise Exhausted(self._full(version))
            taken.append(found)
        self._given[owner] = tuple(sorted(taken, key=lambda address: address.version))
        return Allocation(owner=owner, addresses=self._given[owner])

    async def restore(self, allocation: Allocation) -> None:
        """Take these very addresses; raises Conflict when one cannot be the owner's."""
        owner, addresses = allocation.owner, allocation.addresses
        self._refuse_second(owner)
        places = [self._place(address, owner) for address in addresses]
        for pool, address in zip(places, addresses, strict=True):
            pool.take_up(address, owner)
        self._given[owner] = addresses

    async def release(self, owner: str) -> None:
        """Give back everything; no error when there is nothing."""
        self._free(self._given.pop(owner, ()))

    async def status(self) -> tuple[PoolStatus, ...]:
        """One state for each prefix."""
        return tuple(pool.status for pool in self._pools)

    def _refuse_second(self, owner: str) -> None:
        if owner in self._given:
            raise Conflict(f'"{owner}" has {_texts(self._given[owner])} already; release them first')

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
        pool = self._pool_of(address)
        if pool is None:
            raise Conflict(f'{address} of "{owner}" is no address of {_texts(self.prefixes)} that a pod may have')
        _refuse_held(pool, address, owner)
        return pool

    def _wanted_pool(self, address: Address, owner: str) -> Pool:
        pool = self._pool_of(address)
        if pool is None:
            pools = [pool.bounds for pool in self._pools if pool.prefix.version == address.version]
            expected = _texts(f"{first} to {last}" for first, last in pools) or f"no IPv{address.version} address"
            raise Invalid(f'{address} cannot be given to "{owner}": pods of this node get {expected}; ask for another')
        _refuse_held(pool, address, owner)
        return pool

    def _pool_of(self, address: Address) -> Pool | None:
        return next((pool for pool in self._pools if pool.fits(address)), None)

    def _full(self, version: int) -> str:
        prefixes = _texts(pool.prefix for pool in self._pools if pool.prefix.version == version)
        return (
            f"every IPv{version} address of {prefixes} is in use; remove pods from this node, "
            "or add a prefix to plugins.hostscope.pod_cidrs"
        )


def _refuse_held(pool: Pool, address: Address, owner: str) -> None:
    if holder := pool.holder(address):
        raise Conflict(f'{address} cannot be given to "{owner}": "{holder}" has it')


def _texts(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)
