"""Prefixes of policies, their numbers, and who is inside.

Every prefix that some policy names, as a network or as an exception, has a number from FIRST_PREFIX up: Cilium's
range of identities that mean something on one node alone. It keeps its number as long as one policy uses it, and
the number is not given again until all others were. The data path finds the number of a remote's *most specific*
prefix by one longest-prefix lookup. That suffices: whatever policies say of an address depends only on which of
their prefixes hold it, and all addresses with the same most specific prefix are held by the same ones.

A CIDR peer is therefore all numbered prefixes inside its network and neither equal to nor inside one of its exceptions.
Prefixes nest or are disjoint, so a sorted list has those inside a network in one run, and those around it are found by
their lengths.

**Order of writing.** A prefix goes into the kernel's lookup after the tables that know its number, and leaves before
they forget it: in between, its addresses are found in the wider prefix, of which nothing changed.

**Two families in one lookup.** IPv4 addresses are looked up as ``::ffff:a.b.c.d``, which ``::/0`` holds too. What
:meth:`Prefixes.entries` gives therefore always has ``0.0.0.0/0``, with 0 where no policy names it: there IPv4 ends.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Final, NamedTuple

from netloom.model.address import Address, Network, host_prefix
from netloom.model.errors import Exhausted
from netloom.model.policy import CidrPeer
from netloom.policy.selection import Change, Group
from netloom.policy.table import ENDPOINTS

FIRST_PREFIX: Final = (1 << 24) + 1
LAST_PREFIX: Final = (2 << 24) - 1
ALL_IPV4: Final = IPv4Network("0.0.0.0/0")
ALL_IPV6: Final = IPv6Network("::/0")


def regions(network: Network, *lookups: Mapping[Network, int]) -> list[Address]:
    """An address of each part of a network that some lookup tells from the other parts, in the order of addresses.

    Each lookup gives prefixes their numbers. A part is a prefix without those inside it, so its lowest address is the
    prefix's own, or the one behind one of these.
    """
    whole = _prefix(network)
    tables = [{_prefix(one): number for one, number in lookup.items()} for lookup in lookups]
    inside = {one for table in tables for one in table if whole.holds(one)}
    starts = {whole.first, *(one.first for one in inside), *(one.end for one in inside if one.end < whole.end)}
    found: dict[tuple[int, ...], Address] = {}
    for start in sorted(starts):
        numbers = tuple(_number(table, whole.version, start) for table in tables)
        found.setdefault(numbers, IPv4Address(start) if whole.version == 4 else IPv6Address(start))
    return list(found.values())


def _number(table: Mapping[_Prefix, int], version: int, start: int) -> int:
    """That of the most specific prefix around an address; 0: none."""
    bits = 32 if version == 4 else 128
    address = _Prefix(version, start, bits)
    return next((table[one] for length in range(bits, -1, -1) if (one := address.cut(length)) in table), 0)


class _Prefix(NamedTuple):
    """A network whose order puts what is inside right behind it."""

    version: int
    first: int
    bits: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.first + (1 << (32 if self.version == 4 else 128) - self.bits)

    def holds(self, other: _Prefix) -> bool:
        """Whether another one is inside or equal."""
        return self.version == other.version and self.bits <= other.bits and self.first <= other.first < self.end

    def cut(self, bits: int) -> _Prefix:
        """The one of fewer bits around it."""
        shift = (32 if self.version == 4 else 128) - bits
        return _Prefix(self.version, self.first >> shift << shift, bits)


@lru_cache(maxsize=65536)
def _prefix(network: Network) -> _Prefix:
    return _Prefix(network.version, int(network.network_address), network.prefixlen)


class Prefixes:
    """Numbers of prefixes, and the groups of CIDR peers."""

    def __init__(self, kept: Mapping[Network, int] | None = None) -> None:
        """``kept``: numbers that prefixes had before a restart, and get again."""
        self._kept = dict(kept or {})
        self._numbers: dict[_Prefix, int] = {}
        self._networks: dict[int, Network] = {}
        self._users: dict[_Prefix, int] = {}
        self._order: list[_Prefix] = []
        self._lengths: dict[tuple[int, int], int] = {}
        self._groups: dict[CidrPeer, Group] = {}
        self._watching: dict[_Prefix, dict[Group, CidrPeer]] = {}
        self._holders: dict[int, set[Group]] = {}
        self._reserved = set(self._kept.values())
        self._next = FIRST_PREFIX
        self._entries: Mapping[Network, int] | None = None

    def entries(self) -> Mapping[Network, int]:
        """What the kernel looks addresses up in; empty without prefixes. The same object until there are others."""
        if self._entries is None:
            found: dict[Network, int] = {network: number for number, network in self._networks.items()}
            if found:
                found.setdefault(ALL_IPV4, 0)
            self._entries = MappingProxyType(found)
        return self._entries

    def network_of(self, number: int) -> Network | None:
        """What a number stands for, with ENDPOINTS or without; None: nothing."""
        return self._networks.get(number & ~ENDPOINTS)

    def number_of(self, address: Address) -> int:
        """The number of the most specific prefix that holds an address; 0: none does."""
        return max(
            ((prefix.bits, self._numbers[prefix]) for prefix in self._around(_prefix(host_prefix(address)))),
            default=(0, 0),
        )[1]

    def groups(self) -> Iterable[Group]:
        """Those of all CIDR peers that somebody uses."""
        return self._groups.values()

    def holders(self, peer: int) -> set[Group]:
        """Groups that a peer is in."""
        return self._holders.get(peer, set())

    def acquire(self, peer: CidrPeer) -> tuple[Group, list[Change]]:
        """The group of a CIDR peer, for one more user; and what other groups gained by its prefixes."""
        group = self._groups.get(peer)
        changes: list[Change] = []
        if group is None:
            for network in (peer.network, *peer.excepts):
                changes += self._take(network)
            group = self._groups[peer] = Group(peer)
            self._watching.setdefault(_prefix(peer.network), {})[group] = peer
            for prefix in self._inside(_prefix(peer.network)):
                if _reaches(peer, prefix):
                    self._enter(group, peer, prefix)
        group.users += 1
        return group, changes

    def release(self, group: Group) -> list[Change]:
        """One user less; the last one takes the group with it. Says what other groups lost."""
        peer = group.criterion
        group.users -= 1
        if group.users or not isinstance(peer, CidrPeer):
            return []
        del self._groups[peer]
        for member in group.members:
            self._holders[member].discard(group)
        network = _prefix(peer.network)
        del self._watching[network][group]
        if not self._watching[network]:
            del self._watching[network]
        return [change for one in (peer.network, *peer.excepts) for change in self._drop(one)]

    def _enter(self, group: Group, peer: CidrPeer, prefix: _Prefix) -> list[Change]:
        peers = _peers(self._numbers[prefix], peer)
        for member in peers:
            group.members.add(member)
            self._holders.setdefault(member, set()).add(group)
        return [(group, member) for member in peers]

    def _take(self, network: Network) -> list[Change]:
        prefix = _prefix(network)
        self._users[prefix] = self._users.get(prefix, 0) + 1
        if self._users[prefix] > 1:
            return []
        number = self._numbers[prefix] = self._new_number(network)
        self._networks[number] = network
        self._entries = None
        insort(self._order, prefix)
        length = (prefix.version, prefix.bits)
        self._lengths[length] = self._lengths.get(length, 0) + 1
        return [
            change
            for group, peer in self._interested(prefix)
            if _reaches(peer, prefix)
            for change in self._enter(group, peer, prefix)
        ]

    def _drop(self, network: Network) -> list[Change]:
        prefix = _prefix(network)
        self._users[prefix] -= 1
        if self._users[prefix]:
            return []
        number = self._numbers[prefix]
        changes: list[Change] = []
        for member in (number, number | ENDPOINTS):
            for group in self._holders.pop(member, ()):
                group.members.discard(member)
                changes.append((group, member))
        del self._users[prefix], self._numbers[prefix], self._networks[number]
        self._entries = None
        del self._order[bisect_left(self._order, prefix)]
        length = (prefix.version, prefix.bits)
        self._lengths[length] -= 1
        if not self._lengths[length]:
            del self._lengths[length]
        return changes

    def _new_number(self, network: Network) -> int:
        kept = self._kept.get(network)
        if kept is not None and kept not in self._networks:
            return kept
        if len(self._networks) + len(self._reserved) > LAST_PREFIX - FIRST_PREFIX:
            raise Exhausted(f"policies name {len(self._networks)} prefixes, and there are no more numbers for them")
        while self._next in self._networks or self._next in self._reserved:
            self._next = self._after(self._next)
        number, self._next = self._next, self._after(self._next)
        return number

    @staticmethod
    def _after(number: int) -> int:
        return FIRST_PREFIX if number == LAST_PREFIX else number + 1

    def _inside(self, network: _Prefix) -> Iterator[_Prefix]:
        """Numbered prefixes inside a network or equal to it."""
        start = bisect_left(self._order, network)
        stop = bisect_left(self._order, _Prefix(network.version, network.end, 0))
        yield from self._order[start:stop]

    def _around(self, prefix: _Prefix) -> Iterator[_Prefix]:
        """Numbered prefixes that hold a prefix, itself too."""
        for version, bits in self._lengths:
            if version == prefix.version and bits <= prefix.bits and prefix.cut(bits) in self._numbers:
                yield prefix.cut(bits)

    def _interested(self, prefix: _Prefix) -> Iterator[tuple[Group, CidrPeer]]:
        """Groups whose network holds a prefix."""
        for around in self._around(prefix):
            yield from self._watching.get(around, {}).items()


def _reaches(peer: CidrPeer, prefix: _Prefix) -> bool:
    """Whether a prefix inside a peer's network is not taken out."""
    return not any(_prefix(one).holds(prefix) for one in peer.excepts)


def _peers(number: int, peer: CidrPeer) -> tuple[int, ...]:
    """Peers in keys of tables: the world's at that prefix, and endpoints and nodes where they are meant too."""
    return (number, number | ENDPOINTS) if peer.with_endpoints else (number,)
