"""Links, addresses, routes and filters of one node, kept as they should be.

Everything may be called again: what stands as wanted is left alone, what is ours and differs is put right, and what
is somebody else's is never changed. See :mod:`netloom.edge.ownership` for how the two are told apart.
"""

from __future__ import annotations

import errno
from collections.abc import Container, Iterable
from ipaddress import ip_network
from types import TracebackType
from typing import Self

from netloom.edge import requests
from netloom.edge.answers import (
    AddressInfo,
    FilterInfo,
    LinkInfo,
    address_info,
    link_attributes,
    link_info,
)
from netloom.edge.checks import check_ifname, new_mac
from netloom.edge.filters import Choice, Filters
from netloom.edge.own_routes import OwnRoutes
from netloom.edge.ownership import link_alias
from netloom.edge.requests import Attachment, Direction, VethEnd
from netloom.edge.routes import list_routes, route_info
from netloom.edge.rtnl import RtnlSocket
from netloom.edge.xdp import Xdp
from netloom.model.address import Address, Network
from netloom.model.errors import Conflict, Invalid, KernelError, NetloomError, NotFound
from netloom.plugins.contract import DeviceSpec, RouteSpec

__all__ = ["Direction", "FilterInfo", "LinkInfo", "Netlink"]

_DST_LEN_AT = 17
"""Where a route message, header included, has the length of its prefix."""
_IFA_F_UNUSABLE = 0x01 | 0x08 | 0x20 | 0x40
"""Temporary (IPv6) or secondary (IPv4), failed duplicate detection, deprecated, tentative."""

_DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


