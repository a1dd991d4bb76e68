"""The network the nodes share: through which devices, and at which addresses, this node is reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netloom.edge.netlink import LinkInfo, Netlink
from netloom.model.address import Address, Network
from netloom.model.errors import Invalid, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlay:
    """This node on the underlay; at least one device and one address are there."""

    devices: tuple[LinkInfo, ...]
    """As they were found: ``underlay_device`` first, then the other uplinks."""
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None
    segments: tuple[Network, ...] = ()
    """Subnets of the devices' addresses, each once: whoever has an address in one is a neighbour."""

    @property
    def device(self) -> str:
        """The first one, by which tunnel packets pass."""
        return self.devices[0].name

    @property
    def names(self) -> tuple[str, ...]:
        """Of all devices, the first one first."""
        return tuple(link.name for link in self.devices)

    @property
    def mtu_bytes(self) -> int:
        """What fits every device: a packet may leave by any of them."""
        return min(link.mtu_bytes for link in self.devices)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Those it has, IPv4 first."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)


def find_underlay(
    netlink: Netlink,
    device: str = "",
    ipv4: IPv4Address | None = None,
    ipv6: IPv6Address | None = None,
    uplinks: Iterable[str] = (),
) -> Underlay:
    """The underlay as configured, or as the kernel has it where the configuration leaves it open.

    An empty ``device`` is that of the default route; an unset address is the first device's first global one. A set
    address may stand on any device, as it does on nodes with an address of their own behind several uplinks.
    Raises NotFound with what is there instead, Invalid for an uplink that is named twice.
    """
    name = device or netlink.default_device()
    if name is None:
        raise NotFound("this node has no default route to tell the underlay device by; set node.underlay_device")
    devices = (_require(netlink, name, "node.underlay_device"), *_uplinks(netlink, name, tuple(uplinks)))
    given = tuple(address for address in (ipv4, ipv6) if address is not None)
    _check_given(netlink, given)
    found = netlink.device_addresses(name)
    underlay = Underlay(
        devices=devices,
        ipv4=ipv4 or next((address for address in found if isinstance(address, IPv4Address)), None),
        ipv6=ipv6 or next((address for address in found if isinstance(address, IPv6Address)), None),
        segments=tuple(dict.fromkeys(segment for link in devices for segment in netlink.device_subnets(link.name))),
    )
    if not underlay.addresses:
        raise NotFound(
            f'underlay device "{name}" has no global address; give it one, or set node.underlay_ipv4 or '
            "node.underlay_ipv6 to an address of this node"
        )
    return underlay


def _uplinks(netlink: Netlink, first: str, names: tuple[str, ...]) -> list[LinkInfo]:
    for number, name in enumerate(names):
        if name == first or name in names[:number]:
            raise Invalid(
                f'node.uplinks names "{name}", which is {"the underlay device" if name == first else "there twice"}; '
                "name each further device once"
            )
    return [_require(netlink, name, "node.uplinks") for name in names]


def _require(netlink: Netlink, name: str, setting: str) -> LinkInfo:
    link = netlink.link(name)
    if link is None:
        raise NotFound(f'underlay device "{name}" ({setting}) does not exist on this node')
    return link


def _check_given(netlink: Netlink, given: tuple[Address, ...]) -> None:
    present = netlink.local_addresses() if given else frozenset()
    missing = [str(address) for address in given if address not in present]
    if missing:
        raise NotFound(
            f"underlay address {', '.join(missing)} (node.underlay_ipv4, node.underlay_ipv6) is on no device of this "
            f"node, which has {', '.join(sorted(map(str, present))) or 'none'}"
        )
