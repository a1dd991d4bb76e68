"""How packets of connections whose requests are judged find the node's proxy, and are known when they come from it."""

from __future__ import annotations

from dataclasses import dataclass

from netloom.datapath.layout import U64
from netloom.datapath.maps import Index, MapKind, MapSpec

MARK_TO_PROXY = 0x6C300001
"""``skb->mark`` of packets that are the proxy's, whatever address they are for: no bit is kube-proxy's or Cilium's."""
MARK_FROM_PROXY = 0x6C300002
"""``skb->mark`` of packets that the proxy has sent: they were judged."""


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket: written by file descriptor, read as the kernel's cookie of it."""

    socket: U64


PROXY_IPV4, PROXY_IPV6 = 0, 1
"""Where the proxy's listeners stand."""

PROXY_LISTENERS = MapSpec(
    "proxy_listeners", MapKind.SOCKMAP, Index, Socket, 2, "where the proxy takes new connections, by family"
)
"""A socket that is closed leaves it by itself: what would go to a proxy that has died is dropped."""
PROXY_MAPS = (PROXY_LISTENERS,)