class Netlink:
    """The network of one namespace, seen and changed by one node. Not for use by two threads at once.

    It serves the namespace of the thread that makes it. Every method raises KernelError when the kernel refuses,
    with the kernel's own words.
    """

    def __init__(self, node: str, attach: Choice = "auto") -> None:
        """``attach``: how programs hang on devices. Raises Unsupported when the kernel has no such way."""
        self.node = node
        self.alias = link_alias(node)
        self.socket = RtnlSocket()
        self.filters = Filters(self.socket, attach)
        self._routes = OwnRoutes(self.socket)
        self.xdp = Xdp(self.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self.filters.close()
        self.socket.close()

    # --- links ----------------------------------------------------------------------------------

    def link(self, name: str) -> LinkInfo | None:
        """The link of this name, whoever made it; None when there is none."""
        answer = self.socket.call(requests.get_link(name))
        return link_info(answer[0]) if answer else None

    def require_link(self, name: str) -> LinkInfo:
        """As :meth:`link`, but raises NotFound."""
        found = self.link(name)
        if found is None:
            raise NotFound(f'network device "{name}" does not exist on this node')
        return found

    def own_links(self) -> tuple[LinkInfo, ...]:
        """All links this node's agent made, workloads' host sides among them."""
        return tuple(link for link in self.links() if self.owns(link))

    def owns(self, link: LinkInfo) -> bool:
        """Whether this node's agent made it; one without an alias was made by an agent killed at that moment."""
        return link.ours and link.alias in ("", self.alias)

    def ensure_veth_pair(self, name: str, peer: str, *, mtu_bytes: int, noarp: bool = True) -> LinkInfo:
        """Both ends in this namespace, up; gives the end called ``name``. Raises Conflict when a name is taken."""
        ends = {each: self._own_link(each) for each in (name, peer)}
        first, second = ends[name], ends[peer]
        if first and second and first.peer_ifindex == second.ifindex:
            return self._settle_pair((first, second), mtu_bytes=mtu_bytes, noarp=noarp)
        self._delete(link for link in (first, second) if link)
        left = VethEnd(name=name, mac=new_mac(), mtu_bytes=mtu_bytes, noarp=noarp)
        right = VethEnd(name=peer, mac=new_mac(), mtu_bytes=mtu_bytes, noarp=noarp)
        self.socket.call(requests.new_veth(left, right))
        made = (self.require_link(name), self.require_link(peer))
        return self._settle_pair(made, mtu_bytes=mtu_bytes, noarp=noarp)

    def ensure_device(self, spec: DeviceSpec) -> LinkInfo:
        """A device of that kind with those attributes, up; made anew when one of ours differs.

        Raises Conflict when the name is taken or the kernel has another device in its place, Invalid for an
        attribute the kind does not have.
        """
        check_ifname(spec.name)
        found = self.socket.call(requests.get_link(spec.name))
        if found:
            link, attributes = self._require_own(link_info(found[0])), link_attributes(found[0])
            if link.kind == spec.kind and all(attributes.get(key) == want for key, want in spec.attributes.items()):
                return self._settle(link, mtu_bytes=spec.mtu_bytes or link.mtu_bytes)
            self._delete([link])
        try:
            self.socket.call(requests.new_device(spec.name, spec.kind, spec.attributes, spec.mtu_bytes))
        except KernelError as error:
            if error.errno == errno.EEXIST:
                raise Conflict(f"{error}; another device of this node has its place: remove that one") from error
            raise
        link = self.require_link(spec.name)
        return self._settle(link, mtu_bytes=spec.mtu_bytes or link.mtu_bytes)

    def delete_link(self, name: str) -> bool:
        """Remove a link of ours; says whether it was there. Raises Conflict when it is not ours."""
        link = self._own_link(name)
        self._delete([link] if link else [])
        return link is not None

    def delete_own_links(self) -> tuple[LinkInfo, ...]:
        """Remove all links of this node's agent; returns them as they were."""
        marked = [link for link in self.links() if link.ours]
        own = tuple(link for link in marked if self.owns(link))
        if len(own) == len(marked):
            self.socket.call(requests.delete_marked_links())
        else:
            self._delete(own)
        return own

    def links(self) -> list[LinkInfo]:
        """All links of this namespace, whoever made them."""
        return [link_info(message) for message in self.socket.dump(requests.list_links())]

    def _own_link(self, name: str) -> LinkInfo | None:
        check_ifname(name)
        found = self.link(name)
        return self._require_own(found) if found else None

    def _require_own(self, link: LinkInfo) -> LinkInfo:
        if self.owns(link):
            return link
        whose = f'belongs to "{link.alias}"' if link.ours else f"was not made by Netloom (kind {link.kind or 'none'})"
        raise Conflict(f'network device "{link.name}" exists already and {whose}; rename or remove it')

    def _settle_pair(self, pair: tuple[LinkInfo, LinkInfo], *, mtu_bytes: int, noarp: bool) -> LinkInfo:
        for link in reversed(pair):
            self._settle(link, mtu_bytes=mtu_bytes, noarp=noarp)
        return self.require_link(pair[0].name)

    def _settle(self, link: LinkInfo, *, mtu_bytes: int, noarp: bool = False) -> LinkInfo:
        """Put alias, MTU and state of one of our links right."""
        todo = []
        if link.alias != self.alias:
            todo.append(requests.set_alias(link.name, link.ifindex, self.alias))
        if link.mtu_bytes != mtu_bytes:
            todo.append(requests.set_mtu(link.name, link.ifindex, mtu_bytes))
        if not link.up or (noarp and not link.noarp):
            todo.append(requests.quiet_ipv6(link.name, link.ifindex))
            todo.append(requests.set_up(link.name, link.ifindex, noarp=noarp))
        self.socket.batch(todo)
        return self.require_link(link.name) if todo else link

    def _delete(self, links: Iterable[LinkInfo]) -> None:
        self.socket.batch([requests.delete_link(link.name, link.ifindex) for link in links])

    # --- addresses ------------------------------------------------------------------------------

    def ensure_addresses(self, device: str, addresses: Iterable[Address]) -> None:
        """Exactly these global addresses, each alone in its prefix, on a device of ours.

        Raises NotFound without the device, Conflict when it is not ours.
        """
        link = self._require_own(self.require_link(device))
        wanted = set(addresses)
        present = {(found.address, found.prefix_len) for found in self._addresses(link.ifindex) if found.global_scope}
        right = {address for address, prefix_len in present if prefix_len == address.max_prefixlen} & wanted
        # The new one first: removing the last IPv4 address of a device takes its routes with it.
        self.socket.batch(
            [requests.add_address(device, link.ifindex, address) for address in sorted(wanted - right, key=str)]
        )
        self.socket.batch(
            [
                requests.delete_address(device, link.ifindex, address, prefix_len)
                for address, prefix_len in present
                if address not in right
            ]
        )

    def device_addresses(self, device: str) -> tuple[Address, ...]:
        """Global addresses of a device in the kernel's order, those fit for lasting use first. Raises NotFound."""
        found = [info for info in self._addresses(self.require_link(device).ifindex) if info.global_scope]
        return tuple(info.address for info in sorted(found, key=lambda info: bool(info.flags & _IFA_F_UNUSABLE)))

    def device_subnets(self, device: str) -> tuple[Network, ...]:
        """Subnets of a device's global addresses, in the kernel's order; one alone in its prefix has no neighbours.

        Raises NotFound.
        """
        found = [info for info in self._addresses(self.require_link(device).ifindex) if info.global_scope]
        return tuple(
            dict.fromkeys(
                ip_network((info.address, info.prefix_len), strict=False)
                for info in found
                if info.prefix_len < info.address.max_prefixlen
            )
        )

    def local_addresses(self) -> frozenset[Address]:
        """Every address of every device of this node."""
        return frozenset(info.address for info in self._addresses(0))

    def _addresses(self, ifindex: int) -> list[AddressInfo]:
        return [address_info(message) for message in self.socket.dump(requests.list_addresses(ifindex))]

    # --- routes ---------------------------------------------------------------------------------

    def default_device(self) -> str | None:
        """Device of the default route with the least metric, IPv4 before IPv6; None without a default route."""
        for family in (4, 6):
            found = self.socket.dump(list_routes(family), keep=lambda raw: raw[_DST_LEN_AT] == 0)
            usable = [route for route in map(route_info, found) if route.ifindex]
            if usable:
                return self._name_of(min(usable, key=lambda route: route.metric).ifindex)
        return None

    def routes(self) -> dict[Network, RouteSpec]:
        """This node's routes of the main table that carry our protocol number, as they were put."""
        return self._routes.read()

    def put_route(self, spec: RouteSpec) -> None:
        """Add it, or put it in place of ours to the same prefix.

        An IPv4 gateway may be an address of the node itself. Raises NotFound when the device does not exist,
        Conflict when somebody else has a route to the prefix.
        """
        self._routes.put(spec)

    def put_routes(self, specs: Iterable[RouteSpec]) -> dict[Network, NetloomError]:
        """As :meth:`put_route`, all in a few requests; the errors of those that were refused."""
        return self._routes.put_all(specs)

    def delete_route(self, prefix: Network) -> None:
        """Remove our route to the prefix; no error when there is none, and others' stay."""
        self._routes.delete(prefix)

    def delete_routes(self, prefixes: Iterable[Network]) -> None:
        """As :meth:`delete_route`, all in a few requests."""
        self._routes.delete_all(prefixes)

    def _name_of(self, ifindex: int) -> str | None:
        answer = self.socket.call(requests.get_link_by_index(ifindex)) if ifindex else []
        return link_info(answer[0]).name if answer else None

    # --- filters --------------------------------------------------------------------------------

    def attach_filter(self, device: str, direction: Direction, program_fd: int, program_name: str) -> None:
        """Run the program on every packet of the device; takes the place of ours in one step.

        Programs of others stay, and see what ours leaves to them. Raises NotFound without the device, Invalid when its
        packets have no Ethernet header, Conflict when a foreign filter has the place where ours would be.
        """
        self.filters.attach(self._place(device, direction), program_fd, program_name)

    def filter_of(self, device: str, direction: Direction) -> FilterInfo | None:
        """Our program on the device; None without one, or without the device."""
        link = self.link(device)
        if link is None:
            return None
        return self.filters.find(Attachment(device=device, ifindex=link.ifindex, direction=direction))

    def detach_filter(self, device: str, direction: Direction) -> bool:
        """Take our program off; says whether it was there. The device keeps its empty place for filters."""
        if self.filter_of(device, direction) is None:
            return False
        self.filters.detach([self._place(device, direction)])
        return True

    def detach_all_filters(self, keep: Container[tuple[str, Direction]] = ()) -> tuple[Attachment, ...]:
        """Take our programs off all devices that are not ours, but for places in ``keep``; returns where they were."""
        places = [
            Attachment(device=link.name, ifindex=link.ifindex, direction=direction)
            for link in self.links()
            if link.ethernet and not self.owns(link)
            for direction in _DIRECTIONS
            if (link.name, direction) not in keep
        ]
        ours = tuple(place for place in places if self.filters.find(place))
        self.filters.detach(ours)
        return ours

    def _place(self, device: str, direction: Direction) -> Attachment:
        link = self.require_link(device)
        if not link.ethernet:
            raise Invalid(
                f'network device "{device}" is not Ethernet: its packets begin with no Ethernet header, '
                "which the programs expect; use an Ethernet device"
            )
        return Attachment(device=device, ifindex=link.ifindex, direction=direction)
