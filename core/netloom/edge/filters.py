"""Our programs on devices, by whichever way the kernel has: tcx, or a filter of a clsact queueing discipline.

With tcx ours is put before the programs of others, so that none of them can let past what ours would refuse. Both
ways are looked at on every device, so a node may change from one to the other: the new program is attached before the
old one is taken off. Meanwhile tcx comes first, and what ours takes for itself there it passes to nobody behind it, so
no packet is handled twice.

The kernel waits for a grace period of RCU, milliseconds, whenever the programs of a tcx hook become more or fewer, and
when a device with some goes; and it holds the lock of all namespaces' devices meanwhile (tcx_entry_sync in
include/net/tcx.h). Devices that stay do not mind. Workloads' come and go, with somebody waiting each time, so theirs
hang on clsact unless tcx is asked for by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, TypeVar

from netloom.edge import loaded, requests, tcx
from netloom.edge.answers import FilterInfo, filter_info
from netloom.edge.netns import call_in_netns, is_own_netns
from netloom.edge.ownership import FILTER_PRIORITY
from netloom.edge.requests import Attachment
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.model.endpoint import WORKLOAD_PREFIX
from netloom.model.errors import Conflict

R = TypeVar("R")

Way = Literal["tcx", "clsact"]
Choice = Literal["auto", "tcx", "clsact"]


def choose(choice: Choice) -> Way:
    """For devices that stay ``auto`` is tcx where the kernel has it. Raises Unsupported for a tcx that it has not."""
    if choice == "tcx":
        tcx.require()
    if choice == "auto":
        return "tcx" if tcx.supported() else "clsact"
    return choice


class Filters:
    """For devices of the namespace of the thread that makes it, whichever thread asks."""

    def __init__(self, socket: RtnlSocket, choice: Choice) -> None:
        self.way = choose(choice)
        self.way_of_workloads: Way = "clsact" if choice == "auto" else self.way
        self._socket = socket
        self._netns_fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        os.close(self._netns_fd)

    def attach_new(self, place: Attachment, program_fd: int, program_name: str) -> tuple[Request, ...]:
        """Attach to a device just made; returns what is still to be sent before it may come up."""
        if self._way_of(place) == "tcx":
            self._here(partial(tcx.attach_first, place, program_fd, program_name))
            return ()
        return (requests.add_clsact(place.device, place.ifindex), requests.put_filter(place, program_fd, program_name))

    def attach(self, place: Attachment, program_fd: int, program_name: str) -> None:
        """Attach in the place of ours, however that one is attached. Raises Conflict, KernelError."""
        if self._way_of(place) == "tcx":
            self._here(partial(_put_by_tcx, place, program_fd, program_name))
            self._socket.batch([requests.delete_filter(place)] if self._by_clsact(place) else [])
            return
        self._refuse_foreign(place)
        self._socket.batch(self.attach_new(place, program_fd, program_name))
        self._detach_by_tcx(place)

    def find(self, place: Attachment) -> FilterInfo | None:
        """Ours; that of tcx, which is the one packets meet, if there are both."""
        return next(iter(self._by_tcx(place)), None) or self._by_clsact(place)

    def detach(self, places: Iterable[Attachment]) -> None:
        """Take ours off, however they are attached."""
        for place in places:
            self._detach_by_tcx(place)
            self._socket.batch([requests.delete_filter(place)] if self._by_clsact(place) else [])

    def _way_of(self, place: Attachment) -> Way:
        return self.way_of_workloads if place.device.startswith(WORKLOAD_PREFIX) else self.way

    def _by_tcx(self, place: Attachment) -> list[FilterInfo]:
        if not tcx.supported():
            return []
        found = (_tcx_info(program) for program in self._here(partial(tcx.programs, place)))
        return [info for info in found if info.ours]

    def _by_clsact(self, place: Attachment) -> FilterInfo | None:
        return next((found for found in self._filters_at(place) if found.ours), None)

    def _detach_by_tcx(self, place: Attachment) -> None:
        if not tcx.supported():
            return
        for program in self._here(partial(tcx.programs, place)):
            if _tcx_info(program).ours:
                self._here(partial(tcx.detach, place, program))

    def _refuse_foreign(self, place: Attachment) -> None:
        for found in self._filters_at(place):
            if not found.ours:
                raise Conflict(
                    f"{place} at priority {FILTER_PRIORITY}, which Netloom uses, is somebody else's "
                    f'(kind {found.kind}, name "{found.name}"); move it to another priority'
                )

    def _filters_at(self, place: Attachment) -> list[FilterInfo]:
        found = (filter_info(message) for message in self._socket.dump(requests.list_filters(place)))
        return [info for info in found if info is not None]

    def _here(self, call: Callable[[], R]) -> R:
        """The socket stays in its namespace, but bpf(2) takes the calling thread's."""
        return call() if is_own_netns(self._netns_fd) else call_in_netns(self._netns_fd, call)


def _tcx_info(program: loaded.Program) -> FilterInfo:
    return FilterInfo(kind="tcx", name=program.name, program_id=program.id, tag=program.tag)


def _put_by_tcx(place: Attachment, program_fd: int, program_name: str) -> None:
    """The first of ours is replaced, any other taken off; without one, the program goes before all others."""
    ours = [program for program in tcx.programs(place) if _tcx_info(program).ours]
    wanted = loaded.program_id(program_fd)
    there = any(program.id == wanted for program in ours)
    for program in ours:
        if program.id == wanted:
            continue
        if there:
            tcx.detach(place, program)
        else:
            there = tcx.replace(place, program_fd, program_name, program)
    if not there:
        tcx.attach_first(place, program_fd, program_name)
