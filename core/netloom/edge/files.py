"""Small files written whole or not at all, readable by root alone unless said otherwise."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from netloom.model.errors import Invalid, NetloomError, NotFound

_MODE = 0o600
_MAX_BYTES = 1 << 20
"""Hardly a file of ours comes near; a damaged one must not fill the memory."""


class FileError(NetloomError):
    """A file cannot be read or written."""


def write_atomic(path: Path, data: bytes, mode: int = _MODE, *, synced: bool = False) -> None:
    """Put ``data`` in the place of what the file held; a reader, or a crash, sees the old bytes or the new.

    Not synced to the disk unless asked: what most of these files tell of (interfaces, namespaces) does not outlive the
    machine's power either. Raises FileError.
    """
    scratch = f"{path.parent}/.{path.name}.new"
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            if synced:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(scratch, path)  # noqa: PTH104 - half of an attachment's file work would be pathlib's
        if synced:
            _sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            os.unlink(scratch)  # noqa: PTH108 - as above
        raise FileError(f'file "{path}" cannot be written: {error.strerror}') from error


def _sync_directory(path: Path) -> None:
    """A name is on the disk when its directory is."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_bytes(path: Path, max_bytes: int = _MAX_BYTES) -> bytes:
    """All of it. Raises NotFound, Invalid when it is longer than ``max_bytes``, or FileError."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise NotFound(f'file "{path}" does not exist') from error
    except OSError as error:
        raise FileError(f'file "{path}" cannot be read: {error.strerror}') from error
    if len(data) > max_bytes:
        raise Invalid(f'file "{path}" is longer than {max_bytes} bytes, which no such file of Netloom\'s is')
    return data


def remove_unfinished(directory: Path) -> None:
    """Remove what :func:`write_atomic` had begun when its process died. Call while nobody writes there.

    Raises FileError.
    """
    for path in directory.glob(".*.new"):
        remove_file(path)


def remove_file(path: Path) -> None:
    """No error when it is gone. Raises FileError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f'file "{path}" cannot be removed: {error.strerror}') from error
