"""Programs on devices by tcx (Linux 6.6): bpf(2) keeps a list for each direction of a device, run before any tc filter.

A program attached like this stays for as long as its device, whoever attached it, and takes the place of another in
one step. Debian 12's libbpf knows none of this (see :mod:`netloom.edge.loaded`). The kernel looks for devices in the
network namespace of the calling thread.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Mapping

from netloom.edge.loaded import Program, bpf, callable_here, describe, open_program
from netloom.edge.requests import Attachment, Direction
from netloom.model.errors import KernelError, Unsupported

SINCE = "6.6"
_PROG_ATTACH, _PROG_DETACH, _PROG_QUERY = 8, 9, 16
_KIND: Mapping[Direction, int] = {"ingress": 46, "egress": 47}
"""BPF_TCX_INGRESS, BPF_TCX_EGRESS."""
_REPLACE = 1 << 2
_BEFORE = 1 << 3
"""BPF_F_BEFORE: with no other program named, before all."""
_ATTACH = struct.Struct("=IIIIIIQ")
"""target_ifindex, attach_bpf_fd, attach_type, attach_flags, replace_bpf_fd, relative_fd, expected_revision."""
_QUERY = struct.Struct("=IIIIQI4xQQQQ")
"""target_ifindex, attach_type, query_flags, attach_flags, prog_ids, count, prog_attach_flags, link_ids,
link_attach_flags, revision."""
_COUNT_AT = 24
_MOST = 64
"""BPF_MPROG_MAX: programs in one list."""
_LOOPBACK = 1
"""Index of the loopback device in every network namespace."""


@functools.cache
def supported() -> bool:
    """Whether the kernel has tcx, by asking it what hangs on the loopback device."""
    query = ctypes.create_string_buffer(_QUERY.pack(_LOOPBACK, _KIND["ingress"], 0, 0, 0, 0, 0, 0, 0, 0), _QUERY.size)
    return callable_here() and bpf(_PROG_QUERY, query)[1] == 0


def require() -> None:
    """Raises Unsupported where the kernel has no tcx."""
    if not supported():
        needs = f'Linux {SINCE}; set "datapath: {{attach: auto}}" or clsact'
        raise Unsupported("attaching programs by tcx", needs=needs, found=f"Linux {platform.release()}")


def programs(place: Attachment) -> tuple[Program, ...]:
    """All programs of the list, first to last, whoever attached them; none where there is no such device."""
    found = map(describe, _numbers(place))
    return tuple(program for program in found if program is not None)


def attach_first(place: Attachment, program_fd: int, name: str) -> None:
    """Put a program before all others of the list. Raises KernelError."""
    attributes = _ATTACH.pack(place.ifindex, program_fd, _KIND[place.direction], _BEFORE, 0, 0, 0)
    _call(_PROG_ATTACH, attributes, "attach", f'program "{name}" as {place}')


def replace(place: Attachment, program_fd: int, name: str, old: Program) -> bool:
    """Put a program in the place of another in one step; False when that one has left meanwhile. Raises KernelError."""
    old_fd = open_program(old.id)
    if old_fd is None:
        return False
    try:
        attributes = _ATTACH.pack(place.ifindex, program_fd, _KIND[place.direction], _REPLACE, old_fd, 0, 0)
        return _call(_PROG_ATTACH, attributes, "attach", f'program "{name}" as {place}', accept=errno.ENOENT)
    finally:
        os.close(old_fd)


def detach(place: Attachment, program: Program) -> bool:
    """Take a program off the list; says whether it was there. Raises KernelError."""
    program_fd = open_program(program.id)
    if program_fd is None:
        return False
    try:
        attributes = _ATTACH.pack(place.ifindex, program_fd, _KIND[place.direction], 0, 0, 0, 0)
        return _call(_PROG_DETACH, attributes, "detach", str(place), accept=errno.ENOENT)
    finally:
        os.close(program_fd)


def _numbers(place: Attachment) -> tuple[int, ...]:
    """Of the programs in the list."""
    room = (ctypes.c_uint32 * _MOST)()
    head = (place.ifindex, _KIND[place.direction], 0, 0, ctypes.addressof(room), _MOST, 0, 0, 0, 0)
    query = ctypes.create_string_buffer(_QUERY.pack(*head), _QUERY.size)
    _, number = bpf(_PROG_QUERY, query)
    if number in (errno.ENODEV, errno.ENOENT):
        return ()
    if number:
        raise KernelError("list", str(place), number)
    (count,) = struct.unpack_from("=I", query, _COUNT_AT)
    return tuple(room[:count])


def _call(command: int, attributes: bytes, op: str, obj: str, accept: int = 0) -> bool:
    """Whether it was done; False for the one error that is accepted."""
    _, number = bpf(command, ctypes.create_string_buffer(attributes, len(attributes)))
    if number and number != accept:
        raise KernelError(op, obj, number)
    return not number
