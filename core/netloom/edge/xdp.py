"""One program of ours at the earliest place there is: XDP, where a device's driver has a frame and no packet yet.

A device has room for one program, in its driver (*native*) or, where that cannot run any, in the stack's first step
(*generic*), which every device has. What is attached by netlink stays whoever attached it. Each request names what it
takes the place of, so that what a stranger did meanwhile is never undone. Numbers are those of linux/if_link.h.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pyroute2.netlink import rtnl as numbers

from netloom.datapath.program_names import PROGRAM_PREFIX
from netloom.edge import requests
from netloom.edge.answers import LinkInfo, link_info
from netloom.edge.loaded import Program, describe, open_program
from netloom.edge.messages import LINK_ATTRIBUTES_AT, attributes, link_header, nest, number
from netloom.edge.rtnl import Request, RtnlSocket
from netloom.model.errors import Conflict, Invalid, KernelError, NotFound

Mode = Literal["native", "generic", "offloaded"]

_IFLA_XDP = 43
_XDP_FD = 1
_XDP_FLAGS = 3
_XDP_EXPECTED_FD = 8
_PROGRAM_OF: Mapping[int, Mode] = {5: "native", 6: "generic", 7: "offloaded"}
"""IFLA_XDP_DRV_PROG_ID, IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID."""
_FLAG: Mapping[Mode, int] = {"generic": 1 << 1, "native": 1 << 2, "offloaded": 1 << 3}
_ONLY_IF_NONE = 1 << 0
_REPLACE = 1 << 4
_NOT_THE_DRIVERS = frozenset({errno.EBUSY, errno.EEXIST, errno.ENODEV, errno.EPERM})
"""Refusals that say nothing of what the driver can: somebody was first, the device is gone, we have no right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XdpProgram:
    """A program on a device."""

    program: Program
    mode: Mode

    @property
    def ours(self) -> bool:
        """Whether some Netloom node attached it."""
        return self.program.name.startswith(PROGRAM_PREFIX)

    def __str__(self) -> str:
        return f'"{self.program.name}" (program {self.program.id}, {self.mode})'


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """How a program was attached."""

    mode: Mode
    obstacle: str
    """Why not in the driver, in the kernel's words; "" when it is, or when that was found out long ago."""


class Xdp:
    """For the devices of one namespace: that of the socket. Every method raises KernelError when the kernel refuses."""

    def __init__(self, socket: RtnlSocket) -> None:
        self._socket = socket

    def look(self, device: str) -> tuple[LinkInfo, tuple[XdpProgram, ...]]:
        """A device, and what is on it, whoever attached it. Raises NotFound without the device."""
        answer = self._socket.call(requests.get_link(device))
        if not answer:
            raise NotFound(f'network device "{device}" does not exist on this node')
        return link_info(answer[0]), _programs(answer[0])

    def devices_with_ours(self) -> tuple[str, ...]:
        """Names."""
        found = self._socket.dump(requests.list_links())
        return tuple(link_info(message).name for message in found if any(each.ours for each in _programs(message)))

    def attach(self, device: str, program_fd: int, program_name: str) -> Attached:
        """Attach in the place of ours, without a frame in between going past; else in the driver if that can be.

        Raises NotFound without the device, Invalid for one without Ethernet headers, Conflict for somebody else's
        program.
        """
        link, present = self.look(device)
        if not link.ethernet:
            raise Invalid(f'network device "{device}" is not Ethernet, which the XDP program expects')
        _refuse_foreign(link, present)
        try:
            return self._attach(link, present, (program_fd, program_name))
        except KernelError as error:
            if error.errno in (errno.EBUSY, errno.EEXIST):
                _refuse_foreign(*self.look(device))
            raise

    def detach(self, device: str) -> bool:
        """Take ours off; says whether it was there. No error without the device."""
        try:
            link, present = self.look(device)
        except NotFound:
            return False
        done = False
        for each in present:
            if each.ours:
                with _opened(each) as old_fd:
                    done = old_fd is not None and self._replace(link, each, (-1, each.program.name), old_fd)
        return done

    def _attach(self, link: LinkInfo, present: tuple[XdpProgram, ...], new: tuple[int, str]) -> Attached:
        for each in present:
            with _opened(each) as old_fd:
                if old_fd is not None and self._replace(link, each, new, old_fd):
                    return Attached(mode=each.mode, obstacle="")
        try:
            self._socket.call(_put(link, new, _FLAG["native"] | _ONLY_IF_NONE))
        except KernelError as refusal:
            if refusal.errno in _NOT_THE_DRIVERS:
                raise
            self._socket.call(_put(link, new, _FLAG["generic"] | _ONLY_IF_NONE))
            return Attached(mode="generic", obstacle=str(refusal))
        return Attached(mode="native", obstacle="")

    def _replace(self, link: LinkInfo, old: XdpProgram, new: tuple[int, str], old_fd: int) -> bool:
        """False when the old one has left meanwhile."""
        try:
            self._socket.call(_put(link, new, _FLAG[old.mode] | _REPLACE, expected_fd=old_fd))
        except KernelError as error:
            if error.errno in (errno.EEXIST, errno.ENODEV) and old not in self.look(link.name)[1]:
                return False
            raise
        return True


def _put(link: LinkInfo, program: tuple[int, str], flags: int, expected_fd: int | None = None) -> Request:
    fd, name = program
    parts = [_signed(_XDP_FD, fd), number(_XDP_FLAGS, flags)]
    if expected_fd is not None:
        parts.append(_signed(_XDP_EXPECTED_FD, expected_fd))
    op = "attach" if fd >= 0 else "detach"
    body = link_header(index=link.ifindex) + nest(_IFLA_XDP, *parts)
    return Request(op, f'XDP program "{name}" of device "{link.name}"', numbers.RTM_SETLINK, body)


def _signed(kind: int, value: int) -> bytes:
    return number(kind, value & 0xFFFFFFFF)


def _programs(message: bytes) -> tuple[XdpProgram, ...]:
    """From an answer about a link; a program that went meanwhile is left out."""
    nested = dict(attributes(message, LINK_ATTRIBUTES_AT)).get(_IFLA_XDP, b"")
    numbers_of = {kind: struct.unpack("=I", payload)[0] for kind, payload in attributes(nested, 0) if len(payload) == 4}
    found = ((mode, describe(numbers_of[kind])) for kind, mode in _PROGRAM_OF.items() if kind in numbers_of)
    return tuple(XdpProgram(program=program, mode=mode) for mode, program in found if program is not None)


@contextmanager
def _opened(each: XdpProgram) -> Iterator[int | None]:
    """A descriptor; None when the program does not exist any more."""
    fd = open_program(each.program.id)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _refuse_foreign(link: LinkInfo, present: tuple[XdpProgram, ...]) -> None:
    for each in present:
        if not each.ours:
            raise Conflict(
                f'network device "{link.name}" has an XDP program that is not Netloom\'s, {each}, and room for one '
                f"alone; take that one off (`ip link set dev {link.name} xdp off`, or whatever attached it), or do its "
                "job and the prefilter's in one place"
            )
