"""The page about the node config, rendered from settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from netloom.config import reference
from netloom.plugins import Doc, Length


@dataclass(frozen=True, kw_only=True)
class Part:
    """``plugins.toy.parts[]``: one of several."""

    name: Annotated[str, Length(1, 9), Doc("Its name.")]


@dataclass(frozen=True, kw_only=True)
class Toy:
    """``plugins.toy``: something to play with."""

    parts: Annotated[tuple[Part, ...], Doc("All of them.")] = ()
    spare: Part | None = None
    best: Part = field(default_factory=lambda: Part(name="x"))


def test_sections_within_a_section_have_tables_of_their_own_each_once() -> None:
    page = reference.render({"toy": Toy})
    assert page[page.index("### `plugins.toy`") :].splitlines() == [
        "### `plugins.toy`: something to play with",
        "",
        "| key | value | default | meaning |",
        "| --- | --- | --- | --- |",
        "| `plugins.toy.parts` | a list of mappings, below | none | All of them. |",
        "| `plugins.toy.spare` | a mapping as in `plugins.toy.parts[]` | none | One of several. |",
        "| `plugins.toy.best` | a mapping as in `plugins.toy.parts[]` | its defaults | One of several. |",
        "",
        "#### `plugins.toy.parts[]`: one of several",
        "",
        "| key | value | default | meaning |",
        "| --- | --- | --- | --- |",
        "| `plugins.toy.parts[].name` | text, 1 to 9 characters | required | Its name. |",
    ]
