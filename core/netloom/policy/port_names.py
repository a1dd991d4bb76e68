"""What the names of ports stand for at each identity: all of its endpoints taken together."""

from __future__ import annotations

from netloom.model.identity import IdentityId
from netloom.model.policy import Protocol
from netloom.model.ports import NamedPort
from netloom.policy.ports import NamedPorts


class PortNames:
    """Ports by whoever has them: an endpoint of this node, or an address of another."""

    def __init__(self) -> None:
        self._owned: dict[str, tuple[IdentityId, tuple[NamedPort, ...]]] = {}
        self._owners: dict[IdentityId, set[str]] = {}

    def owner(self, owner: str) -> IdentityId | None:
        """The identity that somebody's ports count for; None when he has none."""
        found = self._owned.get(owner)
        return found[0] if found else None

    def put(self, owner: str, identity: IdentityId, ports: tuple[NamedPort, ...]) -> tuple[IdentityId, ...]:
        """Somebody has these ports now, and no others; says which identities' names may stand for others now."""
        before = self._owned.pop(owner, None)
        if before is not None:
            self._owners[before[0]].discard(owner)
            if not self._owners[before[0]]:
                del self._owners[before[0]]
        if ports:
            self._owned[owner] = identity, ports
            self._owners.setdefault(identity, set()).add(owner)
        changed = {identity} if ports else set()
        return tuple(sorted(changed | ({before[0]} if before else set())))

    def of(self, identity: IdentityId) -> NamedPorts:
        """Every name with every port that it stands for at some endpoint."""
        found: dict[str, set[tuple[Protocol, int]]] = {}
        for owner in self._owners.get(identity, ()):
            for port in self._owned[owner][1]:
                found.setdefault(port.name, set()).add((port.protocol, port.port))
        return {name: frozenset(ports) for name, ports in found.items()}
