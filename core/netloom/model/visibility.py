"""Visibility: ports of an endpoint at which somebody wants to see requests, whatever policies say of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from netloom.model.errors import Invalid

ANNOTATION: Final = "policy.cilium.io/proxy-visibility"
"""Cilium's, of a pod: ``<Ingress/80/TCP/HTTP>,<Egress/8080/TCP/HTTP>``."""
MAX_PORTS: Final = 40
_ENTRY: Final = re.compile(r"<(Ingress|Egress)/([0-9]{1,5})/([A-Za-z]+)/([A-Za-z0-9_-]+)>")


@dataclass(frozen=True, slots=True, order=True)
class Visibility:
    """One port."""

    direction: str
    """``ingress`` or ``egress``, seen from the endpoint."""
    port: int
    """Of TCP, 1 to 65535."""
    protocol: str
    """Of the application, as a plugin calls it: ``http``."""

    def __str__(self) -> str:
        return f"<{self.direction.capitalize()}/{self.port}/TCP/{self.protocol.upper()}>"

    @classmethod
    def parse(cls, text: str) -> Visibility:
        """Inverse of ``str()``. Raises Invalid."""
        found = _ENTRY.fullmatch(text.strip())
        if found is None:
            raise Invalid(f'"{text[:60]}" makes nothing visible, expected one as <Ingress/80/TCP/HTTP>')
        direction, port, transport, protocol = found.groups()
        if transport.upper() != "TCP":
            raise Invalid(f'"{text[:60]}" is about {transport}, expected TCP: requests are seen over TCP alone')
        if not 1 <= int(port) <= 65535:
            raise Invalid(f'"{text[:60]}" has port {port}, expected 1 to 65535')
        return cls(direction.lower(), int(port), protocol.lower())


def visibility_of(annotation: str) -> tuple[Visibility, ...]:
    """All that an annotation names, sorted, each once. Raises Invalid."""
    parts = annotation.split(",") if annotation.strip() else []
    if len(parts) > MAX_PORTS:
        raise Invalid(f"{ANNOTATION} names {len(parts)} ports, expected at most {MAX_PORTS}")
    return tuple(sorted({Visibility.parse(part) for part in parts}))
