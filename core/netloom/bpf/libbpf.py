"""The part of libbpf that Netloom calls, through ctypes.

Structures are those of libbpf 1.0 and later (``bpf/bpf.h``, ``bpf/libbpf.h``) and of ``linux/bpf.h``; each
options structure begins with its own size, so a newer library reads ours as it stands. Functions of libbpf 1.x
return a negative errno.
"""

from __future__ import annotations

import ctypes
import errno
import functools
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p, sizeof
from typing import Any

from netloom.datapath.program_names import KERNEL_NAME_BYTES
from netloom.model.errors import KernelError, Unsupported

LIBRARY = "libbpf.so.1"

PROG_TYPE_SCHED_CLS = 3
"""BPF_PROG_TYPE_SCHED_CLS (linux/bpf.h): programs for tc."""
PROG_TYPE_XDP = 6
"""BPF_PROG_TYPE_XDP."""
XDP_HAS_FRAGS = 1 << 5
"""BPF_F_XDP_HAS_FRAGS (Linux 5.18): the program may be given frames of several buffers, of which it sees the first."""

BPF_ANY = 0
"""Create an entry or replace it."""

ENOTSUPP = 524
"""The kernel's own code for "not supported", which has no name in user space (include/linux/errno.h)."""

SAMPLE_CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
"""``int (*)(void *ctx, void *data, size_t size)`` of ring buffers; a negative result stops the reading."""


