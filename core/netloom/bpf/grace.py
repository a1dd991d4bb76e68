"""Waiting until no CPU runs a program any more that was taken off its device."""

from __future__ import annotations

import ctypes
import platform
import time

_SYSCALL = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
"""Number of membarrier(2), from asm/unistd.h of each machine."""
_GLOBAL = 1
"""MEMBARRIER_CMD_GLOBAL (linux/membarrier.h): the kernel waits for an RCU grace period (kernel/sched/membarrier.c)."""
_LONG_ENOUGH_S = 1.0
"""Where the kernel has no such call: a program runs for microseconds."""


def wait_for_running_programs() -> None:
    """Blocks for tens of milliseconds. Programs run in RCU read-side sections, so what ran before has then ended."""
    number = _SYSCALL.get(platform.machine())
    if number is None or ctypes.CDLL(None).syscall(number, _GLOBAL, 0, 0) != 0:
        time.sleep(_LONG_ENOUGH_S)
