"""YAML text to a tree of nodes that know their line: bounded, never constructing anything.

PyYAML's composer gives nodes with positions; its constructors, which turn tags into Python objects, are not used at
all. Every bound below is far above any sensible node config, and keeps a hostile one from costing time or memory.
"""

from __future__ import annotations

from typing import Any

import yaml

from netloom.model.errors import ConfigError, Problem

MAX_BYTES = 256 * 1024
"""Of the text; PyYAML reads about that much a second."""
MAX_DEPTH = 20
"""Of mappings and lists in each other."""
MAX_NODES = 10_000
"""Scalars, lists and mappings; an alias counts as often as it is used."""


class _Refused(Exception):
    def __init__(self, line: int, found: str, expected: str) -> None:
        super().__init__(found)
        self.line, self.found, self.expected = line, found, expected


class _Loader(yaml.SafeLoader):
    """A composer that counts while it works, so that nothing too deep or too large is ever built."""

    _depth = 0
    _count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH + 1:
            raise _Refused(line, f"more than {MAX_DEPTH} levels", "fewer levels of lists and mappings")
        if self._count > MAX_NODES:
            raise _Refused(line, f"more than {MAX_NODES} values", "a smaller file")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def compose(text: str, file: str) -> yaml.Node | None:
    """The one document in ``text``; None when it is empty. Raises ConfigError."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise ConfigError((Problem(file, 0, "file", f"more than {MAX_BYTES} bytes", "a node config"),))
    try:
        loader = _Loader(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
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
        return node
    raise ConfigError((problem,))


def _found(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words, fit to follow "found"."""
    if error.context == "expected a single document in the stream":
        return "a second document"
    words = [part.removeprefix("found ") for part in (error.problem, error.context) if part]
    return " ".join(words) or "an error"
