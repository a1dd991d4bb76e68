"""The best ways to every prefix learnt, and what the node should hear of them. Pure.

Three things stand between what GoBGP tells and what the node hears. A *held* peer is known to be away before GoBGP
knows: ways that it told of do not count. After GoBGP was started again, what it had told before is *stale*: it counts
until it is told anew, or until :meth:`Rib.settle`. And *changes* are kept, each prefix once, until somebody takes
them; what became of a prefix is worked out only then, so that a peer with a hundred thousand is held in no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from netloom.model.address import Address, Network
from netloom.plugins import LearnedRoute, RouteChanges
from netloom_bgp.paths import Hop, Told


class Rib:
    """What was learnt. Refused, and counted by reason: default routes, and next hops of the other IP version."""

    def __init__(self, max_paths: int) -> None:
        self._max_paths = max_paths
        self._hops: dict[Network, tuple[Hop, ...]] = {}
        self._shown: dict[Network, LearnedRoute] = {}
        self._stale: set[Network] = set()
        self._held: set[str] = set()
        self._changed: set[Network] = set()
        self._refused: dict[Network, str] = {}

    def __len__(self) -> int:
        """Prefixes that were taken and stand."""
        return len(self._shown)

    @property
    def pending(self) -> bool:
        """Whether there may be changes to take."""
        return bool(self._changed)

    def refused(self) -> dict[str, int]:
        """Prefixes that are not passed on, by reason."""
        counts: dict[str, int] = {}
        for reason in self._refused.values():
            counts[reason] = counts.get(reason, 0) + 1
        return counts

    def tell(self, told: Iterable[Told]) -> None:
        """Take in what GoBGP told: all ways of each of these prefixes."""
        for prefix, hops in told:
            if self._stale:
                self._stale.discard(prefix)
            if hops == self._hops.get(prefix, ()):
                continue
            if hops:
                self._hops[prefix] = hops
            else:
                del self._hops[prefix]
            self._changed.add(prefix)

    def begin_again(self) -> None:
        """GoBGP was started again, and tells everything anew."""
        self._stale = set(self._hops)

    def settle(self) -> None:
        """GoBGP has told everything: what is still stale is gone."""
        stale, self._stale = self._stale, set()
        self.tell(Told(prefix, ()) for prefix in stale)

    def hold(self, neighbor: str) -> None:
        """The peer is away: its ways no longer count."""
        if neighbor not in self._held:
            self._held.add(neighbor)
            self._change(neighbor)

    def unhold(self, neighbor: str) -> None:
        """The peer may be used again."""
        if neighbor in self._held:
            self._held.remove(neighbor)
            self._change(neighbor)

    def take(self, limit: int) -> RouteChanges:
        """What came of up to ``limit`` changes, which may be nothing; each is told once."""
        prefixes = list(islice(self._changed, limit))
        self._changed.difference_update(prefixes)
        routes: list[LearnedRoute] = []
        gone: list[Network] = []
        for prefix in prefixes:
            hops = self._usable(prefix)
            if hops:
                route = LearnedRoute(prefix=prefix, via=hops[0], more=hops[1:])
                if route != self._shown.get(prefix):
                    self._shown[prefix] = route
                    routes.append(route)
            elif self._shown.pop(prefix, None) is not None:
                gone.append(prefix)
        return RouteChanges(routes=tuple(routes), gone=tuple(gone))

    def everything(self) -> RouteChanges:
        """All that was taken, as one complete batch."""
        return RouteChanges(routes=tuple(self._shown.values()), complete=True)

    def change_all(self) -> None:
        """Whoever takes changes is new, and begins with everything."""
        self._shown.clear()
        self._changed.update(self._hops)

    def _change(self, neighbor: str) -> None:
        """All prefixes that a peer leads to are others now."""
        self._changed.update(
            prefix for prefix, hops in self._hops.items() if any(hop.neighbor == neighbor for hop in hops)
        )

    def _usable(self, prefix: Network) -> tuple[Address, ...]:
        """Next hops in a fixed order, each once."""
        self._refused.pop(prefix, None)
        told = [hop.via for hop in self._hops.get(prefix, ()) if hop.neighbor not in self._held]
        if not told:
            return ()
        if prefix.prefixlen == 0:
            self._refused[prefix] = "default"
            return ()
        usable = set(_reachable(told, prefix.version))
        if not usable:
            self._refused[prefix] = "next_hop"
        return tuple(sorted(usable, key=int)[: self._max_paths])


def _reachable(hops: Iterable[Address], version: int) -> Iterator[Address]:
    """Those that a route can name: of the prefix's IP version, and not good on one link alone."""
    return (hop for hop in hops if hop.version == version and not hop.is_link_local and not hop.is_unspecified)
