"""The contract of what a plugin tells people: answers to their questions, and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question that people may ask the plugin: ``GET /v1/plugins/<plugin>/<name>`` of the agent's API."""

    name: str
    """Lower-case letters, digits and hyphens."""
    summary: str
    """One sentence for the API's description."""
    answer: Callable[[Mapping[str, str]], Any]
    """Plain or ``async``; given the parameters of the request. Returns what JSON can hold: None, bool, int, float,
    text, lists and mappings with text keys. May raise any NetloomError."""
    parameters: tuple[str, ...] = ()
    """Names of the parameters it knows; the agent refuses others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value for the agent's ``/metrics``; its full name is ``netloom_<plugin>_<name>``."""

    name: str
    help: str
    value: float
    kind: Literal["counter", "gauge"] = "gauge"
    labels: Mapping[str, str] = field(default_factory=dict)
    """The same names in all samples of one name."""
