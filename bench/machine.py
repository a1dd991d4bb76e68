"""Where the figures come from."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def facts() -> tuple[tuple[str, str], ...]:
    """Name and value of what a reader must know of the machine."""
    return (
        ("CPU", f"{_cpu_model()}, {os.cpu_count()} cores"),
        ("virtualisation", _output("systemd-detect-virt") or "unknown"),
        ("kernel", platform.release()),
        ("BPF JIT", "on" if Path("/proc/sys/net/core/bpf_jit_enable").read_text().strip() != "0" else "off"),
        ("load before", " ".join(f"{load:.1f}" for load in os.getloadavg())),
        ("compiler", _output("gcc", "--version").splitlines()[0]),
        ("commit", _output("git", "describe", "--always", "--dirty") or "not a checkout"),
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _output(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
