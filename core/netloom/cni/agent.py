"""One request to the agent over its unix socket.

A CNI program lives for one request, so loading a full HTTP client would cost more than the request: this speaks
HTTP/1.0, in which an answer ends with the connection and is never chunked.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import stat
import struct
import time
from typing import Any, NamedTuple

from netloom.cni.errors import CniError, Code
from netloom.cni.frame import CONTENT_TYPE, DEADLINE_HEADER, EXIT_STATUS_HEADER, PATIENCE, TARGET

SOCKET_NAME = "netloom.sock"
LOCK_NAME = "lock"
RUN_DIRS = "/run/netloom/*"
"""Where agents listen unless their config says otherwise: a directory for each node."""
TIMEOUT_S = 30.0
"""For connecting, asking and the whole answer."""
MAX_ANSWER_BYTES = 64 << 20
_LATE = "the agent at {path} did not answer within {seconds:g} s"


class AgentAway(Exception):
    """Nobody is there, or nobody that answers as an agent does; says what was found."""

    def __init__(self, message: str, hint: str = "see that netloom-agent runs on this node") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    content: bytes


def find_socket(configured: str) -> str:
    """The configured socket, or the only agent's of this machine; raises AgentAway or CniError.

    An agent that has never run since the machine started has left no socket, but perhaps its directory.
    """
    if configured:
        return configured
    directories = sorted(glob.glob(RUN_DIRS))  # noqa: PTH207  (pathlib would be the largest import of this program)
    for name in (SOCKET_NAME, LOCK_NAME):
        found = [directory for directory in directories if os.path.exists(f"{directory}/{name}")]  # noqa: PTH110
        if len(found) == 1:
            return f"{found[0]}/{SOCKET_NAME}"
        if found:
            raise CniError(
                Code.INVALID_CONFIG, f"several agents are running: {', '.join(found)}", 'set "socket" in the config'
            )
    raise AgentAway(f"no agent is running: {RUN_DIRS}/{SOCKET_NAME} does not exist", "start netloom-agent")


def call(path: str, frame: bytes, *, give_up: bool = False) -> tuple[int, bytes]:
    """Hand a call to the agent at socket ``path``: exit status, and what to print. Raises AgentAway or CniError.

    ``give_up``: somebody has waited for that agent already, in vain.
    """
    if give_up:
        raise AgentAway(_LATE.format(path=path, seconds=TIMEOUT_S))
    answer = request(path, "POST", TARGET, frame)
    status = answer.headers.get(EXIT_STATUS_HEADER.lower(), "")
    if answer.status == 200 and status in ("0", "1"):
        return int(status), answer.content
    words = _error_words(answer.content)
    raise CniError(Code.AGENT_FAILED, f"the agent at {path} answered {TARGET} with status {answer.status}: {words}")


def get(path: str, target: str) -> Any:
    """``GET`` of the agent's API at socket ``path``, decoded; raises AgentAway or CniError."""
    answer = request(path, "GET", target)
    if answer.status != 200:
        raise CniError(Code.AGENT_FAILED, _error_words(answer.content))
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise CniError(Code.AGENT_FAILED, f"the agent at {path} answered {target} with what is no JSON") from error


def request(path: str, method: str, target: str, body: bytes = b"") -> Answer:
    """One request and its whole answer; raises AgentAway."""
    _check_owner(path)
    deadline_ms = int(1000 * (time.monotonic() + TIMEOUT_S * PATIENCE))
    head = (
        f"{method} {target} HTTP/1.0\r\nHost: netloom\r\n{DEADLINE_HEADER}: {deadline_ms}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        raw = _exchange(path, head.encode() + body)
    except TimeoutError as error:
        raise AgentAway(_LATE.format(path=path, seconds=TIMEOUT_S)) from error
    except OSError as error:
        raise AgentAway(f"the agent cannot be reached at {path}: {error.strerror or error}") from error
    return _parse(path, raw)


def _check_owner(path: str) -> None:
    """Refuse a socket that somebody else than root, or we, could have put there: pods would be at his mercy."""
    directory = os.path.dirname(path) or "."  # noqa: PTH120
    try:
        place, door = os.stat(directory), os.lstat(path)  # noqa: PTH116
    except OSError as error:
        raise AgentAway(f"the agent cannot be reached at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(door.st_mode):
        raise AgentAway(f"{path} is no socket, expected that of the agent")
    trusted = (0, os.geteuid())
    for what, found in ((directory, place), (path, door)):
        if found.st_uid not in trusted:
            raise AgentAway(f"{what} belongs to uid {found.st_uid}, expected root: it is not the agent's")
    if place.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AgentAway(
            f"{directory} can be written by others than its owner (mode {stat.S_IMODE(place.st_mode):04o}): "
            "whoever listens there may not be the agent",
            f"chmod go-w {directory}",
        )


def _exchange(path: str, content: bytes) -> bytes:
    deadline = time.monotonic() + TIMEOUT_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(path)
        _check_peer(path, connection)
        connection.sendall(content)
        answer = bytearray()
        while part := connection.recv(1 << 16):
            answer += part
            if len(answer) > MAX_ANSWER_BYTES:
                raise OSError(f"its answer has more than {MAX_ANSWER_BYTES} bytes")
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            connection.settimeout(left)
        return bytes(answer)


def _check_peer(path: str, connection: socket.socket) -> None:
    """The kernel's word about who listens, whatever the path led to."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    if uid not in (0, os.geteuid()):
        raise AgentAway(f"uid {uid} listens at {path}, expected root: it is not the agent")


def _parse(path: str, raw: bytes) -> Answer:
    head, _, content = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not (words[1].isascii() and words[1].isdigit()):
        raise AgentAway(f"what listens at {path} ended the connection without an HTTP answer")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("content-length", str(len(content))) != str(len(content)):
        raise AgentAway(f"the agent at {path} ended the connection in the middle of its answer")
    return Answer(int(words[1][:3]), headers, content)


def _error_words(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, RecursionError, LookupError, TypeError):
        return f"{content[:200]!r}"
