"""Interfaces of workloads: a veth pair, one end with our program on it, the other inside the container.

The container's end is born inside the container's namespace, and ours comes up only after the program that guards
it is in place. Deleting our end deletes both.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network

from netloom.edge import requests
from netloom.edge.answers import LinkInfo, link_info
from netloom.edge.checks import MAX_MTU_BYTES, check_ifname, check_mac, check_mtu, new_mac
from netloom.edge.netlink import Netlink
from netloom.edge.netns import call_in_netns, is_own_netns, open_netns
from netloom.edge.queues import put_queue
from netloom.edge.requests import Attachment, VethEnd
from netloom.edge.routes import Route, add_route
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.edge.sysctl import enable_ipv6, loosen_reverse_path, require_ipv6, write_sysctl
from netloom.model.address import Address, host_prefix, link_local_of
from netloom.model.errors import Conflict, Invalid, KernelError, NotFound
from netloom.plan.shaping import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """An interface to be made."""

    host_ifname: str
    ifname: str
    """Inside the container."""
    netns: str
    """Path of the container's network namespace."""
    addresses: tuple[Address, ...]
    gateways: tuple[Address, ...]
    """One for each family of ``addresses``."""
    mtu_bytes: int
    program_fd: int
    program_name: str
    mac: bytes | None = None
    """Of the container's side, 6 bytes; None for one made up."""
    ingress: Queue | None = None
    """For what it receives, on the host side; None for no limit."""
    egress: Queue | None = None
    """For what it sends, on its own side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """An interface that was made."""

    ifindex: int
    """Of the host side."""
    host_mac: bytes
    mac: bytes


def create_workload(netlink: Netlink, spec: WorkloadSpec) -> Workload:
    """Make the interface, ready for traffic; leaves nothing behind when it cannot.

    Raises Conflict when an interface of that name, or a default route, is there already; NotFound when the
    namespace does not exist or ends meanwhile; Invalid for unusable names, MTUs or paths; Unsupported when it needs
    IPv6 and the kernel has none; KernelError otherwise.
    """
    _check(spec)
    with open_netns(spec.netns) as netns_fd:
        if is_own_netns(netns_fd):
            raise Invalid(f'"{spec.netns}" is the network namespace of the node itself, expected one of a container')
        # What is larger than its MTU, veth swallows without a word: a workload that raised its own would never be told.
        host = VethEnd(name=spec.host_ifname, mac=new_mac(), mtu_bytes=MAX_MTU_BYTES)
        mac = spec.mac or new_mac()
        peer = VethEnd(name=spec.ifname, mac=mac, mtu_bytes=spec.mtu_bytes, marked=False, netns_fd=netns_fd)
        ifindex = _create_pair(netlink, host, peer, spec.netns)
        with _undone_on_failure(netlink, spec.host_ifname, ifindex):
            netlink.socket.batch(_guard(netlink, spec, ifindex))
            loosen_reverse_path(spec.host_ifname)
            if _has_ipv6(spec):
                enable_ipv6(spec.host_ifname)
            call_in_netns(netns_fd, lambda: _configure_inside(spec))
            _check_still_there(spec.netns, netns_fd)
    return Workload(ifindex=ifindex, host_mac=host.mac, mac=peer.mac)


def adopt_workload(netlink: Netlink, spec: WorkloadSpec) -> LinkInfo:
    """Take over the interface an earlier run of the agent made, as it is, with the program it has.

    An MTU larger than the spec's is brought down to it: what a workload sends is to fit from the first packet on.
    Raises NotFound when the interface, the namespace or the tie between them is gone.
    """
    link = netlink.link(spec.host_ifname)
    if link is None or not netlink.owns(link):
        raise NotFound(f'interface "{spec.host_ifname}" does not exist any more')
    with open_netns(spec.netns) as netns_fd:
        inside = call_in_netns(netns_fd, lambda: _fit_inside(spec, lambda mtu_bytes: mtu_bytes > spec.mtu_bytes))
    if inside is None or inside.peer_ifindex != link.ifindex:
        raise NotFound(f'interface "{spec.ifname}" in "{spec.netns}" is not the other end of "{link.name}" any more')
    return link


def raise_mtu(spec: WorkloadSpec, earlier_bytes: int) -> None:
    """Give the container's interface the spec's MTU if it has that of an earlier run: any other was somebody's choice.

    Nothing happens when the container has gone.
    """
    with suppress(NotFound, Invalid), open_netns(spec.netns) as netns_fd:
        call_in_netns(netns_fd, lambda: _fit_inside(spec, lambda mtu_bytes: mtu_bytes == earlier_bytes))


def delete_workload(node: str, host_ifname: str) -> bool:
    """Remove both ends of a workload of ``node``; says whether they were there.

    Waits until the kernel is sure that nobody uses the device any more, which takes tens of milliseconds, on a socket
    of its own: it may run in any thread of the node's namespace. Raises Conflict when the name is somebody else's link.
    """
    with Netlink(node) as own:
        return own.delete_link(host_ifname)


def _check(spec: WorkloadSpec) -> None:
    check_ifname(spec.host_ifname)
    check_ifname(spec.ifname)
    check_mtu(spec.mtu_bytes, spec.addresses)
    if spec.mac is not None:
        check_mac(spec.mac)
    families = {address.version for address in spec.addresses}
    if families != {gateway.version for gateway in spec.gateways}:
        raise Invalid(
            f"addresses {_text(spec.addresses)} need one gateway for each family, found {_text(spec.gateways)}"
        )
    if 6 in families:
        require_ipv6()


def _create_pair(netlink: Netlink, host: VethEnd, peer: VethEnd, netns: str) -> int:
    """Index of the host side."""
    try:
        answers = netlink.socket.batch([requests.new_veth(host, peer), requests.get_link(host.name)])
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise
        taken = f'"{host.name}" on the node' if netlink.link(host.name) else f'"{peer.name}" in "{netns}"'
        raise Conflict(f"interface {taken} exists already; delete it or ask for another name") from error
    return link_info(answers[1][0]).ifindex


def _guard(netlink: Netlink, spec: WorkloadSpec, ifindex: int) -> list[Request]:
    """Attach the program to the host side; returns what makes it ready, coming up last."""
    place = Attachment(device=spec.host_ifname, ifindex=ifindex, direction="ingress")
    return [
        *netlink.filters.attach_new(place, spec.program_fd, spec.program_name),
        requests.set_alias(spec.host_ifname, ifindex, netlink.alias),
        requests.quiet_ipv6(spec.host_ifname, ifindex),
        *([put_queue(spec.host_ifname, ifindex, spec.ingress)] if spec.ingress else []),
        requests.set_up(spec.host_ifname, ifindex),
    ]


def _configure_inside(spec: WorkloadSpec) -> None:
    """Runs in the container's namespace."""
    with RtnlSocket() as socket:
        link = link_info(socket.call(requests.get_link(spec.ifname))[0])
        if _has_ipv6(spec):
            enable_ipv6(spec.ifname)
            # No neighbour may teach the container routes.
            write_sysctl(f"ipv6/conf/{spec.ifname}/accept_ra", 0)
        try:
            socket.batch(_inside_requests(spec, link))
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            raise Conflict(
                f'"{spec.netns}" has the routes of "{spec.ifname}" already by another interface ({error}); '
                "a container has one default route"
            ) from error


