"""Requests that somebody wants to see at an identity: all that its endpoints' annotations ask for, taken together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from netloom.model.identity import IdentityId
from netloom.model.policy import Origin, Ports, Protocol, Requests
from netloom.model.visibility import ANNOTATION, Visibility
from netloom.policy.ports import plain_services
from netloom.policy.resolve import Asked, Clause
from netloom.policy.selection import Group
from netloom.policy.table import WATCH, Direction, Source

ORIGIN: Final = Origin("", 0, ANNOTATION)
_SOURCES: Final = frozenset({Source(None, ORIGIN, WATCH)})


class Visible:
    """What is asked for, by whoever asks."""

    def __init__(self) -> None:
        self._owned: dict[str, tuple[IdentityId, tuple[Visibility, ...]]] = {}

    def put(self, owner: str, identity: IdentityId, visible: tuple[Visibility, ...]) -> tuple[IdentityId, ...]:
        """An endpoint asks for this now, and for nothing else; says of which identities something else may be seen."""
        before = self._owned.pop(owner, None)
        if visible:
            self._owned[owner] = identity, visible
        changed = {identity} if visible else set()
        return tuple(sorted(changed | ({before[0]} if before else set())))

    def of(self, identity: IdentityId) -> frozenset[Visibility]:
        """Of all endpoints of an identity."""
        return frozenset(one for of, visible in self._owned.values() if of == identity for one in visible)


def clauses_of(visible: Iterable[Visibility], anybody: Group) -> Iterator[tuple[Direction, Clause]]:
    """As rules of an audit policy that denies no request: packets that pass anyway go by way of the proxy."""
    for one in sorted(visible):
        direction = Direction.EGRESS if one.direction == "egress" else Direction.INGRESS
        ports = (Ports(Protocol.TCP, one.port, one.port),)
        asked = Asked(Requests(one.protocol, ports, (), ORIGIN), None, denies=True, audit=True)
        yield direction, Clause(anybody, WATCH, _SOURCES, plain_services(ports), asked=asked)
