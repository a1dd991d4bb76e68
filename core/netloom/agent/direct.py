"""The direct way: tunnel packets sent and taken by programs, past the tunnel device and the host's stack.

It is open only while nothing of the host's stack is missed: see :func:`obstacle`.
"""

from __future__ import annotations

from dataclasses import dataclass

from netloom.edge.netlink import Netlink
from netloom.edge.underlay import Underlay
from netloom.edge.xfrm import policy_count
from netloom.plugins.contract import Tunnel


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides whether packets may go directly."""

    wanted: bool
    """The network mode asks for it."""
    ipv4: bool
    """The underlay has an IPv4 address."""
    ethernet: bool
    """Packets of the underlay device begin with an Ethernet header."""
    ipsec_policies: int
    ifindex: int
    """Of the underlay device, which is another one when it was made again; 0 while it is away."""


def obstacle(found: Circumstances) -> str:
    """Why packets may not go directly, in words that end a sentence; "" when they may."""
    if not found.wanted:
        return "it is switched off"
    if not found.ipv4:
        return "the underlay has no IPv4 address"
    if not found.ifindex:
        return "the underlay device is away"
    if not found.ethernet:
        return "the underlay device is not Ethernet"
    if found.ipsec_policies:
        return f"this node has IPsec policies ({found.ipsec_policies}), which only the host's stack applies"
    return ""


class DirectWay:
    """Whether it is open on this node. Made and asked in the kernel thread."""

    def __init__(self, netlink: Netlink, tunnel: Tunnel | None, underlay: Underlay) -> None:
        self._netlink = netlink
        self._wanted = tunnel is not None and tunnel.direct
        self._underlay = underlay
        self._found = self._look()

    def look_again(self) -> bool:
        """Whether it has opened or closed since, or leads by another device."""
        before, self._found = self._found, self._look()
        return bool(obstacle(before)) != bool(self.obstacle) or before.ifindex != self._found.ifindex

    @property
    def obstacle(self) -> str:
        """As :func:`obstacle` says."""
        return obstacle(self._found)

    @property
    def usable(self) -> bool:
        """Whether the program that receives belongs on this node; IPsec comes and goes, so it stays meanwhile."""
        return self._found.wanted and self._found.ipv4 and self._found.ethernet

    @property
    def ifindex(self) -> int:
        """For ``node_config``: the underlay device while the way is open, 0 while it is not."""
        return 0 if self.obstacle else self._found.ifindex

    def _look(self) -> Circumstances:
        link = self._netlink.link(self._underlay.device)
        return Circumstances(
            wanted=self._wanted,
            ipv4=self._underlay.ipv4 is not None,
            ethernet=link is not None and link.ethernet,
            ipsec_policies=policy_count() if self._wanted else 0,
            ifindex=link.ifindex if link else 0,
        )
