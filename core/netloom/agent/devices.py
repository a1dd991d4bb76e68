"""The node's devices, workloads' interfaces and filters, compared with what they should be and put right.

Everything here may wait for the kernel: call it in the kernel thread.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from netloom.agent.repairs import Repair
from netloom.bpf.programs import LoadedProgram
from netloom.edge import requests
from netloom.edge.answers import LinkInfo
from netloom.edge.checks import MAX_MTU_BYTES
from netloom.edge.host import HostLinks, HostSpec, differences, observe_host, prepare_host
from netloom.edge.netlink import Netlink
from netloom.edge.ownership import LINK_GROUP
from netloom.edge.rtnl import Request
from netloom.model.errors import KernelError, NotFound
from netloom.plugins.contract import AttachPoint

PLACES_AT_ONCE = 32
"""Filters looked at in one visit of the kernel thread."""
FEW = 8
"""Interfaces that are sooner asked for one by one than found in a list of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """The host side of a workload's interface."""

    name: str
    ifindex: int


class Devices:
    """Made with the node's own devices in place."""

    def __init__(self, netlink: Netlink, spec: HostSpec) -> None:
        """Raises as :func:`prepare_host`."""
        self._netlink = netlink
        self._spec = spec
        self.links: HostLinks = prepare_host(netlink, spec)
        self._known = observe_host(netlink, spec)

    def watched(self) -> frozenset[int]:
        """Indexes of the node's own devices."""
        return frozenset(link.ifindex for link in (self.links.host, self.links.net, *self.links.devices.values()))

    def repair_host(self) -> list[Repair]:
        """Devices, addresses and settings of the node; a few reads if intact, else :attr:`links` may be others."""
        found = observe_host(self._netlink, self._spec)
        if found == self._known:
            return []
        self.links = prepare_host(self._netlink, self._spec)
        self._known = observe_host(self._netlink, self._spec)
        return [
            Repair(kind="setting" if name.startswith("setting ") else "device", name=name, action=action)
            for name, action in differences(found, self._known)
        ]

    def repair_interfaces(self, wanted: Sequence[Interface]) -> tuple[list[Repair], frozenset[str]]:
        """State, MTU and mark of workloads' interfaces; what was put right, and the names of those that are gone."""
        present = self._present(wanted)
        repairs: list[Repair] = []
        missing: set[str] = set()
        for interface in wanted:
            link = present.get(interface.ifindex)
            if link is None or link.name != interface.name:
                missing.add(interface.name)
                continue
            todo = dict(self._todo(link))
            try:
                self._netlink.socket.batch(todo.values())
            except KernelError as error:
                if error.errno != errno.ENODEV:
                    raise
                continue  # it was detached meanwhile
            repairs += [Repair(kind="device", name=f"device {interface.name}", action=action) for action in todo]
        return repairs, frozenset(missing)

    def _present(self, wanted: Sequence[Interface]) -> dict[int, LinkInfo]:
        """Links by index, those that are wanted among them: an ADD's own notices must not cost a list of all pods."""
        if len(wanted) > FEW:
            return {link.ifindex: link for link in self._netlink.links()}
        found = (self._netlink.link(interface.name) for interface in wanted)
        return {link.ifindex: link for link in found if link is not None}

    def repair_filters(self, wanted: Mapping[AttachPoint, LoadedProgram]) -> list[Repair]:
        """Programs on devices, each put in one step in the place of what is there."""
        return [
            Repair(kind="filter", name=f"filter {point.direction} of {point.device}", action="attached")
            for point, program in wanted.items()
            if self._attach(point, program)
        ]

    def _attach(self, point: AttachPoint, program: LoadedProgram) -> bool:
        """Whether it had to be attached, and could."""
        present = self._netlink.filter_of(point.device, point.direction)
        if present is not None and present.program_id == program.id:
            return False
        try:
            self._netlink.attach_filter(point.device, point.direction, program.fd, program.name)
        except NotFound:
            # Whoever looks after the device tells of it, and makes it again where that can be done.
            return False
        return True

    def _todo(self, link: LinkInfo) -> Iterator[tuple[str, Request]]:
        """What was done to it, and the request that takes it back."""
        if link.alias != self._netlink.alias:
            return  # somebody has made it theirs
        if link.group != LINK_GROUP:
            yield f"group {link.group:#x} to {LINK_GROUP:#x}", requests.set_group(link.name, link.ifindex)
        if link.mtu_bytes != MAX_MTU_BYTES:
            action = f"mtu_bytes {link.mtu_bytes} to {MAX_MTU_BYTES}"
            yield action, requests.set_mtu(link.name, link.ifindex, MAX_MTU_BYTES)
        if not link.up:
            yield "up False to True", requests.set_up(link.name, link.ifindex)


def in_parts(wanted: Mapping[AttachPoint, LoadedProgram]) -> Iterator[dict[AttachPoint, LoadedProgram]]:
    """Small enough that an attachment never waits long for the kernel thread."""
    places = iter(wanted.items())
    while part := dict(islice(places, PLACES_AT_ONCE)):
        yield part
