"""One request to the agent over its unix socket.

A CNI program lives for one request, so loading a full HTTP client would cost more than the request: this speaks
HTTP/1.0, in which an answer ends with the connection and is never chunked.
"""

from __future__ import annotations

import glob
import json
import socket
from collections.abc import Mapping
from typing import Any

from netloom.cni.errors import CniError, Code

SOCKETS = "/run/netloom/*/netloom.sock"
"""Where agents listen unless their config says otherwise."""
TIMEOUT_S = 10.0
"""For each step: connecting, sending, every part of the answer."""
MAX_ANSWER_BYTES = 64 << 20
_CODES = {
    "invalid": Code.INVALID_ENVIRONMENT,
    "conflict": Code.CONFLICT,
    "not_found": Code.CONTAINER_UNKNOWN,
    "exhausted": Code.EXHAUSTED,
    "unavailable": Code.TRY_AGAIN_LATER,
}
"""Kinds of errors of the agent's API; any other is AGENT_FAILED."""


def find_socket(configured: str) -> str:
    """The configured socket, or the only agent's of this machine; raises CniError."""
    if configured:
        return configured
    found = sorted(glob.glob(SOCKETS))  # noqa: PTH207  (pathlib would be the largest import of this program)
    if len(found) == 1:
        return found[0]
    if not found:
        raise CniError(Code.TRY_AGAIN_LATER, f"no agent is running: {SOCKETS} does not exist", "start netloom-agent")
    raise CniError(
        Code.INVALID_CONFIG, f"several agents are running: {', '.join(found)}", 'set "socket" in the network config'
    )


def call(path: str, method: str, target: str, body: Mapping[str, Any] | None = None) -> Any:
    """Send a request to the agent at socket ``path``; returns the decoded answer, or raises CniError."""
    try:
        raw = _exchange(path, _render(method, target, body))
    except OSError as error:
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"the agent cannot be reached at {path}: {error.strerror or error}",
            "see that netloom-agent runs on this node",
        ) from error
    status, answer = _parse(path, raw)
    if status < 300:
        return answer
    error_view = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error_view, dict):
        raise CniError(Code.AGENT_FAILED, f"the agent at {path} answered {method} {target} with status {status}")
    code = _CODES.get(str(error_view.get("kind")), Code.AGENT_FAILED)
    raise CniError(code, str(error_view.get("message", "")))


def _render(method: str, target: str, body: Mapping[str, Any] | None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {target} HTTP/1.0\r\nHost: netloom\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _exchange(path: str, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(path)
        connection.sendall(request)
        answer = bytearray()
        while part := connection.recv(1 << 16):
            answer += part
            if len(answer) > MAX_ANSWER_BYTES:
                raise OSError(f"its answer has more than {MAX_ANSWER_BYTES} bytes")
        return bytes(answer)


def _parse(path: str, raw: bytes) -> tuple[int, Any]:
    head, _, content = raw.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise CniError(Code.TRY_AGAIN_LATER, f"what listens at {path} ended the connection without an HTTP answer")
    try:
        return int(words[1]), json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CniError(Code.AGENT_FAILED, f"the agent at {path} answered with something that is no JSON") from error