def _inside_requests(spec: WorkloadSpec, link: LinkInfo) -> list[Request]:
    ifindex, addresses = link.ifindex, spec.addresses
    if _has_ipv6(spec):
        # The kernel asks from it alone whether the gateway is still there. Unasked, a gateway is lost after each
        # silence, and what the container sends first is held back for a second, and dropped.
        addresses += (link_local_of(link.mac),)
    # A link-local address that the kernel makes is of no use before it was probed for.
    found = [requests.quiet_ipv6(spec.ifname, ifindex)]
    found += [put_queue(spec.ifname, ifindex, spec.egress)] if spec.egress else []
    found += [requests.set_up(spec.ifname, ifindex)]
    found += [requests.add_address(spec.ifname, ifindex, address) for address in addresses]
    for gateway in spec.gateways:
        everything = ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0")
        for route in (
            Route(prefix=host_prefix(gateway), device=spec.ifname, ifindex=ifindex),
            Route(prefix=everything, device=spec.ifname, ifindex=ifindex, via=gateway),
        ):
            found.append(add_route(route, ours=False))
    return found


def _fit_inside(spec: WorkloadSpec, unfit: Callable[[int], bool]) -> LinkInfo | None:
    """Runs in the container's namespace. Its interface, with the spec's MTU if it had one that is ``unfit``."""
    with RtnlSocket() as socket:
        answer = socket.call(requests.get_link(spec.ifname))
        link = link_info(answer[0]) if answer else None
        if link is not None and unfit(link.mtu_bytes):
            # A container that will not have it goes on as it is: `netctl endpoint` and CNI's CHECK tell of it.
            with suppress(KernelError):
                socket.call(requests.set_mtu(link.name, link.ifindex, spec.mtu_bytes))
        return link


def _check_still_there(path: str, netns_fd: int) -> None:
    """Our file descriptor kept the namespace alive; without its path nobody can use it, and it ends with us."""
    with open_netns(path) as again:
        if not os.path.sameopenfile(again, netns_fd):
            raise NotFound(f'network namespace "{path}" was replaced while its interface was made; attach it again')


@contextmanager
def _undone_on_failure(netlink: Netlink, name: str, ifindex: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        netlink.socket.call(requests.delete_link(name, ifindex))
        raise


def _has_ipv6(spec: WorkloadSpec) -> bool:
    return any(address.version == 6 for address in spec.addresses)


def _text(addresses: tuple[Address, ...]) -> str:
    return ", ".join(map(str, addresses)) or "no address"
