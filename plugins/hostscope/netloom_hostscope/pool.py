"""One prefix of addresses and who has them. Pure: state in memory, no clock, no I/O."""

from __future__ import annotations

from netloom.model.address import Address, Network
from netloom.plugins import PoolStatus

MAX_POOL = 65_536
"""Addresses used of one prefix: more than a node can have endpoints, and it keeps an IPv6 /64 countable."""


class Pool:
    """Gives addresses round-robin, so that one given back rests as long as possible before it is given again.

    Stale neighbour entries, DNS caches and firewall states for a released address then point at nobody, not at a
    stranger.
    """

    def __init__(self, prefix: Network) -> None:
        self.prefix = prefix
        self.gateway: Address = prefix[1]
        self._first = 2
        self._last = min(prefix.num_addresses, MAX_POOL) - (2 if prefix.version == 4 else 1)
        self._next = self._first
        self._owners: dict[Address, str] = {}

    @property
    def capacity(self) -> int:
        """Addresses it can give: neither the first two of the prefix nor, of IPv4, the broadcast address."""
        return self._last - self._first + 1

    @property
    def bounds(self) -> tuple[Address, Address]:
        """The first and the last address it can give."""
        return self.prefix[self._first], self.prefix[self._last]

    @property
    def status(self) -> PoolStatus:
        """How full it is."""
        return PoolStatus(prefix=self.prefix, used=len(self._owners), capacity=self.capacity)

    def holder(self, address: Address) -> str | None:
        """Who has the address."""
        return self._owners.get(address)

    def fits(self, address: Address) -> bool:
        """Whether the pool could have given this address."""
        if address not in self.prefix:
            return False
        return self._first <= int(address) - int(self.prefix.network_address) <= self._last

    def take_next(self, owner: str) -> Address | None:
        """Give the next free address; None when there is none."""
        for step in range(self.capacity):
            offset = self._first + (self._next - self._first + step) % self.capacity
            address = self.prefix[offset]
            if address not in self._owners:
                self._next = offset + 1
                self._owners[address] = owner
                return address
        return None

    def take(self, address: Address, owner: str) -> None:
        """Give exactly this free address, out of turn: others go on resting as long as they would have."""
        self._owners[address] = owner

    def take_up(self, address: Address, owner: str) -> None:
        """Give exactly this free address, which an earlier run gave, and go on after it."""
        self.take(address, owner)
        self._next = int(address) - int(self.prefix.network_address) + 1

    def give_back(self, address: Address) -> None:
        """The address is free again; no error if it was."""
        self._owners.pop(address, None)
