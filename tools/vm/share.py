"""This machine's files as the guest sees them: through virtiofsd, read-only whatever the guest does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tools.vm.errors import MachineError

_DAEMONS = (Path("/usr/lib/qemu/virtiofsd"), Path("/usr/libexec/virtiofsd"))
"""Debian 12: part of qemu-system-common; later a package of its own."""
_OWN_VIEW = """
set -e
root=$1
shift
mount --make-rprivate /
mount --bind / "$root"
mount -o remount,bind,ro "$root"
while [ "$1" != -- ]; do
    mount --bind "$1" "$root$1"
    mount -o remount,bind,ro "$root$1"
    shift
done
shift
exec "$@"
"""
"""Runs a command in a mount namespace of its own, where the tree is bound read-only at a place of its own."""


def mount_point(path: Path) -> Path:
    """The mount point that holds ``path``; links followed, and it need not exist to the end."""
    found = Path(os.path.realpath(path))
    while not found.is_mount():
        found = found.parent
    return found


def needed_mounts(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Mount points besides ``/`` that hold any of ``paths``, each after those above it."""
    return tuple(sorted({mount_point(path) for path in paths} - {Path("/")}))


def daemon_command(root: Path, socket: Path, mounts: Iterable[Path]) -> list[str]:
    """Serves ``/`` and ``mounts``, seen at the empty directory ``root``, to whoever connects to ``socket`` first.

    It ends when that one goes, or with the thread that started it. Raises MachineError when it is not installed.
    """
    daemon = next((path for path in _DAEMONS if path.exists()), None)
    if daemon is None:
        raise MachineError("virtiofsd is not installed; apt-get install qemu-system-x86")
    serve = [
        str(daemon),
        f"--socket-path={socket}",
        "-o",
        f"source={root}",
        "-o",
        "cache=always",
        "-o",
        "sandbox=chroot",
    ]
    serve += ["-o", "no_posix_lock", "-o", "xattr", "-o", "log_level=err"]
    view = ["sh", "-c", _OWN_VIEW, "view", str(root), *map(str, mounts), "--", *serve]
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", *view]
