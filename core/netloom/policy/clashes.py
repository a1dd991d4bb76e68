"""Two protocols at one port of one endpoint: nobody could say which is spoken there, so no import brings it about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from netloom.model.errors import Problem
from netloom.model.labels import Labels
from netloom.model.policy import Policy, PolicyName, Ports, Requests, Selector
from netloom.policy.selection import selects
from netloom.policy.shadowing import selector_covers
from netloom.policy.table import Direction


@dataclass(frozen=True, slots=True)
class _Use:
    """A protocol at some ports of those whom a rule is about."""

    policy: PolicyName
    direction: Direction
    subject: Selector
    requests: Requests


def clashes(new: Iterable[Policy], standing: Iterable[Policy], labels: Collection[Labels] = ()) -> Iterator[Problem]:
    """What is wrong with new policies beside each other and beside those that stand.

    Two rules are about one endpoint where one's selector covers the other's, or where both select one of ``labels``,
    those of identities that are known. Of endpoints that come later the proxy closes such ports.
    """
    fresh, old = (tuple(use for policy in policies for use in _uses(policy)) for policies in (new, standing))
    pairs = [*product(fresh, old), *((one, other) for number, one in enumerate(fresh) for other in fresh[:number])]
    for one, other in pairs:
        if one.requests.protocol != other.requests.protocol and _meet(one, other, labels):
            place = one.requests.origin
            found = f"{one.requests.protocol}, where {other.policy} has {other.requests.protocol} at the same port"
            where = f"{other.requests.origin}" if other.requests.origin.file else other.requests.origin.path
            expected = f"one protocol at each port of an endpoint: see {where}"
            yield Problem(place.file, place.line, place.path, found, expected)


def _uses(policy: Policy) -> Iterator[_Use]:
    for rule in policy.rules:
        for direction, section in zip(Direction, (rule.ingress, rule.egress), strict=True):
            for entry in (*(section.allow or ()), *(section.deny or ())):
                for requests in entry.requests:
                    yield _Use(policy.name, direction, rule.subject, requests)


def _meet(one: _Use, other: _Use, labels: Collection[Labels]) -> bool:
    if one.direction is not other.direction:
        return False
    if not any(_share(mine, theirs) for mine in one.requests.services for theirs in other.requests.services):
        return False
    if selector_covers(one.subject, other.subject) or selector_covers(other.subject, one.subject):
        return True
    return any(selects(one.subject, found) and selects(other.subject, found) for found in labels)


def _share(one: Ports, other: Ports) -> bool:
    """Whether two ports are the same, as far as it shows: what a name stands for is each endpoint's own."""
    if one.name or other.name:
        return one.name == other.name
    return max(one.first, other.first) <= min(one.last, other.last)
