"""A node with the BGP plugin and FRR at the other end of a cable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.bgp_node import BgpNode
from support.frr import Frr
from support.netns import Namespace, NamespaceFactory

PEERS = """\
local_as: 65001
peers:
  - {address: 10.9.0.2, remote_as: 65002}
  - {address: "fd00:9::2", remote_as: 65002}
graceful_restart: {restart_time_s: 30}
"""
FRR = """\
router bgp 65002
 bgp router-id 10.9.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 coalesce-time 10
 neighbor 10.9.0.1 remote-as 65001
 neighbor 10.9.0.1 timers connect 1
 neighbor fd00:9::1 remote-as 65001
 neighbor fd00:9::1 timers connect 1
 address-family ipv4 unicast
  network 198.51.100.0/24
  network 198.51.101.0/24
  no neighbor fd00:9::1 activate
 address-family ipv6 unicast
  network 2001:db8:51::/48
  neighbor fd00:9::1 activate
"""


INTERNAL = """\
local_as: 65002
peers: [{address: 10.9.1.2, remote_as: 65002}]
"""
"""Of a node inside the AS of the standing router."""
STANDING_FRR = (
    FRR.replace("network 198.51.100.0/24", "network 198.51.100.0/24 route-map MARK").replace(
        " address-family ipv4 unicast\n",
        " neighbor 10.9.1.1 remote-as 65002\n neighbor 10.9.1.1 timers connect 1\n address-family ipv4 unicast\n",
    )
    + "!\nroute-map MARK permit 10\n set community 65002:7\n"
)
"""Of the router that many tests share: one of its prefixes has a community, and it has an internal peer."""


class Pair(NamedTuple):
    """A node and its router."""

    node: BgpNode
    frr: Frr


def cable(a: Namespace, b: Namespace, number: int = 0) -> None:
    """A cable between two namespaces: 10.9.<number>.1 and .2, fd00:9:<number>::1 and ::2."""
    net6 = f"fd00:9:{number}:" if number else "fd00:9:"
    device = f"eth{number}"
    a.run("ip", "link", "add", device, "type", "veth", "peer", "name", device, "netns", b.name)
    for end, netns in ((1, a), (2, b)):
        netns.run("ip", "link", "set", "lo", "up")
        netns.run("ip", "address", "add", f"10.9.{number}.{end}/24", "dev", device)
        netns.run("ip", "address", "add", f"{net6}:{end}/64", "dev", device, "nodad")
        netns.run("ip", "link", "set", device, "up")


@contextlib.contextmanager
def pair(make_netns: NamespaceFactory, directory: Path, config: str = PEERS, frr_config: str = FRR) -> Iterator[Pair]:
    """A node with the plugin, and FRR at the other end of a cable; 10.9.1.1 and .2 are theirs as well."""
    a, b = make_netns("bgpa"), make_netns("bgpb")
    cable(a, b)
    for end, netns in ((1, a), (2, b)):
        netns.run("ip", "address", "add", f"10.9.1.{end}/24", "dev", "eth0")
    with contextlib.ExitStack() as stack:
        frr = Frr(b, frr_config)
        stack.callback(frr.close)
        node = BgpNode(a, directory / "run", config)
        stack.callback(node.close)
        yield Pair(node, frr)
