"""What a runtime asks for: environment and standard input, checked. Pure.

DEL is read with the least that names an attachment, so that a config which ADD refused, or which somebody broke
since, keeps nobody from cleaning up. What only ADD looks at stands in :mod:`netloom.cni.options`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from netloom.cni.errors import CniError, Code
from netloom.cni.frame import MAX_CONFIG_BYTES

SUPPORTED_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
MAX_VERSION_CHARACTERS = 40
"""Of a version that is repeated in an answer."""
MAX_IFNAME_BYTES = 15
"""Linux IFNAMSIZ less the ending zero."""
MAX_NAME_CHARACTERS = 253
"""Of a container's id and of a network's name; runtimes use up to 64."""
MAX_PATH_BYTES = 4095
"""Linux PATH_MAX less the ending zero."""
MAX_SOCKET_BYTES = 107
"""Of a unix socket's address (unix(7)), less the ending zero."""
MAX_FILE_NAME_BYTES = 255
"""Linux NAME_MAX: of each part of a path."""
MAX_DIGITS = 1000
"""Of a number in the network config."""
MAX_DEPTH = 32
"""How deep lists and objects of ``prevResult`` may stand in each other; results of real plugins need 4."""
COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION")
VALID_ATTACHMENTS = "cni.dev/valid-attachments"
_NEEDS = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
}
"""DEL may come without a network namespace: it is gone already."""
_NEEDS_NAME = ("ADD", "GC")
_SINCE = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


class Request(NamedTuple):
    """One call."""

    command: str
    container_id: str
    netns: str
    ifname: str
    arguments: Mapping[str, str]
    """CNI_ARGS of an ADD; empty for other commands."""
    version: str
    """``cniVersion`` of the network config, one of SUPPORTED_VERSIONS unless the command is VERSION."""
    network: str
    """``name`` of the network config; "" where the command does without."""
    socket: str
    """Path of the agent's socket; "" to take the only one there is."""
    config: Mapping[str, Any]
    """The network config, of which only the above is checked."""

    @property
    def key(self) -> str:
        """Names the attachment on its node."""
        return f"{self.container_id}/{self.ifname}"


def parse(environment: Mapping[str, str], stdin: bytes) -> Request:
    """Check a call and put it in order; raises CniError."""
    command = environment.get("CNI_COMMAND", "")
    if command not in COMMANDS:
        raise bad_variable("CNI_COMMAND", command, f"one of {', '.join(COMMANDS)}")
    config = decode(stdin)
    version = text(config, "cniVersion", "0.1.0")
    if command != "VERSION":
        _check_version(command, version)
    for name in _NEEDS.get(command, ()):
        if not environment.get(name):
            raise bad_variable(name, "", f"a value: {command} needs it")
    container_id, ifname = environment.get("CNI_CONTAINERID", ""), environment.get("CNI_IFNAME", "")
    netns = environment.get("CNI_NETNS", "")
    _check_names(container_id, ifname, netns)
    return Request(
        command=command,
        container_id=container_id,
        netns=netns,
        ifname=ifname,
        arguments=_arguments(environment.get("CNI_ARGS", "")) if command == "ADD" else {},
        version=version,
        network=_network(config, command),
        socket=_socket(config),
        config=config,
    )


def version_of(stdin: bytes) -> str:
    """``cniVersion`` of a config, for an error about it; the newest when it cannot be read."""
    try:
        version = text(decode(stdin), "cniVersion", "")
    except CniError:
        version = ""
    return version if 0 < len(version) <= MAX_VERSION_CHARACTERS else SUPPORTED_VERSIONS[-1]


def previous_of(request: Request) -> dict[str, Any]:
    """``prevResult``, with ``interfaces``, ``ips`` and ``routes`` lists of objects; empty when there is none."""
    previous = table(request.config, "prevResult")
    for key in ("interfaces", "ips", "routes"):
        objects(previous, key)
    for ip in previous.get("ips") or ():
        text(ip, "address", "")
    for interface in previous.get("interfaces") or ():
        text(interface, "name", "")
    table(previous, "dns")
    if _is_deeper_than(previous, MAX_DEPTH):
        raise CniError(Code.INVALID_CONFIG, f'"prevResult" is nested more than {MAX_DEPTH} levels deep')
    return {key: value for key, value in previous.items() if value is not None}


def valid_attachments(request: Request) -> frozenset[str]:
    """Keys of the attachments that GC must leave alone; raises CniError unless the list is whole and sound.

    A list that is missing is no empty list: an empty one removes everything.
    """
    if VALID_ATTACHMENTS not in request.config:
        raise CniError(Code.INVALID_CONFIG, f'GC came without "{VALID_ATTACHMENTS}", expected a list')
    keys = set()
    for attachment in objects(request.config, VALID_ATTACHMENTS):
        container_id, ifname = text(attachment, "containerID", ""), text(attachment, "ifname", "")
        if not container_id or not ifname:
            raise CniError(
                Code.INVALID_CONFIG,
                f'"{VALID_ATTACHMENTS}" has {attachment!r:.80}, expected "containerID" and "ifname"',
            )
        keys.add(f"{container_id}/{ifname}")
    return frozenset(keys)