class MapCreateOpts(ctypes.Structure):
    """``struct bpf_map_create_opts``."""

    _fields_ = (
        ("sz", c_size_t),
        ("btf_fd", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("inner_map_fd", c_uint32),
        ("map_flags", c_uint32),
        ("map_extra", c_uint64),
        ("numa_node", c_uint32),
        ("map_ifindex", c_uint32),
    )


class ProgLoadOpts(ctypes.Structure):
    """``struct bpf_prog_load_opts``."""

    _fields_ = (
        ("sz", c_size_t),
        ("attempts", c_int),
        ("expected_attach_type", c_uint32),
        ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_ifindex", c_uint32),
        ("kern_version", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32),
        ("attach_btf_obj_fd", c_uint32),
        ("fd_array", c_void_p),
        ("func_info", c_void_p),
        ("func_info_cnt", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("line_info", c_void_p),
        ("line_info_cnt", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
        ("log_buf", c_void_p),
    )


class BatchOpts(ctypes.Structure):
    """``struct bpf_map_batch_opts``."""

    _fields_ = (("sz", c_size_t), ("elem_flags", c_uint64), ("flags", c_uint64))


class TestRunOpts(ctypes.Structure):
    """``struct bpf_test_run_opts``."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class MapInfo(ctypes.Structure):
    """Beginning of ``struct bpf_map_info``."""

    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
        ("map_flags", c_uint32),
        ("name", c_char * 16),
    )


class ProgInfo(ctypes.Structure):
    """``struct bpf_prog_info`` up to ``verified_insns`` (Linux 5.16; older kernels leave it 0)."""

    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("tag", c_uint8 * 8),
        ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32),
        ("jited_prog_insns", c_uint64),
        ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64),
        ("created_by_uid", c_uint32),
        ("nr_map_ids", c_uint32),
        ("map_ids", c_uint64),
        ("name", c_char * 16),
        ("ifindex", c_uint32),
        ("gpl_compatible", c_uint32),
        ("netns_dev", c_uint64),
        ("netns_ino", c_uint64),
        ("nr_jited_ksyms", c_uint32),
        ("nr_jited_func_lens", c_uint32),
        ("jited_ksyms", c_uint64),
        ("jited_func_lens", c_uint64),
        ("btf_id", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("func_info", c_uint64),
        ("nr_func_info", c_uint32),
        ("nr_line_info", c_uint32),
        ("line_info", c_uint64),
        ("jited_line_info", c_uint64),
        ("nr_jited_line_info", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("jited_line_info_rec_size", c_uint32),
        ("nr_prog_tags", c_uint32),
        ("prog_tags", c_uint64),
        ("run_time_ns", c_uint64),
        ("run_cnt", c_uint64),
        ("recursion_misses", c_uint64),
        ("verified_insns", c_uint32),
        ("attach_btf_obj_id", c_uint32),
    )


_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_map_create": (c_int, (c_int, c_char_p, c_uint32, c_uint32, c_uint32, POINTER(MapCreateOpts))),
    "bpf_map_lookup_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_void_p, c_void_p, c_uint64)),
    "bpf_map_delete_elem": (c_int, (c_int, c_void_p)),
    "bpf_map_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_map_get_next_key": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_batch": (c_int, (c_int, c_void_p, c_void_p, POINTER(c_uint32), POINTER(BatchOpts))),
    "bpf_map_delete_batch": (c_int, (c_int, c_void_p, POINTER(c_uint32), POINTER(BatchOpts))),
    "bpf_map_lookup_batch": (
        c_int,
        (c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_uint32), POINTER(BatchOpts)),
    ),
    "bpf_obj_pin": (c_int, (c_int, c_char_p)),
    "bpf_obj_get": (c_int, (c_char_p,)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, c_void_p, POINTER(c_uint32))),
    "bpf_prog_load": (c_int, (c_int, c_char_p, c_char_p, c_char_p, c_size_t, POINTER(ProgLoadOpts))),
    "bpf_prog_test_run_opts": (c_int, (c_int, POINTER(TestRunOpts))),
    "ring_buffer__new": (c_void_p, (c_int, SAMPLE_CALLBACK, c_void_p, c_void_p)),
    "ring_buffer__consume": (c_int, (c_void_p,)),
    "ring_buffer__epoll_fd": (c_int, (c_void_p,)),
    "ring_buffer__free": (None, (c_void_p,)),
    "libbpf_num_possible_cpus": (c_int, ()),
    "libbpf_probe_bpf_map_type": (c_int, (c_int, c_void_p)),
    "libbpf_probe_bpf_helper": (c_int, (c_int, c_int, c_void_p)),
    "libbpf_set_print": (c_void_p, (c_void_p,)),
    "libbpf_version_string": (c_char_p, ()),
}


@functools.cache
def library() -> Any:
    """The loaded library with typed functions. Raises Unsupported when it is not installed."""
    try:
        loaded = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError as error:
        raise Unsupported(
            "libbpf", needs=f"{LIBRARY} (Debian: apt-get install libbpf1)", found=f"none: {error}"
        ) from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    loaded.libbpf_set_print(None)  # errors are raised here with their object, not printed by the library
    return loaded


@functools.cache
def possible_cpus() -> int:
    """How many values an entry of a per-CPU map has; counts CPUs that may be plugged in later."""
    return check(library().libbpf_num_possible_cpus(), "count", "possible CPUs")


def check(result: int, op: str, obj: str, hint: str = "") -> int:
    """Give ``result`` back, or raise KernelError when it is a negative errno."""
    if result < 0:
        raise KernelError(op, obj, -result, hint or _HINTS.get(-result, ""))
    return result


_HINTS = {
    errno.EPERM: "needs root, or CAP_BPF and CAP_NET_ADMIN",
    errno.EBADF: "it was closed already",
}


def kernel_name(name: str) -> bytes:
    """``name`` as the kernel keeps it: at most 15 bytes."""
    return name.encode()[:KERNEL_NAME_BYTES]


def map_info(fd: int, obj: str) -> MapInfo:
    """What the kernel says of a map; ``obj`` names it in errors. Raises KernelError."""
    info = MapInfo()
    size = c_uint32(sizeof(info))
    check(library().bpf_obj_get_info_by_fd(fd, byref(info), byref(size)), "inspect", obj)
    return info


def prog_info(fd: int, obj: str) -> ProgInfo:
    """What the kernel says of a program; ``obj`` names it in errors. Raises KernelError."""
    info = ProgInfo()
    size = c_uint32(sizeof(info))
    check(library().bpf_obj_get_info_by_fd(fd, byref(info), byref(size)), "inspect", obj)
    return info
