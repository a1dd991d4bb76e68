"""Detachments that wait for the agent: one small file for each, written while it is away.

They lie beside the agent's socket, so whoever knows the one knows the other. That place does not outlive the
machine's power, and need not: neither do the interfaces these files tell of.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import NamedTuple

from netloom.cni.errors import CniError, Code
from netloom.cni.request import Request, is_name

DIRECTORY = "detachments"
"""In the directory of the agent's socket."""
MAX_FILES = 65536
"""As many as a node can have endpoints."""
MAX_FILE_BYTES = 4096
"""A container's id and an interface's name are far shorter."""
_SUFFIX = ".json"


class Detachment(NamedTuple):
    """One attachment to be undone."""

    container_id: str
    ifname: str


def directory_of(socket: str) -> str:
    """Where the detachments of the agent that listens at ``socket`` wait."""
    return os.path.join(os.path.dirname(socket) or ".", DIRECTORY)  # noqa: PTH118, PTH120


def file_of(directory: str, container_id: str, ifname: str) -> str:
    """One file for each attachment, however often it is detached."""
    digest = hashlib.sha256(f"{container_id}/{ifname}".encode(errors="surrogateescape")).hexdigest()
    return os.path.join(directory, digest[:32] + _SUFFIX)  # noqa: PTH118


def remember(directory: str, request: Request) -> None:
    """Write a DEL down, whole or not at all; raises CniError when that cannot be."""
    path = file_of(directory, request.container_id, request.ifname)
    content = json.dumps({"container_id": request.container_id, "ifname": request.ifname}).encode()
    scratch = f"{path}.{os.getpid()}"
    try:
        _make(directory)
        _check_room(directory, path)
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        os.replace(scratch, path)  # noqa: PTH105
    except OSError as error:
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f'the agent is away, and the DEL cannot be remembered in "{directory}": {error.strerror or error}',
            "see that netloom-agent runs on this node",
        ) from error


def waiting(directory: str) -> tuple[str, ...]:
    """Paths of all files there, by name; none without the directory. Raises OSError."""
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except FileNotFoundError:
        return ()
    return tuple(os.path.join(directory, name) for name in sorted(names) if name.endswith(_SUFFIX))  # noqa: PTH118


def read(path: str) -> Detachment | None:
    """What a file says; None when it says nothing of use. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    try:
        view = json.loads(content)
        found = Detachment(view["container_id"], view["ifname"])
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    usable = all(isinstance(word, str) for word in found) and is_name(found.container_id) and found.ifname.isprintable()
    return found if usable else None


def _check_room(directory: str, path: str) -> None:
    if len(os.listdir(directory)) >= MAX_FILES and not os.path.exists(path):  # noqa: PTH110, PTH208
        raise OSError(f"it holds {MAX_FILES} detachments already")


def _make(directory: str) -> None:
    """The directory, for root alone (or us); raises OSError when it is somebody else's."""
    os.makedirs(os.path.dirname(directory) or ".", mode=0o755, exist_ok=True)  # noqa: PTH103, PTH120
    try:
        os.mkdir(directory, 0o700)  # noqa: PTH102
    except FileExistsError:
        found = os.lstat(directory)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            raise OSError("it is no directory that root alone can write") from None
