"""A kernel made ready to boot: unpacked below the cache, its modules indexed, its initramfs packed."""

from __future__ import annotations

import fcntl
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.vm.debian import Apt, Kernel, require_programs, version_of
from tools.vm.errors import MachineError

FIRST_MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay")
"""What the guest needs before it sees this machine's files; the rest is loaded on demand from there."""
INIT = Path(__file__).with_name("init.sh")
BUSYBOX = "/usr/bin/busybox"


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel in its directory."""

    directory: Path
    version: str
    """As ``uname -r`` says."""

    @property
    def kernel(self) -> Path:
        """What QEMU boots."""
        return self.directory / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """An archive of cpio(5), form newc, not compressed."""
        return self.directory / f"initramfs-{_fingerprint(INIT)}.cpio"

    @property
    def modules(self) -> Path:
        """The tree that belongs at ``/lib/modules/<version>``."""
        return self.directory / "root/lib/modules" / self.version


def prepare(kernel: Kernel, cache: Path) -> Image:
    """The newest kernel of a series, fetched if the cache has an older one or none.

    Without a mirror what the cache has is used, and said so on standard error. Raises MachineError.
    """
    require_programs(("qemu-system-x86_64", "busybox", "depmod", "modprobe", "dpkg-deb"))
    directory = cache / "kernels"
    with _locked(directory / f"lock-{kernel.series}"):
        apt = Apt(directory / f"apt-{kernel.series}")
        complaint = apt.update(kernel)
        package = apt.newest(kernel)
        if package is None:
            raise MachineError(f"the mirror has no kernel {kernel.series}: {complaint or 'its lists name none'}")
        if complaint:
            sys.stderr.write(f"kernel {kernel.series}: the mirror could not be asked for a newer one: {complaint}\n")
        image = Image(directory / package, version_of(package))
        if not image.kernel.exists():
            _fetch(apt, kernel, package, image)
        if not image.initramfs.exists():
            _make_initramfs(image)
    return image


def archive(tree: Path) -> bytes:
    """The files below ``tree`` as cpio(5), form newc: what the kernel takes as (part of) an initramfs."""
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    command = [BUSYBOX, "cpio", "-o", "-H", "newc"]
    return subprocess.run(command, input=names.encode(), cwd=tree, capture_output=True, check=True).stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(apt: Apt, kernel: Kernel, package: str, image: Image) -> None:
    """Unpack beside, then put in place, and let go of older kernels of the series."""
    sys.stderr.write(f"kernel {kernel.series}: fetching {package}\n")
    with tempfile.TemporaryDirectory(dir=image.directory.parent, prefix="new-") as name:
        new = Path(name) / "image"
        root = new / "root"
        root.mkdir(parents=True)
        deb = apt.download(kernel, package, Path(name))
        subprocess.run(["dpkg-deb", "-x", str(deb), str(root)], check=True)
        if not (root / "lib").exists():
            (root / "lib").symlink_to("usr/lib")
        subprocess.run(["/usr/sbin/depmod", "-b", str(root), image.version], check=True)
        (root / f"boot/vmlinuz-{image.version}").rename(new / "vmlinuz")
        shutil.rmtree(root / "usr/share", ignore_errors=True)
        shutil.rmtree(image.directory, ignore_errors=True)
        new.rename(image.directory)
    for other in image.directory.parent.glob(f"linux-image-{kernel.series}.*"):
        if other != image.directory:
            shutil.rmtree(other)


def _make_initramfs(image: Image) -> None:
    with tempfile.TemporaryDirectory(dir=image.directory, prefix="new-") as name:
        tree = Path(name) / "tree"
        for directory in ("bin", "modules", "proc", "sys", "dev", "host", "scratch", "root"):
            (tree / directory).mkdir(parents=True)
        shutil.copy(BUSYBOX, tree / "bin/busybox")
        (tree / "bin/sh").symlink_to("busybox")
        shutil.copy(INIT, tree / "init")
        (tree / "init").chmod(0o755)
        for number, module in enumerate(_first_modules(image)):
            # Numbered: loaded in the order of their names, each after what it needs.
            (tree / "modules" / f"{number:02d}.ko").write_bytes(_uncompressed(module))
        packed = Path(name) / "packed"
        packed.write_bytes(archive(tree))
        packed.rename(image.initramfs)


def _first_modules(image: Image) -> tuple[Path, ...]:
    """Files of the modules that are not built in, each after those it needs."""
    found: dict[Path, None] = {}
    for name in FIRST_MODULES:
        command = [
            "/usr/sbin/modprobe",
            "-d",
            str(image.directory / "root"),
            "-S",
            image.version,
            "--show-depends",
            name,
        ]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            raise MachineError(f"kernel {image.version} has no module {name}: {shown.stderr.strip()}")
        for line in shown.stdout.splitlines():
            action, _, path = line.strip().partition(" ")
            if action == "insmod":
                found[Path(path.split()[0])] = None
    return tuple(found)


def _uncompressed(module: Path) -> bytes:
    raw = module.read_bytes()
    return lzma.decompress(raw) if module.suffix == ".xz" else raw


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() + os.fsencode(",".join(FIRST_MODULES))).hexdigest()[:8]
