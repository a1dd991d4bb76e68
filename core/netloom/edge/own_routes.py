"""The node's own routes: those of the agent and of the network mode, kept by our protocol number."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network

from netloom.edge import requests
from netloom.edge.answers import LinkInfo, address_info, link_info
from netloom.edge.ownership import ROUTE_PROTOCOL
from netloom.edge.routes import NO_WAY, Route, RouteInfo, add_route, delete_route, list_routes, route_info
from netloom.edge.rtnl import RtnlSocket
from netloom.model.address import Network
from netloom.model.errors import Conflict, KernelError, NetloomError, NotFound
from netloom.plugins.contract import UNDERLAY, RouteSpec


class OwnRoutes:
    """Routes of the main table that carry our protocol number, of one namespace."""

    def __init__(self, socket: RtnlSocket) -> None:
        self._socket = socket
        self._by_name: set[Network] = set()
        """Prefixes whose route was put with a device's name that is not ours."""

    def read(self) -> dict[Network, RouteSpec]:
        """All of them, as they were put.

        The kernel names a device where none was asked for: that of a gateway's route is UNDERLAY again, unless the
        device is one of Netloom's own, or was named. Next hops count dead or alive.
        """
        infos = [
            route_info(message)
            for family in (4, 6)
            for message in self._socket.dump(list_routes(family, ROUTE_PROTOCOL))
        ]
        links = {ifindex: self._link_at(ifindex) for ifindex in {info.ifindex for info in infos}}
        return {info.prefix: self._spec(info, links[info.ifindex]) for info in infos}

    def put(self, spec: RouteSpec) -> None:
        """Add it, or put it in place of ours to the same prefix.

        An IPv4 gateway may be an address of the node itself. Raises NotFound when the device does not exist,
        Conflict when somebody else has a route to the prefix.
        """
        for error in self.put_all((spec,)).values():
            raise error

    def put_all(self, specs: Iterable[RouteSpec]) -> dict[Network, NetloomError]:
        """As :meth:`put`, many at a time; the errors of those that were refused, which keep no other from being put."""
        refused: dict[Network, NetloomError] = {}
        taken = self._add(list(self._routes(specs, refused)), refused, replace=False)
        ours = self.read() if taken else {}
        refused |= {route.prefix: _taken(route.prefix) for route in taken if route.prefix not in ours}
        self._add([route for route in taken if route.prefix in ours], refused, replace=True)
        return refused

    def delete(self, prefix: Network) -> None:
        """No error when there is none; others' stay."""
        self.delete_all((prefix,))

    def delete_all(self, prefixes: Iterable[Network]) -> None:
        """As :meth:`delete`, many at a time."""
        gone = tuple(prefixes)
        self._socket.batch(map(delete_route, gone))
        self._by_name.difference_update(gone)

    def _routes(self, specs: Iterable[RouteSpec], refused: dict[Network, NetloomError]) -> Iterator[Route]:
        links: dict[str, LinkInfo | None] = {"": None, UNDERLAY: None}
        for spec in specs:
            if spec.device not in links:
                links[spec.device] = self._link(spec.device)
            link = links[spec.device]
            if link is None and spec.device not in ("", UNDERLAY):
                refused[spec.prefix] = NotFound(f'network device "{spec.device}" does not exist on this node')
                continue
            named = link is not None and spec.via is not None and not link.ours
            (self._by_name.add if named else self._by_name.discard)(spec.prefix)
            yield Route(
                prefix=spec.prefix,
                device=spec.device,
                ifindex=link.ifindex if link else 0,
                via=spec.via,
                source=spec.source,
                mtu_bytes=spec.mtu_bytes,
                more=spec.more,
            )

    def _add(self, routes: Sequence[Route], refused: dict[Network, NetloomError], *, replace: bool) -> list[Route]:
        """Those of ``routes`` whose prefix is taken, which only happens without ``replace``."""
        taken = []
        errors = self._socket.attempt(add_route(route, replace=replace) for route in routes)
        for route, error in zip(routes, errors, strict=True):
            if error is not None and error.errno == errno.EEXIST and not replace:
                taken.append(route)
            elif error is not None:
                refused[route.prefix] = self._explained(route, error)
        return taken

    def _explained(self, route: Route, error: KernelError) -> KernelError:
        if route.ifindex or error.errno not in NO_WAY:
            return error
        segments = ", ".join(map(str, self._segments(route.prefix.version))) or "none"
        hint = f"a next hop must stand in a segment of this node ({segments}), and be no address of its own"
        return KernelError(error.op, error.obj, error.errno, hint)

    def _segments(self, version: int) -> list[Network]:
        found = [address_info(message) for message in self._socket.dump(requests.list_addresses())]
        return [
            ip_network((info.address, info.prefix_len), strict=False)
            for info in found
            if info.global_scope and info.address.version == version and info.prefix_len < info.address.max_prefixlen
        ]

    def _spec(self, info: RouteInfo, link: LinkInfo | None) -> RouteSpec:
        return RouteSpec(
            prefix=info.prefix,
            device=self._device_asked_for(info, link),
            via=info.via,
            source=info.source,
            mtu_bytes=info.mtu_bytes,
            more=tuple(hop.via for hop in info.hops[1:] if hop.via is not None),
        )

    def _device_asked_for(self, info: RouteInfo, link: LinkInfo | None) -> str:
        if link is None:
            return ""
        found_by_kernel = info.via is not None and not link.ours and info.prefix not in self._by_name
        return UNDERLAY if found_by_kernel else link.name

    def _link(self, name: str) -> LinkInfo | None:
        answer = self._socket.call(requests.get_link(name))
        return link_info(answer[0]) if answer else None

    def _link_at(self, ifindex: int) -> LinkInfo | None:
        answer = self._socket.call(requests.get_link_by_index(ifindex)) if ifindex else []
        return link_info(answer[0]) if answer else None


def _taken(prefix: Network) -> Conflict:
    return Conflict(
        f"the node has a route to {prefix} already that is not Netloom's; remove it, or choose other pod prefixes"
    )
