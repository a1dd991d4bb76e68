"""The network the nodes share: through which device, and at which addresses, this node is reached."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netloom.edge.netlink import Netlink
from netloom.model.address import Address
from netloom.model.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlay:
    """This node on the underlay; at least one address is there."""

    device: str
    ifindex: int
    mtu_bytes: int
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Those it has, IPv4 first."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)


def find_underlay(
    netlink: Netlink, device: str = "", ipv4: IPv4Address | None = None, ipv6: IPv6Address | None = None
) -> Underlay:
    """The underlay as configured, or as the kernel has it where the configuration leaves it open.

    An empty ``device`` is that of the default route; an unset address is the device's first global one. A set
    address may stand on any device, as it does on nodes with an address of their own behind several uplinks.
    Raises NotFound with what is there instead.
    """
    name = device or netlink.default_device()
    if name is None:
        raise NotFound("this node has no default route to tell the underlay device by; set node.underlay_device")
    link = netlink.link(name)
    if link is None:
        raise NotFound(f'underlay device "{name}" (node.underlay_device) does not exist on this node')
    given = tuple(address for address in (ipv4, ipv6) if address is not None)
    _check_given(netlink, given)
    found = netlink.device_addresses(name)
    underlay = Underlay(
        device=name,
        ifindex=link.ifindex,
        mtu_bytes=link.mtu_bytes,
        ipv4=ipv4 or next((address for address in found if isinstance(address, IPv4Address)), None),
        ipv6=ipv6 or next((address for address in found if isinstance(address, IPv6Address)), None),
    )
    if not underlay.addresses:
        raise NotFound(
            f'underlay device "{name}" has no global address; give it one, or set node.underlay_ipv4 or '
            "node.underlay_ipv6 to an address of this node"
        )
    return underlay


def _check_given(netlink: Netlink, given: tuple[Address, ...]) -> None:
    present = netlink.local_addresses() if given else frozenset()
    missing = [str(address) for address in given if address not in present]
    if missing:
        raise NotFound(
            f"underlay address {', '.join(missing)} (node.underlay_ipv4, node.underlay_ipv6) is on no device of this "
            f"node, which has {', '.join(sorted(map(str, present))) or 'none'}"
        )
