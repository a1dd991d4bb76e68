"""The commands of the specification, as requests to the agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netloom.cni.agent import call, find_socket
from netloom.cni.errors import CniError, Code
from netloom.cni.request import SUPPORTED_VERSIONS, Request
from netloom.cni.result import Json, added, differences

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


def run(request: Request) -> Json | None:
    """Carry out a call; returns what to print, None for nothing. Raises CniError."""
    return _COMMANDS[request.command](request)


def _add(request: Request) -> Json:
    body = {
        "container_id": request.container_id,
        "ifname": request.ifname,
        "netns": request.netns,
        "labels": request.labels,
        "pod_name": request.arguments.get("K8S_POD_NAME", ""),
        "pod_namespace": request.arguments.get("K8S_POD_NAMESPACE", ""),
    }
    return added(request, call(find_socket(request.socket), "PUT", "/v1/attachments", body))


def _delete(request: Request) -> None:
    target = f"/v1/attachments/{request.container_id}/{_quoted(request.ifname)}"
    if request.netns:
        target += f"?netns={_quoted(request.netns)}"
    call(find_socket(request.socket), "DELETE", target)


def _check(request: Request) -> None:
    if not request.previous:
        raise CniError(Code.INVALID_CONFIG, "CHECK came without prevResult, expected the result of the ADD")
    name = f"container {request.container_id}/{request.ifname}"
    endpoints = call(find_socket(request.socket), "GET", "/v1/endpoints")
    endpoint: Mapping[str, Any] | None = next(
        (e for e in endpoints if (e["container_id"], e["ifname"]) == (request.container_id, request.ifname)), None
    )
    if endpoint is None:
        raise CniError(Code.CONTAINER_UNKNOWN, f"{name} has no endpoint on this node")
    if problems := differences(request, endpoint):
        raise CniError(Code.CHANGED, f"{name} is not as it was attached: {'; '.join(problems)}")


def _collect_garbage(request: Request) -> None:
    """Nothing: before GC, a runtime sends DEL for each attachment it knows to be stale.

    An endpoint that only the agent knows may belong to another runtime of this machine.
    """
    del request


def _status(request: Request) -> None:
    try:
        state = call(find_socket(request.socket), "GET", "/v1/status")["state"]
    except CniError as error:
        raise CniError(Code.NOT_AVAILABLE, error.message, error.details) from error
    if state == "starting":
        raise CniError(Code.NOT_AVAILABLE, "the agent is starting: it does not attach containers yet")


def _version(request: Request) -> Json:
    return {"cniVersion": request.version, "supportedVersions": list(SUPPORTED_VERSIONS)}


def _quoted(text: str) -> str:
    """Percent-encoded (RFC 3986, section 2.1) but for unreserved characters and slashes."""
    encoded = text.encode(errors="surrogateescape")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in encoded)


_COMMANDS: Mapping[str, Callable[[Request], Json | None]] = {
    "ADD": _add,
    "DEL": _delete,
    "CHECK": _check,
    "GC": _collect_garbage,
    "STATUS": _status,
    "VERSION": _version,
}
