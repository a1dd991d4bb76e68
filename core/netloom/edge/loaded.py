"""bpf(2) as it is, for what Debian 12's libbpf does not know, and programs as the kernel describes them.

Structures are those of ``union bpf_attr`` (linux/bpf.h).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
from dataclasses import dataclass

from netloom.model.errors import KernelError

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
"""Number of bpf(2), from asm/unistd.h of each machine."""
_PROG_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD = 13, 15
_INFO = struct.Struct("=IIQ")
"""bpf_fd, info_len, info."""
_PROGRAM = struct.Struct("=4xI8s48x16s")
"""``struct bpf_prog_info`` to the end of its name: id, tag, name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program as the kernel describes it."""

    id: int
    name: str
    """At most 15 characters."""
    tag: str
    """The kernel's hash of the instructions, 16 hex digits."""


def callable_here() -> bool:
    """Whether the number of bpf(2) on this machine is known."""
    return platform.machine() in _SYSCALL


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> tuple[int, int]:
    """Make the system call: what it returned, and its error number or 0."""
    result = _libc().syscall(_SYSCALL[platform.machine()], command, attributes, len(attributes))
    return result, ctypes.get_errno() if result < 0 else 0


def describe(number: int) -> Program | None:
    """A program by its number; None when it has gone meanwhile. Raises KernelError."""
    fd = open_program(number)
    if fd is None:
        return None
    try:
        found = _read(fd)
    finally:
        os.close(fd)
    if isinstance(found, Program):
        return found
    raise KernelError("inspect", f"program {number}", found)


def program_id(program_fd: int) -> int | None:
    """Number of an open program; None when the descriptor is none of a program."""
    found = _read(program_fd)
    return found.id if isinstance(found, Program) else None


def open_program(number: int) -> int | None:
    """A descriptor of a program; None when it does not exist any more. Raises KernelError."""
    fd, error = bpf(_PROG_GET_FD_BY_ID, ctypes.create_string_buffer(struct.pack("=III", number, 0, 0), 12))
    if error == errno.ENOENT:
        return None
    if error:
        raise KernelError("open", f"program {number}", error)
    return fd


def _read(program_fd: int) -> Program | int:
    """What the kernel says of an open program, or the number of its error."""
    raw = ctypes.create_string_buffer(_PROGRAM.size)
    request = _INFO.pack(program_fd, _PROGRAM.size, ctypes.addressof(raw))
    _, error = bpf(_OBJ_GET_INFO_BY_FD, ctypes.create_string_buffer(request, _INFO.size))
    if error:
        return error
    number, tag, name = _PROGRAM.unpack(raw.raw)
    return Program(id=number, name=name.rstrip(b"\0").decode(errors="replace"), tag=tag.hex())


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