def decode(stdin: bytes) -> dict[str, Any]:
    """The network config as it came; raises CniError when it is no JSON object."""
    if len(stdin) > MAX_CONFIG_BYTES:
        raise CniError(Code.CANNOT_DECODE, f"the network config has more than {MAX_CONFIG_BYTES} bytes")
    if not stdin.strip():
        raise CniError(Code.CANNOT_DECODE, "standard input is empty, expected the network config")
    try:
        config = json.loads(stdin, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer)
    except RecursionError as error:
        raise CniError(Code.CANNOT_DECODE, "the network config is nested far too deeply") from error
    except ValueError as error:
        raise CniError(Code.CANNOT_DECODE, f"the network config on standard input is no JSON: {error}") from error
    if not isinstance(config, dict):
        kind = _JSON_KINDS[type(config)]
        raise CniError(Code.CANNOT_DECODE, f"the network config is {kind}, expected an object")
    return config


def text(parent: Mapping[str, Any], key: str, default: str) -> str:
    """The text under ``key``; raises CniError when something else stands there."""
    value = parent.get(key, default)
    if not isinstance(value, str):
        raise wrong_kind(key, value, "text")
    return value


def table(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object under ``key``, {} for none or null; raises CniError when something else stands there."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong_kind(key, value, "an object")
    return value


def objects(parent: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under ``key``, [] for none or null; raises CniError when something else stands there."""
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise wrong_kind(key, value, "a list of objects")
    return value


def texts(place: str, parent: Mapping[str, Any], key: str) -> list[str]:
    """The list of texts under ``key`` of ``place``, [] for none or null; raises CniError otherwise."""
    value = parent.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong_kind(f"{place}.{key}", value, "a list of texts")
    return value


def wrong_kind(key: str, value: object, expected: str) -> CniError:
    """The error for a setting that is not of the kind it must be."""
    return CniError(Code.INVALID_CONFIG, f'"{key}" in the network config is {value!r:.60}, expected {expected}')


def bad_variable(name: str, found: str, expected: str) -> CniError:
    """The error for a variable of the environment that cannot be used."""
    return CniError(Code.INVALID_ENVIRONMENT, f'{name} is "{found[:80]}", expected {expected}')


_JSON_KINDS = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    """What is too large for a float would be printed as what is no JSON."""
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is too large")
    return int(digits)


def _network(config: Mapping[str, Any], command: str) -> str:
    name = config.get("name", "")
    if command not in _NEEDS_NAME:
        return name if isinstance(name, str) else ""
    name = text(config, "name", "")
    if not is_name(name):
        raise CniError(
            Code.INVALID_CONFIG,
            f'"name" in the network config is "{name[:80]}", expected up to {MAX_NAME_CHARACTERS} letters, digits and '
            "_ . - after a letter or digit",
        )
    return name


def _socket(config: Mapping[str, Any]) -> str:
    """A DEL is remembered beside it, so a path that depends on where the runtime stands would lose the DEL."""
    path = text(config, "socket", "")
    if path and not (path.startswith("/") and path.isprintable() and len(path.encode()) <= MAX_SOCKET_BYTES):
        raise wrong_kind("socket", path, f"an absolute path of at most {MAX_SOCKET_BYTES} bytes")
    return path


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


def is_name(name: str) -> bool:
    """Whether it does for a container or a network: the specification's letters, and a bound on how many."""
    rest = name.replace("_", "").replace(".", "").replace("-", "")
    return rest.isascii() and rest.isalnum() and name[0].isalnum() and len(name) <= MAX_NAME_CHARACTERS


def _check_names(container_id: str, ifname: str, netns: str) -> None:
    if container_id and not is_name(container_id):
        raise bad_variable(
            "CNI_CONTAINERID",
            container_id,
            f"up to {MAX_NAME_CHARACTERS} letters, digits and _ . - after a letter or digit",
        )
    too_long = len(ifname.encode(errors="surrogateescape")) > MAX_IFNAME_BYTES
    if (
        too_long
        or ifname in (".", "..", "all", "default")  # the last two are Linux's words for every device
        or any(char in "/:" or not char.isprintable() or char == " " for char in ifname)
    ):
        raise bad_variable("CNI_IFNAME", ifname, f"an interface name of at most {MAX_IFNAME_BYTES} bytes")
    if not _is_utf8(netns) or not _is_path(netns):
        expected = f"a path in UTF-8 of at most {MAX_PATH_BYTES} bytes, {MAX_FILE_NAME_BYTES} in each part"
        raise bad_variable("CNI_NETNS", netns, expected)


def _arguments(given: str) -> dict[str, str]:
    """``KEY=value;KEY=value``."""
    if not _is_utf8(given):
        raise bad_variable("CNI_ARGS", given, "text in UTF-8")
    arguments: dict[str, str] = {}
    for pair in given.split(";") if given else ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise bad_variable("CNI_ARGS", given, "KEY=value pairs with semicolons between")
        if arguments.setdefault(key, value) != value:
            raise bad_variable("CNI_ARGS", given, f"one value for {key}")
    return arguments


def _is_path(given: str) -> bool:
    parts = given.encode().split(b"/")
    return len(given.encode()) <= MAX_PATH_BYTES and max(map(len, parts)) <= MAX_FILE_NAME_BYTES


def _is_utf8(given: str) -> bool:
    """Whether it came as UTF-8: what did not has lone surrogates in its place."""
    return given.encode(errors="replace").decode() == given


def _is_deeper_than(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(item, (dict, list)) for item in level)
