"""Desired and actual contents of one table, and what separates them.

Desired content is the union of what *owners* (an endpoint, a node, the agent itself) claim. It
depends on the claims that stand, never on the order they came in: where two owners claim one key, the
owner that sorts first wins, and the other takes over when the first withdraws. Everything is in
memory; nothing here touches the kernel. Each call costs what it changes, not what the table holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Changes(Generic[K, V]):
    """Steps from actual to desired."""

    upserts: Mapping[K, V]
    deletes: tuple[K, ...]

    def __bool__(self) -> bool:
        return bool(self.upserts or self.deletes)


class Delta(Generic[K, V]):
    """One table; owners are any sortable text."""

    def __init__(self) -> None:
        self._claims: dict[str, Mapping[K, V]] = {}
        self._claimants: dict[K, dict[str, V]] = {}
        self._actual: dict[K, V] = {}
        self._dirty: dict[K, None] = {}

    def claim(self, owner: str, entries: Mapping[K, V]) -> None:
        """Replace everything ``owner`` wants by ``entries``."""
        for key in self._claims.get(owner, {}).keys() - entries.keys():
            self._drop(owner, key)
        for key, value in entries.items():
            self._claimants.setdefault(key, {})[owner] = value
            self._mark(key)
        self._claims[owner] = dict(entries)

    def withdraw(self, owner: str) -> None:
        """Forget everything ``owner`` wants; no error when it wants nothing."""
        for key in self._claims.pop(owner, {}):
            self._drop(owner, key)

    def claims(self, owner: str, key: K) -> bool:
        """Whether ``owner`` wants something under ``key``."""
        return key in self._claims.get(owner, {})

    def claimants(self, key: K) -> tuple[str, ...]:
        """Who wants something under ``key``."""
        return tuple(self._claimants.get(key, ()))

    def is_new(self, key: K) -> bool:
        """Whether the table holds nothing under ``key``: to write it takes room."""
        return key not in self._actual

    def desired(self, key: K) -> V | None:
        """What the table should hold under ``key``."""
        claimants = self._claimants.get(key)
        return claimants[min(claimants)] if claimants else None

    def wanted(self) -> Iterator[tuple[K, V, str]]:
        """Everything the table should hold, each with the owner whose value it is."""
        for key, claimants in self._claimants.items():
            owner = min(claimants)
            yield key, claimants[owner], owner

    def observe(self, actual: Mapping[K, V]) -> None:
        """Learn what the table really holds; differences become pending."""
        for key in self._actual.keys() | actual.keys() | self._claimants.keys():
            self._dirty[key] = None
        self._actual = dict(actual)
        for key in tuple(self._dirty):
            self._mark(key)

    def pending(self) -> Changes[K, V]:
        """What to do to the table, in the order it was asked for."""
        upserts: dict[K, V] = {}
        deletes: list[K] = []
        for key in self._dirty:
            wanted = self.desired(key)
            if wanted is None:
                deletes.append(key)
            else:
                upserts[key] = wanted
        return Changes(upserts, tuple(deletes))

    def applied(self, key: K, value: V | None) -> None:
        """The table now holds ``value`` under ``key`` (None: nothing)."""
        if value is None:
            self._actual.pop(key, None)
        else:
            self._actual[key] = value
        self._mark(key)

    def _drop(self, owner: str, key: K) -> None:
        claimants = self._claimants[key]
        del claimants[owner]
        if not claimants:
            del self._claimants[key]
        self._mark(key)

    def _mark(self, key: K) -> None:
        if self.desired(key) == self._actual.get(key):
            self._dirty.pop(key, None)
        else:
            self._dirty[key] = None
