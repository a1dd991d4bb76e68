"""What a config field says beyond its type: ``port: Annotated[int, Range(1, 65535), Doc("UDP port.")]``."""

from __future__ import annotations

import re
from collections.abc import Sized
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doc:
    """One or two sentences for the operator: meaning, unit, and what the default stands for."""

    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """A number between both bounds, bounds included."""

    low: float
    high: float

    def problem(self, value: object) -> str:
        """What would have been right; "" when ``value`` is."""
        right = isinstance(value, (int, float)) and self.low <= value <= self.high
        return "" if right else f"a number from {self.low:.10g} to {self.high:.10g}"


@dataclass(frozen=True, slots=True)
class Length:
    """Characters of a text, or items of a list or mapping, bounds included."""

    low: int
    high: int

    def problem(self, value: object) -> str:
        """What would have been right; "" when ``value`` is."""
        if isinstance(value, Sized) and self.low <= len(value) <= self.high:
            return ""
        unit = "characters" if isinstance(value, str) else "items"
        return f"{self.low} to {self.high} {unit}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that matches the regular expression from end to end; ``text`` says it in words."""

    regex: str
    text: str

    def problem(self, value: object) -> str:
        """What would have been right; "" when ``value`` is."""
        return "" if isinstance(value, str) and re.fullmatch(self.regex, value) else self.text


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that no message repeats: where the name of a secret's file is wanted, somebody may write the secret."""


Check = Range | Length | Pattern
