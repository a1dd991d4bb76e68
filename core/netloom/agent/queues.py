"""The queues that limit workloads' interfaces, put back where somebody took them off.

The one inside a container is within reach of whoever may change the container's network; what holds meanwhile is the
policer in the data path. Everything here may wait for the kernel: call it in the kernel thread.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass

from netloom.agent.repairs import Repair
from netloom.edge import requests
from netloom.edge.answers import link_info
from netloom.edge.netlink import Netlink
from netloom.edge.netns import call_in_netns, open_netns
from netloom.edge.queues import put_queue, root_queues
from netloom.edge.rtnl import RtnlSocket
from netloom.model.endpoint import Endpoint
from netloom.model.errors import Invalid, KernelError, NotFound
from netloom.plan.shaping import Queue, queue_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedInterface:
    """An interface with at least one of its queues."""

    host_ifname: str
    ifindex: int
    """Of the host side."""
    ifname: str
    netns: str
    ingress: Queue | None
    egress: Queue | None


def limited_interfaces(endpoints: Iterable[Endpoint], mtu_bytes: int) -> list[LimitedInterface]:
    """Those of endpoints that have a limit."""
    return [
        LimitedInterface(
            host_ifname=each.attachment.host_ifname,
            ifindex=each.ifindex,
            ifname=each.attachment.ifname,
            netns=each.attachment.netns,
            ingress=queue_of(each.bandwidth.ingress, mtu_bytes) if each.bandwidth.ingress else None,
            egress=queue_of(each.bandwidth.egress, mtu_bytes) if each.bandwidth.egress else None,
        )
        for each in endpoints
        if each.bandwidth.ingress or each.bandwidth.egress
    ]


def repair_queues(netlink: Netlink, wanted: Iterable[LimitedInterface]) -> list[Repair]:
    """Queues that were missing or other than they should be; interfaces that are gone are nobody's business here."""
    repairs = []
    limited = list(wanted)
    present = root_queues(netlink.socket) if any(each.ingress for each in limited) else {}
    for each in limited:
        found = present.get(each.ifindex)
        if each.ingress and found and not found.keeps(each.ingress) and _put_outside(netlink, each, each.ingress):
            repairs.append(_repair(f"queue towards {each.host_ifname}", found.kind))
        if each.egress and (kind := _put_inside(each, each.egress)) is not None:
            repairs.append(_repair(f"queue from {each.host_ifname}", kind))
    return repairs


def _repair(name: str, found: str) -> Repair:
    return Repair(kind="queue", name=name, action=f"put in the place of {found}")


def _put_outside(netlink: Netlink, interface: LimitedInterface, queue: Queue) -> bool:
    link = netlink.link(interface.host_ifname)
    if link is None or link.ifindex != interface.ifindex or not netlink.owns(link):
        return False
    return _put(netlink.socket, interface.host_ifname, interface.ifindex, queue)


def _put_inside(interface: LimitedInterface, queue: Queue) -> str | None:
    """The kind of what stood in its place; None when nothing was done."""
    try:
        with open_netns(interface.netns) as netns_fd:
            return call_in_netns(netns_fd, lambda: _put_here(interface, queue))
    except (NotFound, Invalid):
        return None  # the container has ended


def _put_here(interface: LimitedInterface, queue: Queue) -> str | None:
    """Runs in the container's namespace, which may be another's by now."""
    with RtnlSocket() as socket:
        answer = socket.call(requests.get_link(interface.ifname))
        link = link_info(answer[0]) if answer else None
        if link is None or link.peer_ifindex != interface.ifindex:
            return None
        found = root_queues(socket).get(link.ifindex)
        if found is None or found.keeps(queue) or not _put(socket, link.name, link.ifindex, queue):
            return None
        return found.kind


def _put(socket: RtnlSocket, device: str, ifindex: int, queue: Queue) -> bool:
    """Whether the device is still there."""
    try:
        socket.call(put_queue(device, ifindex, queue))
    except KernelError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True
