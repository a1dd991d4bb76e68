"""A node of two segments with learnt routes in its kernel, shown as ``ip`` has them."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from netloom.agent.learned import WAITING, WRITTEN, LearnedRoutes
from netloom.edge.messages import HEADER_BYTES
from netloom.edge.notices import NoticeSocket
from netloom.edge.ownership import LEARNED_PROTOCOL
from netloom.edge.rtnl import messages
from netloom.lab.agents import wait_until
from netloom.lab.patience import patient
from netloom.plan.learned import Facts, prefix_of
from netloom.plugins.contract import RouteChanges
from support.learned import NamespaceRoutes, route
from support.netns import Namespace

NEW_ROUTE, DELETED_ROUTE = 24, 25
"""RTM_NEWROUTE and RTM_DELROUTE of linux/rtnetlink.h."""
SEGMENTS = {"up0": ("192.0.2.1/24", "fd00:a::1/64"), "up1": ("198.51.100.1/24", "fd00:b::1/64")}
HOPS = {
    4: ("192.0.2.2", "192.0.2.3", "198.51.100.2"),
    6: ("fd00:a::2", "fd00:a::3", "fd00:b::2"),
}
"""Two in the segment of ``up0``, one in that of ``up1``."""


def version(prefix: str) -> int:
    """Of the IP version."""
    return ip_network(prefix).version


def hops(prefix: str, *which: int) -> tuple[str, ...]:
    """Some of the next hops of its IP version, by their number."""
    return tuple(HOPS[version(prefix)][number] for number in which)


@dataclass
class RoutedNode:
    """A node of two segments, with the learnt routes of an agent that starts and ends as the test says."""

    netns: Namespace
    sources: tuple[str, ...] = ()
    kernel: NamespaceRoutes | None = None
    learned: LearnedRoutes | None = None

    def __post_init__(self) -> None:
        self.netns.run("ip", "link", "set", "lo", "up")
        for name, addresses in SEGMENTS.items():
            self.netns.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}far")
            for device in (name, f"{name}far"):
                self.netns.run("sysctl", "-qw", f"net.ipv6.conf.{device}.keep_addr_on_down=1")
                self.link(device, "up")
            for address in addresses:
                self.address("add", address, name)

    async def start(self, *routers: str) -> LearnedRoutes:
        """An agent that knows nothing of an earlier one."""
        self.close()
        self.kernel = NamespaceRoutes(self.netns, *self.sources)
        self.learned = LearnedRoutes(routers or ("bgp",), self.kernel, Facts)
        await self.learned.resync()
        return self.learned

    async def tell(self, *told: tuple[str, tuple[str, ...]], router: str = "bgp", **fields: Any) -> None:
        """A router tells prefixes with their next hops, and they are written."""
        assert self.learned is not None
        changes = RouteChanges(routes=tuple(route(prefix, *via) for prefix, via in told), **fields)
        await self.learned.take(router, changes)
        await self.learned.flush()

    async def resync(self) -> list[str]:
        """What was put right."""
        assert self.learned is not None
        return [f"{repair.name} {repair.action}" for repair in await self.learned.resync()]

    def refused(self) -> dict[str, str]:
        """Prefixes that are not written, and why."""
        assert self.learned is not None
        keys = self.learned.keys()
        shown = {str(prefix_of(key)): self.learned.route(key) for key in keys}
        return {prefix: found[2] for prefix, found in shown.items() if found and found[2] not in (WRITTEN, WAITING)}

    def standing(self) -> dict[str, tuple[str, ...]]:
        """All routes with the protocol of learnt ones and their next hops, as ``ip`` has them."""
        return {one["dst"]: hops_of(one) for one in self.routes()}

    def routes(self) -> list[dict[str, Any]]:
        """Of the main table those with the protocol of learnt ones, as ``ip`` has them."""
        return [*self._shown("-4", "proto", "77"), *self._shown("-6", "proto", "77")]

    def at(self, prefix: str) -> list[tuple[str, tuple[str, ...]]]:
        """Protocol and next hops of whoever's routes to a prefix."""
        return [(one["protocol"], hops_of(one)) for one in self._shown(f"-{version(prefix)}", prefix)]

    def _shown(self, family: str, *conditions: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            self.netns.run("ip", "-j", family, "route", "show", *conditions) or "[]"
        )
        return found

    def way(self, prefix: str) -> str:
        """The next hop that a packet to the prefix takes."""
        address = ip_network(prefix)[9]
        (found,) = json.loads(self.netns.run("ip", "-j", "route", "get", str(address)))
        return str(found["gateway"])

    def link(self, name: str, state: str) -> None:
        """Set a device up or down."""
        self.netns.run("ip", "link", "set", name, state)

    def address(self, action: str, address: str, device: str = "lo") -> None:
        """Add an address, usable at once, or delete it."""
        adds_ipv6 = action == "add" and ":" in address
        self.netns.run("ip", "address", action, address, "dev", device, *(["nodad"] if adds_ipv6 else []))
        # The kernel makes the route to it later, from a queue of work.
        assert not adds_ipv6 or wait_until(lambda: self._is_local(address.partition("/")[0]), patient(5.0))

    def _is_local(self, address: str) -> bool:
        return bool(self.netns.run("ip", "-6", "route", "show", "table", "local", address))

    def close(self) -> None:
        """The agent is gone; its routes stay."""
        if self.kernel is not None:
            self.kernel.close()
            self.kernel = None


def hops_of(shown: dict[str, Any]) -> tuple[str, ...]:
    """Next hops of a route as ``ip`` has it."""
    return tuple(sorted(hop["gateway"] for hop in shown.get("nexthops", [shown])))


def heard(notices: NoticeSocket) -> list[int]:
    """Kinds of the notices about learnt routes since the last time, in order."""
    found = []
    for datagram in notices.read():
        assert datagram is not None
        for offset, _, kind, _, _ in messages(datagram):
            _, protocol = struct.unpack_from("=4xBB", datagram, offset + HEADER_BYTES)
            if protocol == LEARNED_PROTOCOL:
                found.append(kind)
    return found
