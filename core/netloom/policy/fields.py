"""Places in a policy file: what stands there, read as what is wanted; what is wrong with it is noted, never raised.

Whoever reads goes on after a mistake, with a value that fits the type and means nothing: a file with problems gives
no policy at all, so nobody ever sees that value, and everything wrong is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import yaml

from netloom.config.scalars import READERS, Unfit, kind_of, show
from netloom.config.schema import Reader, closest
from netloom.model.errors import ConfigError
from netloom.model.policy import Origin

MAX_PROBLEMS = 1000
"""Told of one file; nobody reads more, and telling what would have been right takes time."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
MAX_COMPARISONS = 5_000_000
"""Of allow with deny entries in one file: their number grows with the square of a rule's size, seconds with it."""
_MAX_HINTED = 60
"""Characters of a word for which a similar one is looked up."""

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class PolicyWarning:
    """Something that is allowed and yet hardly meant."""

    origin: Origin
    sentence: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Shape:
    """Fields a mapping may have."""

    known: tuple[str, ...]
    unsupported: Mapping[str, str] = field(default_factory=dict)
    """Fields that are known and refused, each with why."""


class Notes:
    """What there is to say of one file."""

    def __init__(self, file: str, protocols: Protocols | None = None) -> None:
        """``protocols``: those that rules may be of; None: any, and nobody looks at the rules."""
        self.file = file
        self.protocols = protocols
        self.reader = Reader(file)
        self.warnings: list[PolicyWarning] = []
        self.comparisons = MAX_COMPARISONS
        """How many may still be made."""

    def add(self, error: ConfigError) -> None:
        """Problems somebody else found."""
        self.reader.problems += error.problems

    @property
    def full(self) -> bool:
        """Whether enough was found to stop."""
        return len(self.reader.problems) >= MAX_PROBLEMS

    def finish(self) -> None:
        """Raises ConfigError when anything was wrong."""
        self.reader.problems[:] = list(dict.fromkeys(self.reader.problems))[:MAX_PROBLEMS]  # read twice, told once
        self.reader.finish()


