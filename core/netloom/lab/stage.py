"""What the demo speaks with: headings, sentences, commands with their output, and checks of what was said."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import click

from netloom.lab.capture import Watcher, watching
from netloom.lab.inside import output_of, program, run_in
from netloom.lab.lab import Lab
from netloom.model.errors import NetloomError

WIDTH = 100
_OUTPUT_INDENT = "    "


class Unexpected(NetloomError):
    """The lab did not show what the demo says it shows."""


class Stage:
    """Prints to standard output; colours appear on a terminal only."""

    def __init__(self, lab: Lab, *, pause: bool) -> None:
        self.lab = lab
        self.endpoints = lab.endpoints()
        self.directory: Path | None = None
        """In which commands find files; None: where the demo was started."""
        self._pause = pause
        self._step = 0

    def heading(self, title: str) -> None:
        """Begin a step."""
        self._step += 1
        if self._pause:
            click.pause(click.style("\n[Enter]", dim=True))
        click.echo("\n" + click.style(f"{self._step}. {title}", bold=True, fg="cyan"))

    def say(self, text: str) -> None:
        """A sentence or two."""
        click.echo("\n" + fill(" ".join(text.split()), WIDTH))

    def show(self, where: str, command: str, *, expect: Sequence[str] = (), fails: bool = False) -> str:
        """Run a command in a place, print both, and see that its output has what is expected.

        ``expect`` holds regular expressions; what they match is marked. Raises Unexpected, or CommandError.
        """
        argv = self._resolved(where, shlex.split(command))
        if fails:
            done = run_in(self.lab.topology.namespace_of(where), argv, directory=self.directory)
            output = done.stdout + done.stderr
        else:
            output = output_of(self.lab.topology.namespace_of(where), argv, directory=self.directory)
        self._print(where, command, output.splitlines(), expect)
        return output

    @contextmanager
    def watch(self, where: str, watcher: Watcher, *, expect: Sequence[str], lines: int) -> Iterator[None]:
        """Watch during the block, then print what was seen; ``lines`` 0 means that nothing may be seen."""
        resolved = Watcher(argv=tuple(self._resolved(where, watcher.argv)), watches=watcher.watches)
        with watching(self.lab.topology.namespace_of(where), resolved, lines=lines) as shown:
            yield
        self._print(where, " ".join(watcher.argv), shown or ["(nothing)"], expect)
        if shown and not lines:
            raise Unexpected(f"{where} saw packets, expected none")

    def facts(self, pod: str) -> dict[str, Any]:
        """A pod's endpoint, as the API shows it."""
        return self.endpoints[pod]

    def _print(self, where: str, command: str, lines: Sequence[str], expect: Sequence[str]) -> None:
        click.echo("\n" + click.style(f"  [{where}]# ", fg="green") + click.style(command, bold=True))
        for line in lines:
            click.echo(_OUTPUT_INDENT + marked(line, expect))
        text = "\n".join(lines)
        for pattern in expect:
            if not re.search(pattern, text, re.MULTILINE):
                raise Unexpected(f'"{command}" on {where} did not show what matches {pattern}')

    def _resolved(self, where: str, argv: Sequence[str]) -> list[str]:
        """``netctl`` is ours, and asks the node's agent; everything else is as it is."""
        if argv[0] != "netctl":
            return list(argv)
        return [str(program("netctl")), "--socket", str(self.lab.files.socket(where)), *argv[1:]]


def marked(line: str, patterns: Sequence[str]) -> str:
    """The line with everything that matches in another colour."""
    spans = sorted(match.span() for pattern in patterns for match in re.finditer(pattern, line))
    parts, at = [], 0
    for start, end in spans:
        if start >= at:
            parts += [line[at:start], click.style(line[start:end], fg="yellow")]
            at = end
    return "".join([*parts, line[at:]])
