"""What the data path needs of the host: checked once at start, and named when it is missing."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from netloom.bpf import libbpf
from netloom.datapath.maps import MapKind
from netloom.model.errors import KernelError, Unsupported

BPF_FS = "bpf"
MINIMUM_RELEASE = (6, 1)
"""Debian 12's kernel, the oldest all programs and a whole cluster are tested on. Before 5.19, tunnel keys have no room
for a local address, so every tunnel packet would be dropped; nobody has tried what lies between."""

WALKS_SINCE = (6, 2)
"""Before, a program with functions of its own, as walks need them, had the verifier go through each of its paths: more
than its million instructions for ours."""

_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_BPF": 39}
"""Bits of the capability sets (linux/capability.h)."""
_CAP_SYS_ADMIN = 21
"""Stands for CAP_BPF too."""
_CAP_BPF = 39
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How mountinfo writes spaces and the like (proc_pid_mountinfo(5))."""
_JIT_SETTING = Path("/proc/sys/net/core/bpf_jit_enable")


@dataclass(frozen=True, slots=True)
class _Helper:
    """A helper function programs call, by its number in ``enum bpf_func_id`` (linux/bpf.h)."""

    name: str
    number: int
    since: str


_HELPERS = (
    _Helper("bpf_skb_set_tunnel_key", 21, "4.3"),
    _Helper("bpf_skb_change_tail", 38, "4.9"),
    _Helper("bpf_skb_adjust_room", 50, "4.13"),
    _Helper("bpf_fib_lookup", 69, "4.18"),
    _Helper("bpf_jiffies64", 118, "5.5"),
    _Helper("bpf_ringbuf_output", 130, "5.8"),
    _Helper("bpf_csum_level", 135, "5.8"),
    _Helper("bpf_redirect_neigh", 152, "5.10"),
    _Helper("bpf_redirect_peer", 155, "5.10"),
)
_MAP_KINDS = {
    MapKind.HASH: "3.19",
    MapKind.ARRAY: "3.19",
    MapKind.PROG_ARRAY: "4.2",
    MapKind.PERCPU_ARRAY: "4.6",
    MapKind.LPM_TRIE: "4.11",
    MapKind.RINGBUF: "5.8",
    MapKind.SOCKMAP: "4.14",
}
"""Kernel in which each kind of map came (Documentation/bpf)."""


def probe() -> None:
    """Check everything by asking the kernel itself. Raises Unsupported for the first thing that is missing."""
    release = platform.release()
    if release_number(release) < MINIMUM_RELEASE:
        needs = "Linux 6.1 or later: before 5.19 tunnel keys have no local address"
        raise Unsupported("the data path", needs=needs, found=f"Linux {release}")
    _check_capabilities(effective_capabilities(Path("/proc/self/status").read_text(encoding="ascii")))
    for kind, since in _MAP_KINDS.items():
        if libbpf.library().libbpf_probe_bpf_map_type(kind, None) != 1:
            feature = f"the eBPF map type {kind.name.lower()}"
            raise Unsupported(feature, needs=f"Linux {since}", found=f"Linux {release}")
    for helper in _HELPERS:
        found = libbpf.library().libbpf_probe_bpf_helper(libbpf.PROG_TYPE_SCHED_CLS, helper.number, None)
        if found != 1:
            feature = f"the eBPF helper {helper.name} for tc"
            raise Unsupported(feature, needs=f"Linux {helper.since}", found=f"Linux {release}")
    # The setting shows in the first network namespace alone; elsewhere it is unknown, and so not held against the host.
    if _JIT_SETTING.exists() and _JIT_SETTING.read_text(encoding="ascii").strip() == "0":
        raise Unsupported("the eBPF JIT compiler", needs="sysctl net.core.bpf_jit_enable=1", found="0")


def require_walks() -> None:
    """Raises Unsupported where the kernel does not take the programs of a packet walk."""
    if release_number(platform.release()) < WALKS_SINCE:
        needs = "Linux 6.2, whose verifier follows functions of a program without trying all their paths"
        raise Unsupported("walking a packet", needs=needs, found=f"Linux {platform.release()}")


def release_number(release: str) -> tuple[int, int]:
    """The first two numbers of what ``uname -r`` says; (0, 0) when it begins with none."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def effective_capabilities(status: str) -> int:
    """The effective set from a text like ``/proc/self/status``; 0 when it names none."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return int(line.partition(":")[2], 16)
    return 0


def _check_capabilities(effective: int) -> None:
    for name, bit in _CAPABILITIES.items():
        enough = 1 << bit | (1 << _CAP_SYS_ADMIN if bit == _CAP_BPF else 0)
        if not effective & enough:
            raise Unsupported(f"the right to use eBPF ({name})", needs=f"root or {name}", found=f"user {os.geteuid()}")


def filesystem_of(path: Path, mountinfo: str) -> str:
    """Type of the file system ``path`` is on, from a text like ``/proc/self/mountinfo``; "" when it names none.

    The later of two mounts on one directory hides the earlier (proc_pid_mountinfo(5)).
    """
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        mount_point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), left.split()[4]))
        if path.is_relative_to(mount_point) and len(mount_point.parts) >= best:
            best, kind = len(mount_point.parts), right.split()[0]
    return kind


def mount_bpffs(path: Path) -> None:
    """Make sure that directory ``path`` exists and is on a bpf file system, mounting one on it if need be.

    Below ``/sys/fs/bpf`` that is where it is mounted, for everybody, as systemd does. Raises KernelError.
    """
    usual = Path("/sys/fs/bpf")
    mount_point = usual if path.is_relative_to(usual) else path
    if filesystem_of(path.resolve(), Path("/proc/self/mountinfo").read_text(encoding="utf-8")) != BPF_FS:
        _make(mount_point)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"bpf", os.fsencode(mount_point), b"bpf", 0, b"mode=0700"):
            raise KernelError("mount", f"a bpf file system on {mount_point}", ctypes.get_errno())
    _make(path)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KernelError("make", f"directory {directory}", error.errno or 0) from error
