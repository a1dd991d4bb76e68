"""Nodes of a YAML document to frozen dataclasses: every problem at once, and where each value came from."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import yaml

from netloom.config.annotations import Check, Doc, Length, Pattern, Range
from netloom.config.fitting import Fitting
from netloom.config.kinds import FieldKind, Kind, describe, fields_of, is_mapping, is_union, strip
from netloom.config.scalars import READERS, Unfit, kind_of, show
from netloom.model.errors import ConfigError, Problem

__all__ = ["Check", "Doc", "Length", "Pattern", "Range", "Reader", "check_type", "closest"]

T = TypeVar("T")

DEFAULT: Final = "default"


class _Missing:
    """A value that could not be read: its problem is noted, and whatever holds it is not built."""


class _Partly(_Missing):
    """A list of which some items could not be read; None stands in their places."""

    def __init__(self, items: tuple[Any, ...]) -> None:
        self.items = items


_MISSING: Final = _Missing()


def check_type(cls: type) -> None:
    """Raises TypeError, with a sentence, unless ``cls`` is a dataclass whose every field a config can hold."""
    fields_of(cls)


def closest(word: str, words: Iterable[str]) -> str:
    """A hint for a misspelt word: ``; did you mean "port"?``, or "" when nothing is near."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


class Reader:
    """Reads one document; collects problems and origins while it goes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.origins: dict[str, str] = {}

    def finish(self) -> None:
        """Raises ConfigError when anything was wrong."""
        if self.problems:
            raise ConfigError(tuple(sorted(self.problems, key=lambda problem: (problem.line, problem.key))))

    def note(self, node: yaml.Node | None, key: str, found: str, expected: str) -> _Missing:
        """Record one problem at a node's line."""
        line = node.start_mark.line + 1 if node else 0
        self.problems.append(Problem(self.file, line, key, found, expected))
        return _MISSING

    def section(self, cls: type[T], node: yaml.Node | None, key: str) -> T | None:
        """An instance of the dataclass ``cls``; None when something is wrong. ``node`` None: nothing was written."""
        value = self._dataclass(cls, node, key)
        return None if isinstance(value, _Missing) else value

    def entries(self, node: yaml.Node | None, key: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key nodes and value nodes of a mapping, by key; everything else is noted."""
        if node is None or kind_of(node) == "null":
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.note(node, key or "file", show(node), "a mapping of keys and values")
            return {}
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode) or kind_of(name) != "str":
                self.note(name, key or "file", f"{show(name)} as a key", "a key that is plain text")
            elif name.value in found:
                first = found[name.value][0].start_mark.line + 1
                self.note(name, _join(key, name.value), f"the key again (first in line {first})", "every key once")
            else:
                found[name.value] = (name, value)
        return found

    def _dataclass(self, cls: type[T], node: yaml.Node | None, key: str) -> T | _Missing:
        known = fields_of(cls)
        before = len(self.problems)
        entries = self.entries(node, key)
        for name, (name_node, _) in entries.items():
            if name not in known:
                expected = f"one of {', '.join(known)}{closest(name, known)}" if known else "nothing here"
                self.note(name_node, _join(key, name), "an unknown key", expected)
        values = {
            name: self._field(field, entries.get(name, (None, None))[1], _join(key, name), node)
            for name, field in known.items()
        }
        try:
            self._fit(cls, values, node, key)
            return _MISSING if len(self.problems) > before else cls(**values)
        except Exception as error:  # noqa: BLE001 - a plugin author's code judges here: whatever it raises is a problem
            text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            return self.note(node, key or "file", text[:300], "settings that fit together")

    def _fit(self, cls: type, values: Mapping[str, Any], node: yaml.Node | None, key: str) -> None:
        """Judge together what could be read."""
        if not issubclass(cls, Fitting):
            return
        read = {name: value.items if isinstance(value, _Partly) else value for name, value in values.items()}
        for one in cls.misfits({name: value for name, value in read.items() if not isinstance(value, _Missing)}):
            where = (_join(key, one.key) if one.key else key) or "file"
            self.note(_within(node, one.key), where, one.found, one.expected)

    def _field(self, field: FieldKind, node: yaml.Node | None, key: str, parent: yaml.Node | None) -> Any:
        nested = is_dataclass(field.kind.type)
        if node is not None:
            if not nested:
                self.origins[key] = f"{self.file}:{node.start_mark.line + 1}"
            return self._value(field.kind, node, key)
        if field.required and not nested:
            return self.note(parent, key, "nothing", field.kind.words)
        if nested and not field.kind.optional:
            return self._dataclass(field.kind.type, None, key)
        self.origins[key] = DEFAULT
        value = field.default()
        if not (value is None and field.kind.optional):
            self._check(field.kind.checks, value, None, key)
        return value

    def _value(self, kind: Kind, node: yaml.Node, key: str) -> Any:
        before = len(self.problems)
        value = self._checked(kind, node, key)
        if kind.secret:
            hidden = [replace(one, found="a value that is not shown") for one in self.problems[before:]]
            self.problems[before:] = hidden
        return value

    def _checked(self, kind: Kind, node: yaml.Node, key: str) -> Any:
        if kind_of(node) == "null" and kind.optional:
            return None
        value = self._bare(kind.type, node, key)
        if not isinstance(value, _Missing):
            return self._check(kind.checks, value, node, key)
        return value

    def _check(self, checks: Iterable[Check], value: Any, node: yaml.Node | None, key: str) -> Any:
        for check in checks:
            if expected := check.problem(value):
                return self.note(node, key, show(node) if node else f"the default {value!r}", expected)
        return value

    def _bare(self, tp: Any, node: yaml.Node, key: str) -> Any:
        if is_dataclass(tp) and isinstance(tp, type):
            return self._dataclass(tp, node, key)
        if get_origin(tp) is tuple:
            return self._items(get_args(tp)[0], node, key)
        if is_mapping(tp):
            return self._mapping(get_args(tp)[1], node, key)
        if not isinstance(node, yaml.ScalarNode):
            return self.note(node, key, show(node), describe(tp))
        return self._word(tp, node, key) if get_origin(tp) is Literal else self._scalar(tp, node, key)

    def _word(self, tp: Any, node: yaml.ScalarNode, key: str) -> Any:
        if node.value in get_args(tp):
            return node.value
        return self.note(node, key, show(node), describe(tp) + closest(node.value, get_args(tp)))

    def _scalar(self, tp: Any, node: yaml.ScalarNode, key: str) -> Any:
        hint = ""
        for choice in get_args(tp) if is_union(tp) else (tp,):
            try:
                return READERS[strip(choice).type](node)
            except Unfit as unfit:
                hint = hint or unfit.expected
        return self.note(node, key, show(node), hint or describe(tp))

    def _items(self, item: Any, node: yaml.Node, key: str) -> Any:
        if not isinstance(node, yaml.SequenceNode):
            return self.note(node, key, show(node), describe(tuple[item, ...]))
        values = [self._value(strip(item), part, f"{key}[{number}]") for number, part in enumerate(node.value)]
        if any(isinstance(value, _Missing) for value in values):
            return _Partly(tuple(None if isinstance(value, _Missing) else value for value in values))
        return tuple(values)

    def _mapping(self, item: Any, node: yaml.Node, key: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            return self.note(node, key, show(node), "a mapping of keys and values")
        entries: Mapping[str, tuple[yaml.Node, yaml.Node]] = self.entries(node, key)
        values = {name: self._value(strip(item), value, _join(key, name)) for name, (_, value) in entries.items()}
        return _MISSING if any(isinstance(value, _Missing) for value in values.values()) else values


def _within(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The node at a key below another, such as ``peers[1].address``; the last one on the way that is written."""
    for name in re.findall(r"[^.\[\]]+", key):
        if isinstance(node, yaml.MappingNode):
            found = next((value for word, value in node.value if word.value == name), None)
        elif isinstance(node, yaml.SequenceNode):
            found = node.value[int(name)]
        else:
            found = None
        if found is None:
            return node
        node = found
    return node


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
