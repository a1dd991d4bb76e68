"""Ports that workloads give names to, by which policies may know them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netloom.model.errors import Invalid
from netloom.model.policy import Protocol

_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
"""RFC 6335: letters, digits and single inner hyphens, with at least one letter; as Kubernetes, in lower case."""
MAX_NAME_BYTES = 15
NAMED_PROTOCOLS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


@dataclass(frozen=True, slots=True, order=True)
class NamedPort:
    """A port of a workload."""

    name: str
    protocol: Protocol
    port: int
    """1 to 65535."""

    def __str__(self) -> str:
        return f"{self.name}:{self.protocol}:{self.port}"

    @classmethod
    def of(cls, name: str, protocol: str, port: int) -> NamedPort:
        """Checked. Raises Invalid."""
        if len(name) > MAX_NAME_BYTES or not _NAME.fullmatch(name):
            raise Invalid(
                f'port name "{name[:40]}" is not usable: expected 1 to {MAX_NAME_BYTES} of a-z, 0-9 and single inner '
                "hyphens, with at least one letter"
            )
        if protocol not in NAMED_PROTOCOLS:
            expected = ", ".join(NAMED_PROTOCOLS)
            raise Invalid(f'port "{name}" has protocol "{protocol[:40]}", expected one of {expected}')
        if not 1 <= port <= 65535:
            raise Invalid(f'port "{name}" is {port}, expected 1 to 65535')
        return cls(name, Protocol(protocol), port)

    @classmethod
    def parse(cls, text: str) -> NamedPort:
        """Inverse of ``str()``: ``http:TCP:80``. Raises Invalid."""
        name, _, rest = text.partition(":")
        protocol, _, port = rest.partition(":")
        if not (port.isascii() and port.isdigit()) or len(port) > len("65535"):
            raise Invalid(f'named port "{text[:60]}" cannot be read, expected NAME:PROTOCOL:PORT as http:TCP:80')
        return cls.of(name, protocol, int(port))
