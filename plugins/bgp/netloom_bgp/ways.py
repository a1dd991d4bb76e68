"""Which device leads to which peer, and what follows for the peer. Pure: told what the kernel says, it tells changes.

A peer on a segment of this node is never looked for behind a router: when its device is switched off, or loses the
address of that segment, the default route would seem to lead there, and does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from netloom.model.address import Address
from netloom_bgp.rtnl_wire import Device, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is true of a peer from now on."""

    address: Address
    device: str
    """Name of the device that leads to it; "" while nothing does."""
    trouble: str
    """Why it cannot be reached by that, a clause without a full stop; "" when nothing is known against it."""
    turned: bool
    """Whether the peer was reachable before and is not now, or the other way round."""


@dataclass(frozen=True, slots=True)
class _Peer:
    device: Device | None = None
    on_link: bool = False
    """Whether it was ever a neighbour."""
    astray: bool = False
    """Whether it was a neighbour, and its device has no such network any more."""

    @property
    def name(self) -> str:
        return self.device.name if self.device else ""

    @property
    def trouble(self) -> str:
        if self.device is None:
            return ""
        if self.device.trouble:
            return f"device {self.device.name} {self.device.trouble}"
        return f"device {self.device.name} is not on its network any more" if self.astray else ""


class Ways:
    """State of all peers."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._peers = {address: _Peer() for address in addresses}

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The peers."""
        return tuple(self._peers)

    def device_of(self, address: Address) -> Device | None:
        """The device that leads there, as far as known."""
        return self._peers[address].device

    def fails(self, device: Device) -> Iterator[Change]:
        """A device has a trouble: at once true of every peer it leads to. Good news waits for :meth:`found`."""
        for address, peer in self._peers.items():
            if peer.device and peer.device.ifindex == device.ifindex and device.trouble:
                yield from self._set(address, replace(peer, device=device))

    def found(self, address: Address, way: Way | None, device: Device | None) -> Iterator[Change]:
        """A way was looked up; ``device`` is that of the way, or the last known one where :meth:`keeps` says so."""
        peer = self._peers[address]
        if self.keeps(address, way):
            yield from self._set(address, replace(peer, device=device, astray=peer.on_link))
        elif way is not None:
            on_link = peer.on_link or way.on_link
            yield from self._set(address, _Peer(device=device, on_link=on_link))

    def keeps(self, address: Address, way: Way | None) -> bool:
        """Whether the device known before counts, and not the one of this way."""
        peer = self._peers[address]
        return peer.device is not None and (way is None or (peer.on_link and not way.on_link))

    def _set(self, address: Address, peer: _Peer) -> Iterator[Change]:
        before, self._peers[address] = self._peers[address], peer
        if (before.name, before.trouble) != (peer.name, peer.trouble):
            turned = bool(before.trouble) != bool(peer.trouble)
            yield Change(address=address, device=peer.name, trouble=peer.trouble, turned=turned)
