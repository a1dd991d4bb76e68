"""A workload's interface as the kernel has it now, on the node and inside the container. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from netloom.edge import requests
from netloom.edge.answers import LinkInfo, address_info, link_info
from netloom.edge.netlink import Netlink
from netloom.edge.netns import call_in_netns, open_netns
from netloom.edge.queues import QueueInfo, root_queues
from netloom.edge.routes import RouteInfo, list_routes, route_info
from netloom.edge.rtnl import RtnlSocket
from netloom.model.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadState:
    """What was found; None for what is not there."""

    host: LinkInfo | None
    """The host side, if it is ours."""
    program_id: int | None
    """Of our filter on the host side."""
    queue: QueueInfo | None
    """The root of the host side's."""
    inside: LinkInfo | None
    addresses: frozenset[Address]
    """Global ones of the inside."""
    gateways: frozenset[Address]
    """Of the default routes by the inside."""


def look_at_workload(netlink: Netlink, host_ifname: str, ifname: str, netns: str) -> WorkloadState:
    """Raises NotFound when the namespace does not exist, Invalid when it is none."""
    host = netlink.link(host_ifname)
    program = netlink.filter_of(host_ifname, "ingress") if host else None
    with open_netns(netns) as netns_fd:
        inside, addresses, gateways = call_in_netns(netns_fd, lambda: _look_inside(ifname))
    return WorkloadState(
        host=host if host and netlink.owns(host) else None,
        program_id=program.program_id if program else None,
        queue=root_queues(netlink.socket).get(host.ifindex) if host else None,
        inside=inside,
        addresses=addresses,
        gateways=gateways,
    )


def _look_inside(ifname: str) -> tuple[LinkInfo | None, frozenset[Address], frozenset[Address]]:
    with RtnlSocket() as socket:
        answer = socket.call(requests.get_link(ifname))
        if not answer:
            return None, frozenset(), frozenset()
        link = link_info(answer[0])
        addresses = map(address_info, socket.dump(requests.list_addresses(link.ifindex)))
        routes = [route_info(raw) for family in (4, 6) for raw in socket.dump(list_routes(family))]
    return link, frozenset(found.address for found in addresses if found.global_scope), _gateways(routes, link.ifindex)


def _gateways(routes: list[RouteInfo], ifindex: int) -> frozenset[Address]:
    defaults = (route for route in routes if route.prefix.prefixlen == 0 and route.ifindex == ifindex)
    return frozenset(route.via for route in defaults if route.via is not None)
