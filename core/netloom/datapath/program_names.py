"""How our programs are called in the kernel, by which clean-up with no memory knows them on anybody's device."""

from __future__ import annotations

PROGRAM_PREFIX = "loom_"
KERNEL_NAME_BYTES = 15
"""BPF_OBJ_NAME_LEN less the closing zero (linux/bpf.h)."""


def kernel_program_name(name: str) -> str:
    """What ``bpftool prog`` shows of a program: our prefix, and as much of its name as the kernel keeps."""
    return (PROGRAM_PREFIX + name)[:KERNEL_NAME_BYTES]
