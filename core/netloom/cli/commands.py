"""How ``netctl``'s commands are made: with examples, and imported only when they are used.

``netctl status`` should not pay for loading the lab, nor ``netctl --help`` for loading anything at all.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from netloom.model.errors import NetloomError


class Command(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        """Whole command lines; a test runs each."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as they are."""
        super().format_epilog(ctx, formatter)
        write_examples(formatter, self.examples)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type


class Unloadable(NetloomError):
    """A command that another distribution brings cannot be loaded."""


class Lazy(NamedTuple):
    """A command that is not loaded yet."""

    target: str
    """``package.module:name``."""
    summary: str
    """What help says of it; "": it must be loaded to know."""

    def load(self) -> click.Command:
        """Import it. Raises what the import raises."""
        module, _, name = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


class LazyGroup(Group):
    """A group that knows names and summaries of its commands, and loads one when it is needed."""

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, Lazy],
        extra: Callable[[], Mapping[str, Lazy]] = dict,
        examples: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """``extra`` looks for commands of other distributions; those of ``lazy`` keep their names."""
        super().__init__(*args, **kwargs)
        self._lazy = lazy
        self._extra = functools.cache(extra)
        self.examples = tuple(examples)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in alphabetical order."""
        return sorted({*super().list_commands(ctx), *self._lazy, *self._extra()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it if need be. Raises Unloadable."""
        if cmd_name in self._lazy:
            return self._lazy[cmd_name].load()
        if cmd_name in self._extra():
            return _loaded(cmd_name, self._extra()[cmd_name])
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``, without importing anything of ours."""
        del ctx
        summaries = {name: _summary(name, lazy) for name, lazy in self._extra().items()}
        summaries |= {name: lazy.summary for name, lazy in self._lazy.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(summaries.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, then what there is to say at the end."""
        write_examples(formatter, self.examples)
        super().format_epilog(ctx, formatter)


def _loaded(name: str, lazy: Lazy) -> click.Command:
    try:
        command = lazy.load()
    except Exception as error:
        # Somebody else's module may do anything while it is imported.
        raise Unloadable(
            f'command "{name}" ({lazy.target}) cannot be loaded: {type(error).__name__}: {error}; mend or uninstall '
            "the distribution that brings it"
        ) from error
    if not isinstance(command, click.Command):
        raise Unloadable(f'command "{name}" ({lazy.target}) is a {type(command).__name__}, expected a click command')
    return command


def _summary(name: str, lazy: Lazy) -> str:
    try:
        return _loaded(name, lazy).get_short_help_str(limit=100)
    except Unloadable:
        return "(cannot be loaded: call it to see why)"


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """A section with a line for each."""
    if examples:
        with formatter.section("Examples" if len(examples) > 1 else "Example"):
            formatter.write("".join(f"{'':>{formatter.current_indent}}{example}\n" for example in examples))
