"""The best ways to every prefix learnt, and what the node should hear of them. Pure.

Three things stand between what GoBGP tells and what the node hears. A *held* peer is known to be away before GoBGP
knows: ways that it told of do not count. After GoBGP was started again, what it had told before is *stale*: it counts
until it is told anew, or until :meth:`Rib.settle`. And *changes* are kept, each prefix once, until somebody takes
them; what became of a prefix is worked out only then, so that a peer with a hundred thousand is held in no time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from netloom.model.address import Address, Network
from netloom.plugins import LearnedRoute, RouteChanges
from netloom_bgp.paths import Hop, Told
from netloom_bgp.places import Place, network_of

Vias = tuple[Address, ...]
"""Next hops of a route."""


@dataclass(slots=True, eq=False)
class _Ways:
    """The ways to all prefixes that have just these."""

    hops: tuple[Hop, ...] = ()
    vias: dict[int, Vias | None] = field(default_factory=dict)
    """What can be used of them, by IP version of the prefix, as far as known; None when all peers are held."""


_NOWHERE = _Ways()


class Rib:
    """What was learnt. Refused, and counted by reason: default routes, and next hops of the other IP version.

    A prefix costs two entries of dictionaries, and nothing that the garbage collector has to look at.
    """

    def __init__(self, max_paths: int) -> None:
        self._max_paths = max_paths
        self._ways: dict[Place, _Ways] = {}
        self._shared: dict[tuple[Hop, ...], _Ways] = {}
        self._shown: dict[Place, Vias] = {}
        self._stale: set[Place] = set()
        self._held: set[str] = set()
        self._changed: set[Place] = set()
        self._refused: dict[Place, str] = {}

    def __len__(self) -> int:
        """Prefixes that were taken and stand."""
        return len(self._shown)

    @property
    def pending(self) -> bool:
        """Whether there may be changes to take."""
        return bool(self._changed)

    def refused(self) -> dict[str, int]:
        """Prefixes that are not passed on, by reason."""
        return dict(Counter(self._refused.values()))

    def tell(self, told: Iterable[Told]) -> None:
        """Take in what GoBGP told: all ways of each of these prefixes."""
        for prefix, hops in told:
            if self._stale:
                self._stale.discard(prefix)
            if hops == self._ways.get(prefix, _NOWHERE).hops:
                continue
            if hops:
                self._ways[prefix] = self._shared.get(hops) or self._shared.setdefault(hops, _Ways(hops))
            else:
                del self._ways[prefix]
            self._changed.add(prefix)

    def begin_again(self) -> None:
        """GoBGP was started again, and tells everything anew."""
        self._stale = set(self._ways)
        self._shared = {ways.hops: ways for ways in set(self._ways.values())}

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
            vias = self._usable(prefix)
            if vias == self._shown.get(prefix, ()):
                continue
            if vias:
                self._shown[prefix] = vias
                routes.append(_route(prefix, vias))
            else:
                del self._shown[prefix]
                gone.append(network_of(prefix))
        return RouteChanges(routes=tuple(routes), gone=tuple(gone))

    def everything(self, limit: int) -> Iterator[Sequence[LearnedRoute]]:
        """All that was taken and stands, ``limit`` at once; nothing may be taken meanwhile."""
        shown = iter(self._shown.items())
        while some := [_route(prefix, vias) for prefix, vias in islice(shown, limit)]:
            yield some

    def change_all(self) -> None:
        """Whoever takes changes is new, and begins with everything."""
        self._shown.clear()
        self._changed.update(self._ways)

    def _change(self, neighbor: str) -> None:
        """All prefixes that a peer leads to are others now."""
        theirs = {ways for hops, ways in self._shared.items() if any(hop.neighbor == neighbor for hop in hops)}
        for ways in theirs:
            ways.vias.clear()
        self._changed.update(prefix for prefix, ways in self._ways.items() if ways in theirs)

    def _usable(self, prefix: Place) -> Vias:
        """Next hops in a fixed order, each once."""
        self._refused.pop(prefix, None)
        ways = self._ways.get(prefix, _NOWHERE)
        version = prefix[0]
        if version not in ways.vias:
            ways.vias[version] = self._reachable(ways.hops, version)
        vias = ways.vias[version]
        if vias is None:
            return ()
        if prefix[-1] == 0:
            self._refused[prefix] = "default"
            return ()
        if not vias:
            self._refused[prefix] = "next_hop"
        return vias

    def _reachable(self, hops: Iterable[Hop], version: int) -> Vias | None:
        told = {hop.via for hop in hops if hop.neighbor not in self._held}
        usable = sorted((via for via in told if _can_be_named(via, version)), key=int)
        return tuple(usable[: self._max_paths]) if told else None


def _can_be_named(via: Address, version: int) -> bool:
    """In a route: of the prefix's IP version, and not good on one link alone."""
    return via.version == version and not via.is_link_local and not via.is_unspecified


def _route(prefix: Place, vias: Vias) -> LearnedRoute:
    return LearnedRoute(prefix=network_of(prefix), via=vias[0], more=vias[1:])
