"""How packets reach another node's pods through VXLAN. Pure: everything follows from what nodes publish."""

from __future__ import annotations

from typing import Final

from netloom.model.address import Address, Family, Network, family_of
from netloom.model.errors import Invalid
from netloom.model.node import Node
from netloom.plugins import DeviceSpec, Reach, RouteSpec, Tunnel, WorkloadKind

NAME: Final = "vxlan"
DEVICE: Final = "loom_vxlan"
GATEWAY_DEVICE: Final = "loom_host"
"""Where the node's own packets for remote pods enter the data path."""

OVERHEAD_BYTES: Final = {4: 50, 6: 70}
"""Inner Ethernet 14, VXLAN 8, UDP 8 (RFC 7348, section 5), and an outer IPv4 header of 20 or IPv6 header of 40."""
IPV4_MIN_MTU: Final = 576
"""What every IPv4 host must be able to receive (RFC 791, section 3.1)."""


class VxlanMode:
    """A NetworkMode: one collect-metadata VXLAN device, and a tunnel endpoint for each remote prefix."""

    def __init__(self, port: int, *, direct: bool = True) -> None:
        self._port = port
        self._direct = direct

    @property
    def workload(self) -> WorkloadKind:
        """A pair of interfaces, one end in the pod."""
        return WorkloadKind.VETH

    @property
    def tunnel(self) -> Tunnel:
        """Where the ENCAP stage sends packets."""
        return Tunnel(device=DEVICE, port=self._port, direct=self._direct)

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        """What is left of the underlay's MTU; raises Invalid when that is too little for IPv4."""
        left = underlay_mtu_bytes - OVERHEAD_BYTES[underlay]
        if left < IPV4_MIN_MTU:
            raise Invalid(
                f"an underlay MTU of {underlay_mtu_bytes} leaves pods {left} bytes after VXLAN over IPv{underlay}, "
                f"expected at least {IPV4_MIN_MTU}; raise the MTU of the underlay device"
            )
        return left

    def devices(self) -> tuple[DeviceSpec, ...]:
        """The tunnel device; what it sends where is said by the program that sends, so it learns nothing."""
        attributes = {"vxlan_collect_metadata": 1, "vxlan_port": self._port, "vxlan_learning": 0}
        return (DeviceSpec(name=DEVICE, kind="vxlan", attributes=attributes),)

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        """Tunnels, peers and routes towards ``remote``; raises Invalid when it cannot be reached."""
        if not remote.takes(NAME):
            raise Invalid(
                f'node "{remote.name}" takes packets of network mode {_list(remote.modes or (remote.mode,))}, not of '
                f'"{NAME}"; give all nodes of a cluster a mode in common, as network_mode or as fallback_mode'
            )
        endpoint = _tunnel_endpoint(local, remote)
        served = [cidr for cidr in remote.pod_cidrs if local.gateway(family_of(cidr)) is not None]
        return Reach(
            tunnels=dict.fromkeys(served, endpoint),
            peers=frozenset(remote.underlays),
            routes=tuple(_route(local, cidr, mtu_bytes) for cidr in served),
        )


def _route(local: Node, cidr: Network, mtu_bytes: int) -> RouteSpec:
    """IPv4 goes by the gateway address, so that the node needs no neighbour entry for each pod; IPv6 needs none."""
    gateway = local.gateway(family_of(cidr))
    via = gateway if cidr.version == 4 else None
    return RouteSpec(prefix=cidr, device=GATEWAY_DEVICE, via=via, source=gateway, mtu_bytes=mtu_bytes)


def _tunnel_endpoint(local: Node, remote: Node) -> Address:
    """The remote underlay address in the first family both have, IPv4 before IPv6, so that both sides agree."""
    for family in (4, 6):
        mine, theirs = local.underlay(family), remote.underlay(family)
        if mine is not None and theirs is not None:
            return theirs
    raise Invalid(
        f'node "{remote.name}" has underlay addresses {_underlay(remote)}, this node has {_underlay(local)}; '
        "give both an address of the same IP version"
    )


def _list(names: tuple[str, ...]) -> str:
    return " and ".join(f'"{name}"' for name in names)


def _underlay(node: Node) -> str:
    return " and ".join(map(str, node.underlays)) or "none"
