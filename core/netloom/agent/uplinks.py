"""The devices of the underlay as they come and go: somebody else's, so they are looked at and never changed."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from netloom.datapath.layout import IFINDEXES
from netloom.edge.answers import LinkInfo
from netloom.edge.netlink import Netlink
from netloom.edge.underlay import Underlay
from netloom.model.errors import Invalid

MAX_UPLINKS = IFINDEXES


class Uplinks:
    """Made and asked in the kernel thread."""

    def __init__(self, netlink: Netlink, underlay: Underlay) -> None:
        """Raises Invalid when they are more than the programs know to look for."""
        if len(underlay.devices) > MAX_UPLINKS:
            raise Invalid(
                f"{len(underlay.devices)} underlay devices (node.underlay_device, node.uplinks) are more than the "
                f"{MAX_UPLINKS} that a node can have; leave out some, or bond them"
            )
        self._netlink = netlink
        self._present: dict[str, LinkInfo] = {link.name: link for link in underlay.devices}
        self._names = underlay.names
        self._log = structlog.get_logger()

    @property
    def names(self) -> tuple[str, ...]:
        """As configured, the first one first."""
        return self._names

    @property
    def present(self) -> Mapping[str, LinkInfo]:
        """Those that are there, by name; one made again has another index."""
        return self._present

    @property
    def away(self) -> frozenset[str]:
        """Those that were deleted, until somebody makes them again."""
        return frozenset(self._names) - self._present.keys()

    @property
    def indexes(self) -> tuple[int, ...]:
        """Of those that are there, in the order of their names in the configuration."""
        return tuple(self._present[name].ifindex for name in self._names if name in self._present)

    def look_again(self) -> bool:
        """Whether one has gone, or come back as another device."""
        found = {name: link for name in self._names if (link := self._netlink.link(name))}
        before, self._present = self._present, found
        for name in before.keys() - found.keys():
            self._log.error("uplink.gone", device=name, hint="it is taken up again when it comes back")
        changed = {name for name, link in found.items() if name not in before or before[name].ifindex != link.ifindex}
        for name in sorted(changed):
            self._log.info("uplink.back", device=name, ifindex=found[name].ifindex)
        return bool(changed or before.keys() - found.keys())

    def require_ethernet(self) -> None:
        """Raises Invalid, naming a device whose packets the programs cannot read."""
        for name, link in self._present.items():
            if not link.ethernet:
                raise Invalid(
                    f'underlay device "{name}" (node.underlay_device, node.uplinks) is not Ethernet, as the programs '
                    "of the network mode expect of every device that leads to other nodes; use an Ethernet device, or "
                    "a mode with a tunnel"
                )
