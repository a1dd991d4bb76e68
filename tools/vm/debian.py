"""Kernels from the Debian mirror this machine uses, through an apt whose state is our own.

Nothing is installed, and neither the machine's sources nor its package lists are touched: ``apt-get`` gets a source
list, lists and cache of its own below a directory of ours.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.vm.errors import MachineError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_OFFICIAL = "http://deb.debian.org/debian/"
"""Where a machine without any Debian source would be pointed to (https://wiki.debian.org/SourcesList)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A series of Debian's kernels."""

    series: str
    """As ``6.1``."""
    suites: tuple[str, ...]
    """Where it may be; the newest of all of them counts. ``-security`` is on the security mirror."""


KERNELS = {
    kernel.series: kernel
    for kernel in (
        Kernel(series="5.10", suites=("bullseye", "bullseye-security")),
        Kernel(series="6.1", suites=("bookworm", "bookworm-security")),
        Kernel(series="6.12", suites=("bookworm-security", "bookworm-backports")),
    )
}


class Apt:
    """``apt-get`` with private state in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def update(self, kernel: Kernel) -> str:
        """Fetch the lists of the kernel's suites; what apt had to complain of, "" when nothing."""
        for name in ("lists/partial", "cache/archives/partial"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        sources = self._directory / f"sources-{kernel.series}.list"
        sources.write_text(source_list(kernel, configured_mirrors()))
        done = self._run("apt-get", kernel, "-qq", "update")
        return "" if done.returncode == 0 else done.stderr.strip()

    def newest(self, kernel: Kernel) -> str | None:
        """Name of the newest kernel package of the series; None when the lists hold none."""
        done = self._run("apt-cache", kernel, "pkgnames", f"linux-image-{kernel.series}.")
        return newest_image(kernel.series, done.stdout.split())

    def download(self, kernel: Kernel, package: str, into: Path) -> Path:
        """The package's file, below ``into``. Raises MachineError."""
        done = self._run("apt-get", kernel, "-qq", "download", package, cwd=into)
        found = sorted(into.glob("*.deb"))
        if done.returncode != 0 or len(found) != 1:
            raise MachineError(
                f"package {package} cannot be downloaded: {done.stderr.strip() or 'apt-get gave no file'}"
            )
        return found[0]

    def _run(
        self, program: str, kernel: Kernel, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        options = {
            "Dir::State::Lists": self._directory / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self._directory / "cache",
            "Dir::Etc::SourceList": self._directory / f"sources-{kernel.series}.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "APT::Sandbox::User": "root",
            "APT::Get::List-Cleanup": "0",
            "Acquire::Languages": "none",
            # An old suite's lists stay as they were signed last.
            "Acquire::Check-Valid-Until": "0",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        command = [program, *settings, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def configured_mirrors() -> tuple[str, ...]:
    """Base addresses of the repositories apt is configured with on this machine, each ending in a slash."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return tuple(dict.fromkeys(line.rstrip("/") + "/" for line in done.stdout.split()))


def source_list(kernel: Kernel, mirrors: Sequence[str]) -> str:
    """One-line sources (sources.list(5)) for the suites of a kernel, on the mirrors that are configured."""
    main = next((mirror for mirror in mirrors if re.search(r"/debian/$", mirror)), _OFFICIAL)
    security = next((mirror for mirror in mirrors if "debian-security" in mirror), main.rstrip("/") + "-security/")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = (
        f"deb {signed}{security if suite.endswith('-security') else main} {suite} main\n" for suite in kernel.suites
    )
    return "".join(lines)


def newest_image(series: str, packages: Iterable[str]) -> str | None:
    """The newest ``linux-image-<series>.…-cloud-amd64``; no debugging, unsigned or real-time one."""
    pattern = re.compile(rf"linux-image-{re.escape(series)}\.[0-9][^-]*(-[0-9]+)?-cloud-amd64")
    return max(filter(pattern.fullmatch, packages), key=_numbers, default=None)


def version_of(package: str) -> str:
    """What ``uname -r`` says under the kernel of a package."""
    return package.removeprefix("linux-image-")


def _numbers(package: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]+", package))


def cache_directory() -> Path:
    """Where kernels and compiled objects are kept: below ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "netloom"


def require_programs(names: Iterable[str]) -> None:
    """Raises MachineError naming each that is missing and what package brings them."""
    missing = [
        name for name in names if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None
    ]
    if missing:
        raise MachineError(f"not installed: {', '.join(missing)}; apt-get install qemu-system-x86 busybox-static kmod")