@dataclass(frozen=True, slots=True)
class Place:
    """A node with its path."""

    notes: Notes
    node: yaml.Node
    path: str

    @property
    def origin(self) -> Origin:
        """Where it is, for those who look at the policy later."""
        return Origin(self.notes.file, self.line, self.path)

    @property
    def line(self) -> int:
        """1-based."""
        return int(self.node.start_mark.line) + 1

    @property
    def is_null(self) -> bool:
        """Whether nothing, or YAML's null, was written."""
        return kind_of(self.node) == "null"

    @property
    def is_mapping(self) -> bool:
        """Whether it has fields."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_empty_list(self) -> bool:
        """Whether a list was written, and nothing in it."""
        return isinstance(self.node, yaml.SequenceNode) and not self.node.value

    def has(self, name: str) -> bool:
        """Whether a field is written, known or not."""
        pairs = self.node.value if isinstance(self.node, yaml.MappingNode) else []
        return any(key.value == name for key, _ in pairs)

    def refuse(self, expected: str, found: str = "") -> None:
        """Note a problem."""
        if not self.notes.full:
            self.notes.reader.note(self.node, self.path or "file", found or show(self.node), expected)

    def warn(self, sentence: str) -> None:
        """Note a warning."""
        self.notes.warnings.append(PolicyWarning(self.origin, sentence))

    def entries(self) -> dict[str, Place]:
        """Values of a mapping, by key."""
        return {name: place for name, (_, place) in self._entries().items()}

    def fields(self, shape: Shape) -> dict[str, Place]:
        """Values of a mapping that has certain fields."""
        found = self._entries()
        for name, (key, _) in found.items():
            if name in shape.unsupported:
                known = ", ".join(shape.known) or "nothing here"
                key.refuse(known, f"{name}, which is not supported yet: {shape.unsupported[name]}")
            elif name not in shape.known:
                words = (*shape.known, *shape.unsupported)
                hint = self._hint(name, words)
                key.refuse(f"one of {', '.join(shape.known)}{hint}", "an unknown field")
        return {name: place for name, (_, place) in found.items() if name in shape.known}

    def _entries(self) -> dict[str, tuple[Place, Place]]:
        """Places of keys and of values."""
        if not isinstance(self.node, yaml.MappingNode):
            self.refuse("a mapping of keys and values")
            return {}
        if self.notes.full:
            return {}
        found = {}
        for name, (key, value) in self.notes.reader.entries(self.node, self.path).items():
            path = f"{self.path}.{name}" if self.path else name
            found[name] = (Place(self.notes, key, path), Place(self.notes, value, path))
        return found

    def items(self, *, limit: int = 0) -> tuple[Place, ...]:
        """Items of a list, at most ``limit`` if that is not 0."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.refuse("a list")
            return ()
        count = len(self.node.value)
        if limit and count > limit:
            self.refuse(f"at most {limit} items: split them over several entries", f"a list of {count} items")
            return ()
        if self.notes.full:
            return ()
        return tuple(Place(self.notes, node, f"{self.path}[{number}]") for number, node in enumerate(self.node.value))

    def _hint(self, word: str, words: Iterable[str]) -> str:
        """The nearest of some words, while anybody is told."""
        return "" if self.notes.full or len(word) > _MAX_HINTED else closest(word, words)

    def scalar(self, types: Iterable[type], expected: str) -> Any:
        """A scalar of the first type that fits, as node configs have them; None is noted."""
        hint = ""
        if isinstance(self.node, yaml.ScalarNode):
            for wanted in types:
                try:
                    return READERS[wanted](self.node)
                except Unfit as unfit:
                    hint = hint or unfit.expected
        self.refuse(hint or expected)
        return None

    def text(self, expected: str = "text") -> str:
        """Any text."""
        text: str | None = self.scalar((str,), expected)
        if text is not None and any("\ud800" <= char <= "\udfff" for char in text):
            self.refuse("text of whole characters", "half a character")
            return ""
        return text or ""

    def matching(self, fits: Callable[[str], bool], expected: str) -> str:
        """A text for which ``fits`` is true."""
        before = len(self.notes.reader.problems)
        text = self.text(expected)
        if not fits(text) and len(self.notes.reader.problems) == before:
            self.refuse(expected)
        return text

    def word(self, words: type[E], *, refused: Mapping[str, str] | None = None) -> E | None:
        """One of some words; ``refused`` are those that are known and not supported, each with why."""
        text = self.text(f"one of {', '.join(words)}")
        if text in list(words):
            return words(text)
        if refused and text in refused:
            self.refuse(f"one of {', '.join(words)}", f"{text}, which is not supported yet: {refused[text]}")
        elif kind_of(self.node) == "str":
            hint = self._hint(text, words)
            self.refuse(f"one of {', '.join(words)}{hint}")
        return None

    def number(self, *, quoted: bool) -> int | None:
        """A decimal number, in quotes too if ``quoted``; None, and nothing noted, for anything else."""
        node = self.node
        if not isinstance(node, yaml.ScalarNode) or not _NUMBER.fullmatch(node.value):
            return None
        kinds = ("int", "str") if quoted else ("int",)
        return int(node.value) if kind_of(node) in kinds else None


Protocols = Mapping[str, Callable[[Place], None]]
"""Application protocols by name: each notes at a rule's place what is wrong with the rule."""


def plain(node: yaml.Node) -> Any:
    """A node as JSON holds it. Anything but numbers, truth values and nothing is text."""
    if isinstance(node, yaml.MappingNode):
        return {_text(key): plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain(item) for item in node.value]
    if kind_of(node) == "null":
        return None
    if kind_of(node) == "bool" and isinstance(node, yaml.ScalarNode):
        return READERS[bool](node)
    if kind_of(node) == "int" and _NUMBER.fullmatch(node.value):
        return int(node.value)
    return _text(node)


def _text(node: yaml.Node) -> str:
    """A scalar's text in characters that UTF-8 has; keys that are no text are refused elsewhere."""
    return str(node.value).encode(errors="replace").decode()
