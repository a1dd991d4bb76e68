"""Nodes: what every node tells the others about itself."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netloom.model.address import Address, Family, Network
from netloom.model.ports import NamedPort


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster as published in the store."""

    name: str
    underlay_ipv4: IPv4Address | None
    underlay_ipv6: IPv6Address | None
    pod_cidrs: tuple[Network, ...]
    gateways: tuple[Address, ...]
    """Addresses of ``loom_host``, at most one a family."""
    mode: str
    """Name of the network-mode plugin the node runs first."""
    modes: tuple[str, ...] = ()
    """Names of all network modes whose packets the node takes; none when it told of ``mode`` alone."""
    segments: tuple[Network, ...] = ()
    """Subnets of the underlay that the node stands in: whoever stands in one too is its neighbour."""

    def takes(self, mode: str) -> bool:
        """Whether packets of that network mode reach the node."""
        return mode in (self.modes or (self.mode,))

    def underlay(self, family: Family) -> Address | None:
        """Address the node is reached at over the underlay, by family."""
        return self.underlay_ipv4 if family == 4 else self.underlay_ipv6

    @property
    def underlays(self) -> tuple[Address, ...]:
        """All addresses of the node on the underlay, IPv4 first."""
        return tuple(address for address in (self.underlay_ipv4, self.underlay_ipv6) if address is not None)

    def gateway(self, family: Family) -> Address | None:
        """The gateway address of a family, if the node serves it."""
        return next((gateway for gateway in self.gateways if gateway.version == family), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAddress:
    """An endpoint address of some node, with its identity, as published in the store."""

    address: Address
    identity: int
    node: str
    pod: str = ""
    """``namespace/name``; "" when the node was not told."""
    ports: tuple[NamedPort, ...] = ()
