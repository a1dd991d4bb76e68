"""The ends of a whole cluster, for questions about everybody: identities by their labels, nodes, parts of the world.

Of an identity whose addresses policies tell apart there are several ends; mostly there is one. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from netloom.model.address import Address
from netloom.model.identity import IdentityId, Reserved
from netloom.model.labels import NAMESPACE_KEY, Labels
from netloom.policy.cidrs import ALL_IPV4, ALL_IPV6, regions
from netloom.policy.explain import End
from netloom.policy.repository import Repository
from netloom.policy.selection import has_policy, is_reserved

_DERIVED: Final = ("io.cilium.k8s.",)
"""Begins keys of labels that others follow from: they are left out of names."""


_NODES: Final = {Reserved.HOST: "host (own node)", Reserved.REMOTE_NODE: "remote-node"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhabitant:
    """One end."""

    name: str
    """``namespace: app=web tier=db``, a reserved name, or ``world 10.0.0.0/8``."""
    end: End
    labels: Labels
    judged: bool
    """Whether policies have a table for it."""
    group: str = ""
    """Namespace; "" for those without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Who is to be asked about."""

    identities: Collection[IdentityId]
    addresses: Mapping[int, Collection[Address]] = field(default_factory=dict)
    """Addresses known of identities, of those of nodes too."""


def census(population: Population, repositories: Sequence[Repository]) -> tuple[Inhabitant, ...]:
    """Everybody, as finely as one of the repositories tells them apart: by namespace, then nodes, then the world."""
    endpoints = [one for number in population.identities for one in _of_identity(number, population, repositories)]
    reserved = [
        replace(one, name=one.name.replace(which.label.key, name))
        for which, name in _NODES.items()
        for one in _of_identity(IdentityId(which), population, repositories)
    ]
    return (*sorted(endpoints, key=lambda one: (one.group, one.name)), *reserved, *_world(repositories))


def name_of(labels: Labels) -> str:
    """Short, from labels that people gave."""
    if is_reserved(labels):
        return ", ".join(sorted(label.key for label in labels))
    own = sorted(label for label in labels if label.key != NAMESPACE_KEY and not label.key.startswith(_DERIVED))
    words = " ".join(f"{label.key}={label.value}" if label.value else label.key for label in own)
    namespace = namespace_of(labels)
    return f"{namespace}: {words}" if namespace and words else namespace or words or "no labels"


def namespace_of(labels: Labels) -> str:
    """The namespace they are of; "" when there is none."""
    return next((label.value for label in sorted(labels) if label.key == NAMESPACE_KEY), "")


def _of_identity(
    number: IdentityId, population: Population, repositories: Sequence[Repository]
) -> Iterator[Inhabitant]:
    labels = repositories[0].labels_of(number) or frozenset()
    kinds: dict[tuple[int, ...], Address | None] = {}
    for address in sorted(population.addresses.get(number, ()), key=lambda one: (one.version, one)) or (None,):
        told = tuple(one.prefix_peer(one.remote(number, address)) for one in repositories)
        kinds.setdefault(told, address)
    for address in kinds.values():
        name = name_of(labels) if len(kinds) == 1 else f"{name_of(labels)} at {address}"
        yield Inhabitant(
            name=name,
            end=End(number, address),
            labels=labels,
            judged=has_policy(labels),
            group="" if is_reserved(labels) else namespace_of(labels),
        )


def _world(repositories: Sequence[Repository]) -> Iterable[Inhabitant]:
    labels = frozenset({Reserved.WORLD.label})
    lookups = [one.prefixes() for one in repositories]
    identity = IdentityId(Reserved.WORLD)
    if not any(lookups):
        return [Inhabitant(name="world", end=End(identity), labels=labels, judged=False)]
    found = []
    for network in (ALL_IPV4, ALL_IPV6):
        for address in regions(network, *lookups):
            name = _region(address, repositories)
            found.append(Inhabitant(name=name, end=End(identity, address), labels=labels, judged=False))
    return found


def _region(address: Address, repositories: Sequence[Repository]) -> str:
    """By the narrowest prefix that policies name."""
    numbers = ((one, one.remote(Reserved.WORLD, address).prefix) for one in repositories)
    networks = [network for one, number in numbers if number and (network := one.network_of(number)) is not None]
    narrowest = max(networks, key=lambda network: network.prefixlen, default=None)
    if narrowest is None or not narrowest.prefixlen:
        return f"world IPv{address.version}"
    return f"world {narrowest}"
