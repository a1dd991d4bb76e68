"""How packets reach another node's pods as they are. Pure: everything follows from what nodes publish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from netloom.model.address import Address, Family, Network, family_of, host_prefix
from netloom.model.errors import Invalid
from netloom.model.node import Node
from netloom.plugins import UNDERLAY, DeviceSpec, Reach, RouteSpec, Tunnel, WorkloadKind

NAME: Final = "native"


class NativeMode:
    """A NetworkMode without tunnels: prefixes of other nodes are reached by this node's routes."""

    def __init__(
        self, *, direct_node_routes: bool = True, routed: bool = False, native_cidrs: tuple[Network, ...] = ()
    ) -> None:
        self._direct_node_routes = direct_node_routes
        self._routed = routed
        self._native_cidrs = native_cidrs

    @property
    def workload(self) -> WorkloadKind:
        """A pair of interfaces, one end in the pod."""
        return WorkloadKind.VETH

    @property
    def tunnel(self) -> Tunnel | None:
        """None."""
        return None

    @property
    def native_cidrs(self) -> tuple[Network, ...]:
        """Addresses outside the cluster that pods reach with their own."""
        return self._native_cidrs

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        """All of the underlay's, over either family."""
        del underlay
        return underlay_mtu_bytes

    def devices(self) -> tuple[DeviceSpec, ...]:
        """None are needed."""
        return ()

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        """Native prefixes of ``remote``, and routes if it is a neighbour; raises Invalid when it cannot be reached."""
        del mtu_bytes  # the routes' devices say it
        if not remote.takes(NAME):
            raise Invalid(
                f'node "{remote.name}" takes packets of {_list(remote.modes or (remote.mode,))}, this node sends '
                f'"{NAME}"; give it network_mode or fallback_mode "{NAME}" too'
            )
        served = [cidr for cidr in remote.pod_cidrs if local.gateway(family_of(cidr)) is not None]
        routes = tuple(route for cidr in served if (route := self._route(local, remote, cidr)) is not None)
        return Reach(native=frozenset({*served, *_own_addresses(local, remote)}), routes=routes)

    def _route(self, local: Node, remote: Node, cidr: Network) -> RouteSpec | None:
        """To a neighbour; None when somebody else keeps one.

        The source is the gateway's address, which all nodes know this one by, whichever of its devices a route takes.
        """
        family = family_of(cidr)
        underlay = remote.underlay(family)
        if self._direct_node_routes and underlay is not None and _is_neighbor(local, underlay):
            return RouteSpec(prefix=cidr, device=UNDERLAY, via=underlay, source=local.gateway(family))
        if self._routed:
            return None
        raise Invalid(
            f"{self._fault(local, remote, family)}; where the network or a routing plugin knows a way to its pods, set "
            f"plugins.{NAME}.routed, elsewhere a fallback_mode"
        )

    def _fault(self, local: Node, remote: Node, family: Family) -> str:
        """Why there is no route to a node, in half a sentence."""
        if not self._direct_node_routes:
            return f'node "{remote.name}" is given no route: plugins.{NAME}.direct_node_routes is false'
        for node in (remote, local):
            if node.underlay(family) is None:
                return f'node "{node.name}" has no IPv{family} underlay address'
        return (
            f'node "{remote.name}" has IPv{family} underlay address {remote.underlay(family)}, which is on no segment '
            f"of this node ({_list(map(str, local.segments))})"
        )


def _own_addresses(local: Node, remote: Node) -> Iterator[Network]:
    """The remote node's own addresses, of the families that this node's pods have."""
    for address in (*remote.gateways, *remote.underlays):
        if local.gateway(family_of(address)) is not None:
            yield host_prefix(address)


def _is_neighbor(local: Node, address: Address) -> bool:
    """Whether both stand on one segment, and this node has an address of that family for its neighbour to answer."""
    if local.underlay(family_of(address)) is None:
        return False
    return any(segment.version == address.version and address in segment for segment in local.segments)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
