"""The programs in C that measure, compiled for this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCES = Path(__file__).parent


def build(name: str, directory: Path, *flags: str) -> Path:
    """Compile one of them; returns the program."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / name
    warnings = ("-Wall", "-Wextra", "-Werror")
    subprocess.run(["gcc", "-O2", "-std=gnu11", *flags, *warnings, "-o", program, _SOURCES / f"{name}.c"], check=True)
    return program
