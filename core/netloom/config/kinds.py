"""What a config field's type means: taken apart once, refused with a sentence when a config cannot hold it."""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from netloom.config.annotations import Check, Doc, Length, Pattern, Range, Secret

SCALARS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Path: "an absolute path",
    IPv4Address: "an IPv4 address",
    IPv6Address: "an IPv6 address",
    IPv4Network: "an IPv4 prefix",
    IPv6Network: "an IPv6 prefix",
}
"""Types written as one YAML scalar, and how they are called in messages."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type without its annotations."""

    type: Any
    """A key of SCALARS, a dataclass, ``object`` (anything), or Literal, tuple, Mapping, Union with their arguments."""
    checks: tuple[Check, ...] = ()
    doc: str = ""
    optional: bool = False
    """Whether null stands for None."""
    secret: bool = False
    """Whether messages must not repeat what was written."""

    @property
    def words(self) -> str:
        """What is expected, for messages and the reference."""
        return describe(self.type)


@dataclass(frozen=True, slots=True)
class FieldKind:
    """One field of a section."""

    name: str
    kind: Kind
    field: Field[Any]

    @property
    def required(self) -> bool:
        """Whether the operator must write it."""
        return self.field.default is MISSING and self.field.default_factory is MISSING

    def default(self) -> Any:
        """The default; only for a field that has one."""
        if self.field.default_factory is not MISSING:
            return self.field.default_factory()
        return self.field.default


def strip(tp: Any) -> Kind:
    """Take ``Annotated``, ``NewType`` and ``| None`` off a type."""
    checks: tuple[Check, ...] = ()
    doc = ""
    optional = secret = False
    while True:
        if get_origin(tp) is Annotated:
            tp, *notes = get_args(tp)
            checks += tuple(note for note in notes if isinstance(note, (Range, Length, Pattern)))
            secret = secret or any(isinstance(note, Secret) for note in notes)
            doc = next((note.text for note in notes if isinstance(note, Doc)), doc)
        elif hasattr(tp, "__supertype__"):
            tp = tp.__supertype__
        elif is_union(tp) and type(None) in get_args(tp):
            optional = True
            tp = typing.Union[tuple(arg for arg in get_args(tp) if arg is not type(None))]
        else:
            return Kind(tp, checks, doc, optional, secret)


def is_union(tp: Any) -> bool:
    """Whether a type is written ``A | B``."""
    return get_origin(tp) in (typing.Union, types.UnionType)


def is_mapping(tp: Any) -> bool:
    """Whether a type is ``Mapping[str, T]`` or ``dict[str, T]``."""
    return get_origin(tp) in (Mapping, dict)


def describe(tp: Any) -> str:
    """The type in an operator's words."""
    kind = strip(tp)
    tp = kind.type
    if tp in SCALARS:
        return SCALARS[tp]
    if get_origin(tp) is Literal:
        return "one of " + ", ".join(str(arg) for arg in get_args(tp))
    if get_origin(tp) is tuple:
        return f"a list, each item {describe(get_args(tp)[0])}"
    if is_union(tp):
        return " or ".join(describe(arg) for arg in get_args(tp))
    return "a mapping of keys and values"


def fields_of(cls: type) -> Mapping[str, FieldKind]:
    """Fields of a section's dataclass, by name. Raises TypeError, with a sentence, when a config cannot hold one."""
    return _fields_of(cls)


@functools.cache
def _fields_of(cls: type) -> Mapping[str, FieldKind]:
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise TypeError(f"{getattr(cls, '__name__', cls)} is not a dataclass")
    try:
        hints = typing.get_type_hints(cls, globalns=vars(sys.modules[cls.__module__]), include_extras=True)
    except NameError as error:
        raise TypeError(f"{cls.__name__} names an unknown type: {error}") from error
    found = {}
    for field in fields(cls):
        if field.init:
            _check(hints[field.name], f"{cls.__name__}.{field.name}", (cls,))
            found[field.name] = FieldKind(field.name, strip(hints[field.name]), field)
    return found


def _check(tp: Any, where: str, within: tuple[type, ...]) -> None:
    """Raises TypeError when no YAML could give a value of type ``tp``."""
    tp = strip(tp).type
    if tp in SCALARS:
        return
    if isinstance(tp, type) and is_dataclass(tp):
        if tp in within:
            raise TypeError(f"{where} holds {tp.__name__} inside itself")
        fields_of(tp)
        return
    arguments = get_args(tp)
    if get_origin(tp) is Literal and all(isinstance(arg, str) for arg in arguments):
        return
    if get_origin(tp) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        _check(arguments[0], where, within)
    elif is_mapping(tp) and arguments[0] is str:
        _check(arguments[1], where, within)
    elif is_union(tp) and all(strip(arg).type in SCALARS for arg in arguments):
        return
    else:
        raise TypeError(
            f"{where} has type {tp}, which a config cannot hold: use str, bool, int, float, Path, addresses and "
            "prefixes of ipaddress, Literal of texts, tuple[T, ...], Mapping[str, T], a dataclass, or T | None"
        )
