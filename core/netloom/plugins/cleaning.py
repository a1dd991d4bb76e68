"""Has plugins remove what they left on a node that is taken out of service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from netloom.config.settings import Settings
from netloom.model.errors import NetloomError
from netloom.plugins import accept
from netloom.plugins.contexts import context_of
from netloom.plugins.discovery import Plugin

HOOK: Final = "netloom_clean"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of it."""

    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Sentences."""


def clean_plugins(plugins: Iterable[Plugin], settings: Settings, sections: Mapping[str, Any]) -> Cleaned:
    """Ask each that has something to remove; one that fails harms no other."""
    removed: list[str] = []
    problems: list[str] = []
    for plugin in plugins:
        if HOOK not in plugin.hooks:
            continue
        context = context_of(plugin.name, settings, sections)
        try:
            removed += plugin.guard.call(HOOK, partial(plugin.hooks[HOOK], context=context), partial(accept.items, str))
        except NetloomError as error:
            problems.append(str(error))
    return Cleaned(tuple(removed), tuple(problems))
