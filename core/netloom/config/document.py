"""YAML text to trees of nodes that know their line: bounded, never constructing anything.

PyYAML's composer gives nodes with positions; its constructors, which turn tags into Python objects, are not used at
all. Bounds are far above any sensible file of its kind, and keep a hostile one from costing time or memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from netloom.model.errors import ConfigError, Problem

try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]
except ImportError:  # PyYAML can be built without libyaml
    CParser = None  # type: ignore[misc, assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of a file is read."""

    kind: str
    """What the file should be, for messages."""
    max_bytes: int
    max_depth: int
    """Of mappings and lists in each other."""
    max_nodes: int
    """Scalars, lists and mappings; what an alias stands for counts as often as it is used."""


CONFIG = Bounds(kind="a node config", max_bytes=256 * 1024, max_depth=20, max_nodes=10_000)
"""PyYAML reads about as many bytes a second, where libyaml does not help it."""


class _Refused(Exception):
    def __init__(self, line: int, found: str, expected: str) -> None:
        super().__init__(found)
        self.line, self.found, self.expected = line, found, expected


class _Counting(Composer):
    """A composer that counts while it works, so that nothing too deep or too large is ever built."""

    bounds: Bounds
    _depth = 0
    _deepest = 0
    _count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]
        line = event.start_mark.line + 1
        before, deepest = self._count, self._deepest
        self._depth += 1
        self._deepest = self._depth
        self._count += 1
        self._check(line)
        anchor = event.anchor
        is_alias = isinstance(event, yaml.AliasEvent)
        if anchor and not is_alias:
            self._sizes().pop(anchor, None)  # another document's: this one is not complete yet
        node: yaml.Node | None = super().compose_node(parent, index)
        if anchor and is_alias:
            self._add(anchor, line)
        elif anchor:
            self._sizes()[anchor] = (self._count - before, self._deepest - self._depth)
        self._deepest = max(deepest, self._deepest)
        self._depth -= 1
        return node

    def _add(self, anchor: str, line: int) -> None:
        """Count what an alias stands for: readers meet it once more."""
        if anchor not in self._sizes():
            raise _Refused(line, "an alias inside of what it stands for", "an alias of something complete")
        count, height = self._sizes()[anchor]
        self._count += count - 1
        self._deepest = self._depth + height
        self._check(line)

    def _check(self, line: int) -> None:
        if self._deepest > self.bounds.max_depth + 1:
            found = f"more than {self.bounds.max_depth} levels"
            raise _Refused(line, found, "fewer levels of lists and mappings")
        if self._count > self.bounds.max_nodes:
            raise _Refused(line, f"more than {self.bounds.max_nodes} values", "a smaller file")

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Values and levels of what has an anchor, by its name."""
        sizes: dict[str, tuple[int, int]] = self.__dict__.setdefault("_known", {})
        return sizes


class _Reader(Protocol):
    bounds: Bounds

    def check_node(self) -> bool: ...
    def get_node(self) -> yaml.Node | None: ...
    def get_single_node(self) -> yaml.Node | None: ...
    def dispose(self) -> None: ...


class _Loader(_Counting, yaml.SafeLoader):
    """PyYAML alone; its words for mistakes are better than libyaml's."""


if CParser is None:
    _FastLoader: type = _Loader
else:

    class _FastLoader(_Counting, CParser, Resolver):  # type: ignore[no-redef]
        """The same with libyaml's parser, some ten times as fast."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text.encode(errors="replace"))
            Composer.__init__(self)
            Resolver.__init__(self)


def compose(text: str, file: str, bounds: Bounds = CONFIG) -> yaml.Node | None:
    """The one document in ``text``; None when it is empty. Raises ConfigError."""
    with _loading(_Loader, text, file, bounds) as loader:
        return loader.get_single_node()


def compose_all(text: str, file: str, bounds: Bounds) -> Iterator[yaml.Node]:
    """Every document in ``text``, in turn; what was yielded before a mistake is good. Raises ConfigError."""
    with _loading(_FastLoader, text, file, bounds) as loader:
        while loader.check_node():
            if node := loader.get_node():
                yield node


@contextmanager
def _loading(loader_type: type, text: str, file: str, bounds: Bounds) -> Iterator[_Reader]:
    """A loader; its mistakes become problems of the file."""
    if len(text.encode(errors="replace")) > bounds.max_bytes:
        raise ConfigError((_too_long(file, bounds),))
    try:
        loader = loader_type(text)
        loader.bounds = bounds
        try:
            yield loader
        finally:
            loader.dispose()
    except _Refused as refused:
        problem = Problem(file, refused.line, "yaml", refused.found, refused.expected)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = Problem(file, mark.line + 1 if mark else 0, "yaml", _found(error), "one YAML document")
    except yaml.YAMLError as error:
        found = str(error).splitlines()[0]
        problem = Problem(file, 0, "yaml", found, "YAML in printable UTF-8 text")
    else:
        return
    raise ConfigError((problem,))


def _found(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words, fit to follow "found"."""
    if error.context == "expected a single document in the stream":
        return "a second document"
    words = [part.removeprefix("found ") for part in (error.problem, error.context) if part]
    return " ".join(words) or "an error"


def read_file(path: Path, bounds: Bounds = CONFIG) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(bounds.max_bytes + 1)
    except OSError as error:
        problem = Problem(str(path), 0, "file", error.strerror or str(error), "a file that can be read")
        raise ConfigError((problem,)) from error
    return decode(raw, str(path), bounds)


def decode(raw: bytes, file: str, bounds: Bounds = CONFIG) -> str:
    """Bytes as text. Raises ConfigError."""
    if len(raw) > bounds.max_bytes:
        raise ConfigError((_too_long(file, bounds),))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} at {error.start}"
        raise ConfigError((Problem(file, 0, "file", found, "UTF-8 text"),)) from error


def _too_long(file: str, bounds: Bounds) -> Problem:
    return Problem(file, 0, "file", f"more than {bounds.max_bytes} bytes", bounds.kind)
