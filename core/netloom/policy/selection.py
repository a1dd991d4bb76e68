"""Who is selected: groups of peers, each evaluated once however many policies use it.

A *group* is a criterion with the peers that meet it now. Policies hold groups, so a selector that stands in a thousand
policies is evaluated once for each identity. Selectors are indexed by one label they ask for, and identities by their
labels: a new identity is shown only to selectors that could select it, and a new selector only to identities that it
could select. Of the labels a selector asks for the index takes the one that the fewest have when the selector comes:
with ten thousand identities that is the namespace for most, and with one namespace the application. What asks for
nothing positive is shown everything.

**Reserved identities** (host, world, ...) are selected only by selectors that ask for one of their labels. A
selector that merely says what must not be, or nothing at all, means endpoints: an empty one that reached the world
would be a trap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from netloom.model.errors import Invalid
from netloom.model.identity import IdentityId, Reserved, reserved_identities
from netloom.model.labels import Label, Labels
from netloom.model.policy import CidrPeer, Entity, Operator, Selector
from netloom.policy.table import ANY_PEER

if TYPE_CHECKING:
    from netloom.policy.resolve import ResolvedRule

Criterion = Selector | Entity
_POSITIVE: Final = (Operator.IN, Operator.EXISTS)
_WORLD: Final = frozenset({Entity.WORLD, Entity.WORLD_IPV4, Entity.WORLD_IPV6})
_CLUSTER: Final = frozenset(Entity) - _WORLD - {Entity.ALL, Entity.CLUSTER, Entity.NONE}


@dataclass(slots=True, eq=False)
class Group:
    """Peers that meet a criterion. Compared as an object: there is one for each criterion."""

    criterion: Criterion | CidrPeer | None
    """None: the one peer that stands for all."""
    members: set[int] = field(default_factory=set)
    """Peers as they stand in keys of tables."""
    users: int = 0
    rules: set[ResolvedRule] = field(default_factory=set)
    """Rules that have this group as their subject."""


Change = tuple[Group, int]
"""A peer that a group gained or lost."""


def is_reserved(labels: Labels) -> bool:
    """Whether these labels are of an identity that stands for no label set of an endpoint."""
    return any(label.source == "reserved" for label in labels)


def has_policy(labels: Labels | None) -> bool:
    """Whether an identity is of endpoints, whose packets tables judge; others are judged at the other end alone."""
    if labels is None:
        return False
    return not is_reserved(labels) or any(Reserved[name].label in labels for name in ("INIT", "HEALTH", "INGRESS"))


def selects(selector: Selector, labels: Labels) -> bool:
    """Whether a selector selects an identity, with the law about reserved ones."""
    if not any(item.operator in _POSITIVE for item in selector.requirements) and is_reserved(labels):
        return False
    return selector.selects(labels)


def is_entity(entity: Entity, labels: Labels) -> bool:
    """Whether an identity is what an entity names."""
    names = {label.key for label in labels if label.source == "reserved"}
    match entity:
        case Entity.ALL:
            return True
        case Entity.WORLD:
            return not names.isdisjoint(_WORLD)
        case Entity.CLUSTER:
            return not names or not names.isdisjoint(_CLUSTER)
        case _:
            return entity in names


def meets(criterion: Criterion, labels: Labels) -> bool:
    """Whether an identity meets a criterion."""
    if isinstance(criterion, Selector):
        return selects(criterion, labels)
    return is_entity(criterion, labels)


class Selections:
    """Identities, and the groups of them that somebody uses."""

    def __init__(self) -> None:
        self._labels: dict[IdentityId, Labels] = {}
        self._groups: dict[Criterion, Group] = {}
        self._holders: dict[int, set[Group]] = {}
        self._by_label: dict[tuple[str, str], dict[IdentityId, None]] = {}
        self._asking: dict[tuple[str, str], dict[Group, None]] = {}
        self._places: dict[Group, tuple[tuple[str, str], ...]] = {}
        self._showing: dict[Group, None] = {}
        self.anybody = Group(None, {ANY_PEER})
        for identity in reserved_identities():
            self.add(identity.id, identity.labels)

    def labels_of(self, identity: int) -> Labels | None:
        """None: not known."""
        return self._labels.get(IdentityId(identity))

    def identities(self) -> Iterable[IdentityId]:
        """All that are known, reserved ones too."""
        return self._labels.keys()

    def groups(self) -> Iterable[Group]:
        """All that somebody uses."""
        return self._groups.values()

    def holders(self, peer: int) -> set[Group]:
        """Groups an identity is in."""
        return self._holders.get(peer, set())

    def add(self, identity: IdentityId, labels: Labels) -> list[Change]:
        """A new identity; raises :class:`Invalid` when it is known with other labels."""
        known = self._labels.get(identity)
        if known is not None:
            if known != labels:
                raise Invalid(f"identity {identity} stands for other labels already: a number is never given anew")
            return []
        self._labels[identity] = labels
        for key in _keys(labels):
            self._by_label.setdefault(key, {})[identity] = None
        found = [group for group in self._candidates(labels) if _has(group, labels)]
        self._holders[identity] = set(found)
        for group in found:
            group.members.add(identity)
        return [(group, identity) for group in found]

    def remove(self, identity: IdentityId) -> list[Change]:
        """Forget an identity; nothing happens when it is not known."""
        labels = self._labels.pop(identity, None)
        if labels is None:
            return []
        if is_reserved(labels):
            self._labels[identity] = labels
            raise Invalid(f"identity {identity} is reserved: it cannot be removed")
        for key in _keys(labels):
            del self._by_label[key][identity]
            if not self._by_label[key]:
                del self._by_label[key]
        lost = self._holders.pop(identity)
        for group in lost:
            group.members.discard(identity)
        return [(group, identity) for group in lost]

    def acquire(self, criterion: Criterion) -> Group:
        """The group of a criterion, for one more user."""
        group = self._groups.get(criterion)
        if group is None:
            group = self._groups[criterion] = Group(criterion)
            keys = self._place(group)
            for identity in self._possible(keys):
                if meets(criterion, self._labels[identity]):
                    group.members.add(identity)
                    self._holders[identity].add(group)
        group.users += 1
        return group

    def release(self, group: Group) -> None:
        """One user less; the last one takes the group with it."""
        if group is self.anybody or isinstance(group.criterion, CidrPeer | None):
            return
        group.users -= 1
        if group.users:
            return
        del self._groups[group.criterion]
        self._displace(group)
        for identity in group.members:
            self._holders[identity].discard(group)

    def _place(self, group: Group) -> tuple[tuple[str, str], ...]:
        """Put a group into the index; gives its keys there, none when it is shown everything."""
        keys = self._places[group] = min(_asked(group.criterion), key=self._width, default=())
        for key in keys:
            self._asking.setdefault(key, {})[group] = None
        if not keys:
            self._showing[group] = None
        return keys

    def _width(self, keys: tuple[tuple[str, str], ...]) -> tuple[int, int]:
        """How many identities a group would have to look at, and how many groups are there already."""
        identities = sum(len(self._by_label.get(key, ())) for key in keys)
        return identities, sum(len(self._asking.get(key, ())) for key in keys)

    def _displace(self, group: Group) -> None:
        for key in self._places.pop(group):
            del self._asking[key][group]
            if not self._asking[key]:
                del self._asking[key]
        self._showing.pop(group, None)

    def _candidates(self, labels: Labels) -> Iterator[Group]:
        """Groups that could hold an identity of these labels; none twice."""
        seen = dict(self._showing)
        for key in _keys(labels):
            seen.update(self._asking.get(key, {}))
        yield from seen

    def _possible(self, keys: tuple[tuple[str, str], ...]) -> Iterable[IdentityId]:
        """Identities that could meet what a group of these keys asks for; none twice."""
        if not keys:
            return self._labels.keys()
        found: dict[IdentityId, None] = {}
        for key in keys:
            found.update(self._by_label.get(key, {}))
        return found


_EXISTS: Final = "\0"
"""Stands for any value in an index of labels; no label has it."""


def _keys(labels: Iterable[Label]) -> set[tuple[str, str]]:
    """What an identity is indexed by."""
    return {(label.key, value) for label in labels for value in (label.value, _EXISTS)}


def _asked(criterion: Criterion | CidrPeer | None) -> Iterator[tuple[tuple[str, str], ...]]:
    """What a criterion can be indexed by: each positive requirement with every value it may have."""
    if isinstance(criterion, Selector):
        for item in criterion.requirements:
            if item.operator in _POSITIVE:
                yield tuple((item.key, value) for value in dict.fromkeys(item.values or (_EXISTS,)))


def _has(group: Group, labels: Labels) -> bool:
    """Whether a group of identities takes one in."""
    return isinstance(group.criterion, Selector | Entity) and meets(group.criterion, labels)
