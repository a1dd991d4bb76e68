"""One YAML scalar to one Python value. The text decides, not YAML's guess at a type: ``no`` is never a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
_WORDS = {"int": "the number", "float": "the number", "bool": "the yes-or-no value", "timestamp": "the date"}
_INT = re.compile(r"[-+]?(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})")
_FLOAT = re.compile(r"[-+]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][-+]?[0-9]{1,3})?")


class Unfit(Exception):
    """A scalar that is not of the wanted type; ``expected`` says more than the type when it helps."""

    def __init__(self, expected: str = "") -> None:
        super().__init__(expected)
        self.expected = expected


def kind_of(node: yaml.Node) -> str:
    """YAML's name of the node's type: ``str``, ``int``, ``null``, ``map``, ``seq``; or a foreign tag as it stands."""
    return node.tag.removeprefix(_TAG)


def show(node: yaml.Node) -> str:
    """A node in a message: short, quoted, on one line."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kind = kind_of(node)
    text = node.value if len(node.value) <= 60 else node.value[:57] + "..."
    if kind == "null":
        return "nothing"
    if kind in _WORDS:
        return f"{_WORDS[kind]} {text}"
    quoted = '"' + "".join(ch if ch.isprintable() else f"\\x{ord(ch):02x}" for ch in text) + '"'
    return quoted if kind == "str" else f"the tag {node.tag} on {quoted}"


def _text(node: yaml.ScalarNode) -> str:
    if kind_of(node) != "str":
        raise Unfit("text: put it in quotes")
    if "\0" in node.value:
        raise Unfit("text without a zero byte")
    return str(node.value)


def _bool(node: yaml.ScalarNode) -> bool:
    if kind_of(node) != "bool":
        raise Unfit
    return _BOOLEANS[node.value.lower()]


def _int(node: yaml.ScalarNode) -> int:
    if kind_of(node) not in ("int", "str") or node.style or not _INT.fullmatch(node.value):
        raise Unfit
    return int(node.value, 16 if "x" in node.value else 10)


def _float(node: yaml.ScalarNode) -> float:
    if node.style or not _FLOAT.fullmatch(node.value):
        raise Unfit
    return float(node.value)


def _path(node: yaml.ScalarNode) -> Path:
    path = Path(_text(node))
    if not path.is_absolute():
        raise Unfit
    return path


def _prefix(cls: type[IPv4Network | IPv6Network]) -> Callable[[yaml.ScalarNode], Any]:
    def read(node: yaml.ScalarNode) -> Any:
        try:
            loose = cls(node.value, strict=False)
        except ValueError:
            raise Unfit from None
        if "/" not in node.value:
            raise Unfit(f'a prefix with its length, such as "{loose}"')
        if str(loose.network_address) != str(_address(cls, node.value)):
            raise Unfit(f'a prefix without host bits: "{loose}"')
        return loose

    return read


def _address(cls: type[IPv4Network | IPv6Network], text: str) -> IPv4Address | IPv6Address:
    address = text.partition("/")[0]
    return IPv4Address(address) if cls is IPv4Network else IPv6Address(address)


def _parsed(parse: Callable[[str], Any]) -> Callable[[yaml.ScalarNode], Any]:
    def read(node: yaml.ScalarNode) -> Any:
        try:
            return parse(node.value)
        except ValueError:
            raise Unfit from None

    return read


READERS: Mapping[type, Callable[[yaml.ScalarNode], Any]] = {
    str: _text,
    bool: _bool,
    int: _int,
    float: _float,
    Path: _path,
    IPv4Address: _parsed(IPv4Address),
    IPv6Address: _parsed(IPv6Address),
    IPv4Network: _prefix(IPv4Network),
    IPv6Network: _prefix(IPv6Network),
}
"""How a scalar of each type is read; each raises Unfit."""
