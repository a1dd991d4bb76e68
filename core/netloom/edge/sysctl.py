"""Kernel settings below /proc/sys/net, which shows each thread those of its own namespace."""

from __future__ import annotations

import os
from pathlib import Path

from netloom.model.errors import KernelError, Unsupported

_ROOT = Path("/proc/sys/net")
_MAX_BYTES = 4096
"""The kernel gives a setting in one piece of at most a page."""
_STRICT, _LOOSE = 1, 2
"""Of rp_filter (RFC 3704): the way back must be the way in, or any way."""
_HOST_ACCEPTS, _ROUTER_ACCEPTS = 1, 2
"""Of accept_ra: routers ignore advertisements unless told otherwise."""


def require_ipv6() -> None:
    """Raise Unsupported when this kernel was started without IPv6."""
    if not (_ROOT / "ipv6/conf").is_dir():
        raise Unsupported(
            "IPv6 for pods",
            needs="a kernel started with IPv6",
            found=f"no {_ROOT}/ipv6 (or configure address prefixes of IPv4 alone)",
        )


def read_sysctl(name: str) -> str | None:
    """Value of ``ipv4/ip_forward`` and the like; None when this kernel has no such setting."""
    try:
        fd = os.open(f"{_ROOT}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _MAX_BYTES).decode().strip()
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise KernelError("read", f"setting net/{name}", error.errno or 0) from error


def write_sysctl(name: str, value: int) -> bool:
    """Set it if it differs; says whether it did. No error when this kernel has no such setting."""
    if read_sysctl(name) in (None, str(value)):
        return False
    try:
        fd = os.open(f"{_ROOT}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        hint = "is /proc/sys mounted read-only?"
        raise KernelError("write", f"{value} to setting net/{name}", error.errno or 0, hint) from error
    return True


def enable_ipv6(device: str) -> None:
    """Some hosts and runtimes switch IPv6 off for all new devices; ours need it, others keep what they have."""
    write_sysctl(f"ipv6/conf/{device}/disable_ipv6", 0)


def loosen_reverse_path(device: str) -> None:
    """Accept packets on ``device`` from sources routed elsewhere.

    A workload's packets come in by its own device while the route back is by loom_host, so the strict check would
    drop them. The kernel takes the larger of this value and that of ``all``: loose wins without touching ``all``.
    """
    values = (read_sysctl(f"ipv4/conf/{name}/rp_filter") for name in ("all", device))
    if str(_STRICT) in values:
        write_sysctl(f"ipv4/conf/{device}/rp_filter", _LOOSE)


def accept_own_addresses(device: str) -> None:
    """Take packets from addresses of this node on ``device``: what it sends to workloads may pass its own proxy."""
    write_sysctl(f"ipv4/conf/{device}/accept_local", 1)


def reuse_waiting_ports() -> None:
    """Let connections be made again that ended a moment ago: clients choose their ports, and the proxy has the same."""
    write_sysctl("ipv4/tcp_tw_reuse", 1)


def enable_forwarding(*, ipv4: bool, ipv6: bool) -> None:
    """Let this node forward packets between its devices, in the families given."""
    if ipv4:
        write_sysctl("ipv4/ip_forward", 1)
    if ipv6 and read_sysctl("ipv6/conf/all/forwarding") == "0":
        _keep_learning_routers()
        write_sysctl("ipv6/conf/all/forwarding", 1)


def _keep_learning_routers() -> None:
    """A host that becomes a router stops heeding advertisements, and would lose the default route it learnt by one."""
    for directory in sorted((_ROOT / "ipv6/conf").iterdir()):
        if read_sysctl(f"ipv6/conf/{directory.name}/accept_ra") == str(_HOST_ACCEPTS):
            write_sysctl(f"ipv6/conf/{directory.name}/accept_ra", _ROUTER_ACCEPTS)
