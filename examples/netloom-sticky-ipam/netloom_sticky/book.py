"""Who has which address of one prefix, and who had it. Pure: no file, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from netloom.model.address import Address, Network

MAX_ADDRESSES = 4096
"""A prefix is used up to this many addresses from its first: far more than a node has pods."""


class Book:
    """The addresses of one prefix. The first one is the gateway's."""

    def __init__(self, prefix: Network, reserved: Iterable[Network], remembered: Mapping[str, Address]) -> None:
        self.prefix = prefix
        self.gateway: Address = prefix[1]
        kept = [other for other in reserved if other.version == prefix.version]
        # Cut first, then look: most of an IPv6 prefix may be reserved, and its addresses cannot all be looked at.
        hosts: Iterator[Address] = islice(prefix.hosts(), MAX_ADDRESSES)
        self._addresses = {
            address: None
            for address in hosts
            if address not in (prefix[0], prefix[1]) and not any(address in other for other in kept)
        }
        self._in_use: dict[Address, str] = {}
        # In the order in which pods went: the first one has been gone longest.
        self._remembered = {pod: address for pod, address in remembered.items() if address in self._addresses}

    @property
    def capacity(self) -> int:
        """Addresses it can give."""
        return len(self._addresses)

    @property
    def used(self) -> int:
        """Addresses given at present."""
        return len(self._in_use)

    @property
    def remembered(self) -> Mapping[str, Address]:
        """The address of every pod that is or was here, the one gone longest first."""
        return dict(self._remembered)

    def choose(self, pod: str) -> Address | None:
        """The pod's own address, one nobody had, or the one whose pod has been gone longest; None when all are used."""
        own = self._remembered.get(pod)
        if own is not None and own not in self._in_use:
            return own
        known = {*self._in_use, *self._remembered.values()}
        fresh = next((address for address in self._addresses if address not in known), None)
        if fresh is not None:
            return fresh
        return next((address for address in self._remembered.values() if address not in self._in_use), None)

    def fits(self, address: Address) -> bool:
        """Whether the prefix could have given this address."""
        return address in self._addresses

    def holder(self, address: Address) -> str | None:
        """The owner that has it."""
        return self._in_use.get(address)

    def take(self, address: Address, owner: str) -> None:
        """The address is ``owner``'s from now on."""
        self._in_use[address] = owner

    def remember(self, pod: str, address: Address) -> None:
        """The address is the pod's, unless the pod has one in use; whoever had it before is forgotten."""
        if self._remembered.get(pod) in self._in_use:
            return
        self._remembered = {other: theirs for other, theirs in self._remembered.items() if theirs != address}
        self._remembered[pod] = address

    def give_back(self, address: Address) -> None:
        """Free again; the pod that had it is the one that went last."""
        self._in_use.pop(address, None)
        for pod, theirs in self._remembered.items():
            if theirs == address:
                self._remembered[pod] = self._remembered.pop(pod)
                return
