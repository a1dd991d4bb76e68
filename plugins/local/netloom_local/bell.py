"""The bell: how processes that share a store file tell each other that something changed.

A writer touches a file beside the store after its commit; everybody who waits sees that through inotify, so a
change is heard at once and waiting costs nothing. A bell is only a hint: a writer may die between commit and
ring, and inotify instances are limited (``fs.inotify.max_user_instances``), so listeners also look now and then.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

IN_ATTRIB = 0x4
"""Metadata changed (linux/inotify.h): what touching a file is."""
READ_BYTES = 4096
"""Room for many events: they are all alike and not looked at."""

_libc = ctypes.CDLL(None, use_errno=True)


def ring(path: Path) -> None:
    """Tell all listeners of ``path``, which is made (mode 0600) if it is not there. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.utime(fd)
    finally:
        os.close(fd)


def _checked(result: int, path: Path) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result


class Ear:
    """Hears the bell: :attr:`fd` becomes readable when it rang. Raises OSError when inotify is not to be had."""

    def __init__(self, path: Path) -> None:
        self.fd: int = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), path)
        try:
            _checked(_libc.inotify_add_watch(self.fd, os.fsencode(path), IN_ATTRIB), path)
        except OSError:
            os.close(self.fd)
            raise

    def drain(self) -> None:
        """Forget the rings so far."""
        try:
            while os.read(self.fd, READ_BYTES):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop listening."""
        os.close(self.fd)
