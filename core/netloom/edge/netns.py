"""Network namespaces: open one, run something in one, make and remove named ones.

The agent's own threads never change their namespace. What must happen elsewhere happens in a thread made for it.
Named namespaces stand where iproute2 keeps them, so that ``ip netns`` lists ours and we find its own.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from netloom.model.errors import Conflict, Invalid, KernelError, NotFound

R = TypeVar("R")

NAMED_DIR = Path("/run/netns")
"""Where iproute2 keeps the names (its NETNS_RUN_DIR)."""
_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703
"""From linux/nsfs.h: which kind of namespace an open file is."""
_MS_BIND = 4096
_MS_REC = 16384
_MS_SHARED = 1 << 20
_MNT_DETACH = 2
_THREAD_NETNS = Path("/proc/thread-self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def open_netns(path: str | Path) -> Iterator[int]:
    """A file descriptor of the namespace at ``path``, closed at the end of the block.

    Raises NotFound when nothing is there, Invalid when it is not a network namespace.
    """
    try:
        # Without O_NONBLOCK a named pipe put there would hold us for ever.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f'network namespace "{path}" does not exist: the container may have ended already') from error
    except OSError as error:
        raise KernelError("open", f'network namespace "{path}"', error.errno or 0) from error
    try:
        if not _is_netns(fd):
            raise Invalid(f'"{path}" is not a network namespace, expected a path such as /proc/PID/ns/net')
        yield fd
    finally:
        os.close(fd)


def is_own_netns(fd: int) -> bool:
    """Whether ``fd`` is the namespace of the calling thread."""
    own, other = _THREAD_NETNS.stat(), os.fstat(fd)
    return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)


def call_in_netns(fd: int, function: Callable[[], R]) -> R:
    """Run ``function`` in a new thread inside the namespace; its result or exception comes back.

    A thread's namespace ends with the thread, so nothing has to be put back, and no failure can leave a thread
    of the agent in a workload's namespace.
    """
    visit = _Visit(lambda: enter_netns(fd), function)
    visit.join()
    return visit.result()


def enter_netns(fd: int) -> None:
    """Move the calling thread, for good. For threads and processes made for that; see :func:`call_in_netns`."""
    if _libc.setns(fd, _CLONE_NEWNET):
        raise KernelError("enter", "network namespace", ctypes.get_errno())


def create_named_netns(name: str) -> Path:
    """Make an empty namespace that lives until it is deleted. Raises Conflict when the name is taken."""
    _share_named_dir()
    path = NAMED_DIR / name
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    except FileExistsError as error:
        raise Conflict(f'network namespace "{name}" exists already; delete it or take another name') from error
    visit = _Visit(_unshare, lambda: _mount(_THREAD_NETNS, path, _MS_BIND))
    visit.join()
    try:
        visit.result()
    except KernelError:
        path.unlink()
        raise
    return path


def delete_named_netns(name: str) -> bool:
    """Remove the name; the namespace ends with its last process and file descriptor. Says whether it was there."""
    path = NAMED_DIR / name
    if not path.exists():
        return False
    # EINVAL: the file is there and nothing is mounted on it, as after an interrupted creation.
    if _libc.umount2(os.fsencode(path), _MNT_DETACH) and ctypes.get_errno() != errno.EINVAL:
        raise KernelError("unmount", f"network namespace {path}", ctypes.get_errno())
    path.unlink(missing_ok=True)
    return True


class _Visit(threading.Thread, Generic[R]):
    """A thread that changes its namespace, then runs one function."""

    def __init__(self, enter: Callable[[], None], function: Callable[[], R]) -> None:
        super().__init__(name="netns", daemon=True)
        self._enter_namespace = enter
        self._function = function
        self._result: list[R] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._enter_namespace()
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
            self._error = error

    def result(self) -> R:
        """What the function gave; call after ``join``."""
        if self._error is not None:
            raise self._error
        return self._result[0]


def _is_netns(fd: int) -> bool:
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET
    except OSError:
        return False


def _unshare() -> None:
    if _libc.unshare(_CLONE_NEWNET):
        raise KernelError("create", "network namespace", ctypes.get_errno())


def _mount(source: str | Path, target: Path, flags: int) -> None:
    arguments: tuple[Any, ...] = (os.fsencode(source), os.fsencode(target), b"none", ctypes.c_ulong(flags), None)
    if _libc.mount(*arguments):
        raise KernelError("mount", f"{source} on {target}", ctypes.get_errno())


def _share_named_dir() -> None:
    """Make the directory a shared mount, as ``ip netns add`` does, so that deletions reach every mount namespace."""
    NAMED_DIR.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", NAMED_DIR, _MS_SHARED | _MS_REC)
    except KernelError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount(NAMED_DIR, NAMED_DIR, _MS_BIND | _MS_REC)
        _mount("", NAMED_DIR, _MS_SHARED | _MS_REC)
