"""Settings that must fit together: each that does not is told at its own key, with all other problems of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple


class Misfit(NamedTuple):
    """A setting that does not fit to others of its section."""

    key: str
    """Within the section, such as ``peers[1].address``; "" for the section itself."""
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.key}: found {self.found}, expected {self.expected}"


class Misfits(ValueError):
    """All settings of a section that do not fit."""

    def __init__(self, found: tuple[Misfit, ...]) -> None:
        super().__init__("; ".join(map(str, found)))
        self.found = found


class Fitting:
    """Base of a section's dataclass whose settings are judged together."""

    __slots__ = ()

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterable[Misfit]:
        """What does not fit, given the settings by name.

        A file is judged as far as it could be read: what could not is absent, or None in the place of a list's item.
        """
        raise NotImplementedError

    def __post_init__(self) -> None:
        """Raises Misfits."""
        if found := tuple(self.misfits({one.name: getattr(self, one.name) for one in fields(self)})):  # type: ignore[arg-type]
            raise Misfits(found)
