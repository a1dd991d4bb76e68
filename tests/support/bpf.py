"""The smallest eBPF programs, loaded without a compiler."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_BPF_PROG_LOAD = 5
_BPF_LINK_CREATE = 28
_ATTACH_XDP = 37
TC, XDP = 3, 6
"""Kinds of programs: BPF_PROG_TYPE_SCHED_CLS and BPF_PROG_TYPE_XDP."""
_SYSCALL = {"x86_64": 321, "aarch64": 280}
_LICENCE = ctypes.create_string_buffer(b"GPL")


def load_verdict(verdict: int, name: str = "loom_verdict", *, kind: int = TC) -> int:
    """A file descriptor of a program that gives every packet the same verdict.

    For tc TC_ACT_OK is 0 and TC_ACT_SHOT 2, for XDP XDP_DROP is 1 and XDP_PASS 2. By its name it is one of Netloom's,
    unless another is given.
    """
    code = ctypes.create_string_buffer(
        struct.pack("=BBhi", 0xB7, 0, 0, verdict) + struct.pack("=BBhi", 0x95, 0, 0, 0)  # r0 = verdict; exit
    )
    attributes = struct.pack(
        "=IIQQIIQII16s",
        kind,
        2,
        ctypes.addressof(code),
        ctypes.addressof(_LICENCE),
        0,
        0,
        0,
        0,
        0,
        name.encode(),
    )
    return _bpf(_BPF_PROG_LOAD, attributes)


def attach_by_link(ifindex: int, program_fd: int) -> int:
    """Attach an XDP program to a device of the calling thread's namespace for as long as what this returns is open."""
    return _bpf(_BPF_LINK_CREATE, struct.pack("=IIII", program_fd, ifindex, _ATTACH_XDP, 0))


def _bpf(command: int, attributes: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(_SYSCALL[platform.machine()], command, attributes, len(attributes))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
