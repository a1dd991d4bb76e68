"""What a runtime asks for: environment and standard input, checked. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from netloom.cni.errors import CniError, Code

SUPPORTED_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
MAX_CONFIG_BYTES = 1 << 20
MAX_IFNAME_BYTES = 15
"""Linux IFNAMSIZ less the ending zero."""
COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION")
_NEEDS = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
}
"""DEL may come without a network namespace: it is gone already."""
_SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


class Request(NamedTuple):
    """One call."""

    command: str
    container_id: str
    netns: str
    ifname: str
    arguments: Mapping[str, str]
    """CNI_ARGS."""
    version: str
    """``cniVersion`` of the network config, one of SUPPORTED_VERSIONS unless the command is VERSION."""
    socket: str
    """Path of the agent's socket; "" to take the only one there is."""
    labels: tuple[str, ...]
    """``source:key=value``."""
    previous: Mapping[str, Any]
    """``prevResult``, with ``interfaces``, ``ips`` and ``routes`` lists of objects; empty when there is none."""


def parse(environment: Mapping[str, str], stdin: bytes) -> Request:
    """Check a call and put it in order; raises CniError."""
    command = environment.get("CNI_COMMAND", "")
    if command not in COMMANDS:
        raise _bad_variable("CNI_COMMAND", command, f"one of {', '.join(COMMANDS)}")
    config = _decode(stdin)
    version = _text(config, "cniVersion", "0.1.0")
    if command != "VERSION":
        _check_version(command, version)
    for name in _NEEDS.get(command, ()):
        if not environment.get(name):
            raise _bad_variable(name, "", f"a value: {command} needs it")
    container_id, ifname = environment.get("CNI_CONTAINERID", ""), environment.get("CNI_IFNAME", "")
    _check_names(container_id, ifname)
    return Request(
        command=command,
        container_id=container_id,
        netns=environment.get("CNI_NETNS", ""),
        ifname=ifname,
        arguments=_arguments(environment.get("CNI_ARGS", "")),
        version=version,
        socket=_text(config, "socket", ""),
        labels=_labels(config),
        previous=_previous(config),
    )


def version_of(stdin: bytes) -> str:
    """``cniVersion`` of a config, for an error about it; the newest when it cannot be read."""
    try:
        version = _text(_decode(stdin), "cniVersion", "")
    except CniError:
        version = ""
    return version or SUPPORTED_VERSIONS[-1]


def _decode(stdin: bytes) -> dict[str, Any]:
    if len(stdin) > MAX_CONFIG_BYTES:
        raise CniError(Code.CANNOT_DECODE, f"the network config has more than {MAX_CONFIG_BYTES} bytes")
    try:
        config = json.loads(stdin)
    except (ValueError, RecursionError) as error:
        raise CniError(Code.CANNOT_DECODE, f"the network config on standard input is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise CniError(Code.CANNOT_DECODE, f"the network config is a JSON {type(config).__name__}, expected an object")
    return config


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise CniError(Code.INVALID_CONFIG, f'"{key}" in the network config is {value!r:.60}, expected text')
    return value


def _table(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CniError(Code.INVALID_CONFIG, f'"{key}" in the network config is {value!r:.60}, expected an object')
    return value


def _previous(config: Mapping[str, Any]) -> dict[str, Any]:
    previous = _table(config, "prevResult")
    for key in ("interfaces", "ips", "routes"):
        _objects(previous, key)
    for ip in previous.get("ips") or ():
        _text(ip, "address", "")
    return {key: value for key, value in previous.items() if value is not None}


def _objects(table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = table.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise CniError(
            Code.INVALID_CONFIG, f'"{key}" in the network config is {value!r:.60}, expected a list of objects'
        )
    return value


def _check_version(command: str, version: str) -> None:
    if version not in SUPPORTED_VERSIONS:
        supported = ", ".join(SUPPORTED_VERSIONS)
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f'cniVersion "{version[:40]}" is not supported, expected one of {supported}',
            "set cniVersion in the network config",
        )
    since = _SINCE.get(command, SUPPORTED_VERSIONS[0])
    if SUPPORTED_VERSIONS.index(version) < SUPPORTED_VERSIONS.index(since):
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"{command} came with cniVersion {since}, the network config has {version}",
            "set cniVersion in the network config",
        )


def _bad_variable(name: str, found: str, expected: str) -> CniError:
    return CniError(Code.INVALID_ENVIRONMENT, f'{name} is "{found[:80]}", expected {expected}')


def _check_names(container_id: str, ifname: str) -> None:
    rest = container_id.replace("_", "").replace(".", "").replace("-", "")
    if container_id and not (rest.isascii() and rest.isalnum() and container_id[0].isalnum()):
        raise _bad_variable("CNI_CONTAINERID", container_id, "letters, digits and _ . - after a letter or digit")
    too_long = len(ifname.encode(errors="surrogateescape")) > MAX_IFNAME_BYTES
    if (
        too_long
        or ifname in (".", "..")
        or any(char in "/:" or not char.isprintable() or char == " " for char in ifname)
    ):
        raise _bad_variable("CNI_IFNAME", ifname, f"an interface name of at most {MAX_IFNAME_BYTES} bytes")


def _arguments(text: str) -> dict[str, str]:
    """``KEY=value;KEY=value``."""
    arguments = {}
    for pair in text.split(";") if text else ():
        key, equals, value = pair.partition("=")
        if not equals:
            raise _bad_variable("CNI_ARGS", text, "KEY=value pairs with semicolons between")
        arguments[key] = value
    return arguments


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The convention ``args.cni.labels``: a list of ``{"key", "value"}``; a key without source is Kubernetes'."""
    labels = []
    for label in _objects(_table(_table(config, "args"), "cni"), "labels"):
        key, value = _text(label, "key", ""), _text(label, "value", "")
        source = "" if ":" in key else "k8s:"
        labels.append(f"{source}{key}={value}")
    return tuple(labels)
