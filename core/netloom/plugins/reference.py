"""Renders the reference in ``docs/plugins.md`` from the contract: ``python -m netloom.plugins.reference [--check]``.

The tutorial above the mark is written by hand; what stands below it is made from the docstrings of the hooks and
of the objects they give.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from netloom.plugins import contract, hookspecs
from netloom.plugins.batches import BatchStore
from netloom.plugins.contract import Ipam, NetworkMode, Router, RouteWatcher, Store
from netloom.plugins.native import NativeCidrs
from netloom.plugins.protocols import Parser

DOCUMENT = Path(__file__).parents[3] / "docs" / "plugins.md"
MARK = "<!-- From here on: rendered by `python -m netloom.plugins.reference` -->\n"
OBJECTS = (Ipam, NetworkMode, NativeCidrs, Store, BatchStore, Router, RouteWatcher, Parser)


def hooks() -> dict[str, Callable[..., Any]]:
    """Every hook of the contract, in the order of the contract."""
    return {name: value for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")}


def heading(name: str, hook: Callable[..., Any]) -> str:
    """``netloom_ipam(context)``: the hook with exactly the arguments it may take."""
    return f"{name}({', '.join(inspect.signature(hook).parameters)})"


def render() -> str:
    """Everything below the mark."""
    lines = [f"## Every hook of contract {contract.CONTRACT_VERSION}", ""]
    for name, hook in hooks().items():
        lines += [f"### `{heading(name, hook)}`", "", *_hook(hook), ""]
    lines += ["## The objects hooks give", "", _plain(inspect.getdoc(contract) or "").partition("\n\n")[2], ""]
    for protocol in OBJECTS:
        lines += [f"### `{protocol.__name__}`", "", _plain(inspect.getdoc(protocol) or ""), "", *_members(protocol), ""]
    return "\n".join(lines).rstrip() + "\n"


def _hook(hook: Callable[..., Any]) -> Iterator[str]:
    """Its docstring: prose, then the facts as a list."""
    for paragraph in (inspect.getdoc(hook) or "").split("\n\n"):
        if paragraph.startswith(":param"):
            _, name, text = paragraph.split(maxsplit=2)
            yield f"* **{name.rstrip(':')}:** {_plain(_joined(text))}"
        elif paragraph.startswith(".. versionadded::"):
            yield f"* **Since:** contract {paragraph.rpartition(' ')[2]}"
        elif paragraph.startswith("When:"):
            yield from (f"* **{word}:** {_plain(text)}" for word, text in _facts(paragraph))
        else:
            yield _plain(paragraph)
            yield ""
    returns = str(inspect.signature(hook).return_annotation)
    yield f"* **Returns:** `{returns}`"


def _facts(paragraph: str) -> Iterator[tuple[str, str]]:
    """``When: ...`` and the like; lines that begin with a space go on with the fact above."""
    facts: list[tuple[str, list[str]]] = []
    for line in paragraph.splitlines():
        word, colon, text = line.partition(":")
        if colon and word.isalpha() and not line.startswith(" "):
            facts.append((word, [text.strip()]))
        else:
            facts[-1][1].append(line.strip())
    return ((word, " ".join(parts)) for word, parts in facts)


def _members(protocol: type) -> Iterator[str]:
    for name, member in vars(protocol).items():
        if name.startswith("_"):
            continue
        text = _plain(_joined(inspect.getdoc(member) or ""))
        if isinstance(member, property):
            returned = inspect.signature(member.fget).return_annotation if member.fget else ""
            yield f"* `{name}: {returned}`: {text}"
        else:
            words = str(inspect.signature(member)).replace("'", "").replace("(self, ", "(").replace("(self)", "()")
            prefix = "async " if inspect.iscoroutinefunction(member) else ""
            yield f"* `{prefix}{name}{words}`: {text}"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Docstrings speak reStructuredText: its code and references become Markdown's code."""
    for role in (":class:`~netloom.model.errors.", ":meth:`", ":data:`"):
        text = text.replace(role, "`")
    return text.replace("``", "`")


def main() -> None:
    """Write the page, or with ``--check`` exit 1 when it is stale."""
    written, mark, _ = DOCUMENT.read_text(encoding="utf-8").partition(MARK)
    text = written + MARK + "\n" + render()
    if sys.argv[1:] == ["--check"]:
        fresh = mark and DOCUMENT.read_text(encoding="utf-8") == text
        sys.exit(0 if fresh else f"{DOCUMENT} is stale: run `python -m netloom.plugins.reference`")
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
