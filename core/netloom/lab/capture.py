"""Programs that watch while something else happens: tcpdump, netctl monitor."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netloom.lab.agents import wait_until
from netloom.lab.inside import CommandError, argv_in

SETTLE_S = 5.0
"""How long a watcher may take to begin, and afterwards to show as much as is expected of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watcher:
    """A program that runs until it is told to end."""

    argv: tuple[str, ...]
    watches: Callable[[str], bool]
    """Whether it has begun to watch; asked with what it has written to standard error."""


def tcpdump(device: str, expression: str, *options: str) -> Watcher:
    """Prints each packet as soon as it is there."""
    argv = ("tcpdump", "-n", "-t", "-l", "--immediate-mode", *options, "-i", device, *expression.split())
    return Watcher(argv=argv, watches=lambda said: "listening on" in said)


@contextmanager
def watching(netns: str, watcher: Watcher, *, lines: int) -> Iterator[list[str]]:
    """Run a watcher during the block; the list is filled at the block's end, after ``lines`` have come or not.

    Raises CommandError when the watcher does not begin.
    """
    shown: list[str] = []
    with tempfile.TemporaryDirectory(prefix="netloom-") as directory:
        out, said = Path(directory, "out"), Path(directory, "said")
        with _running(argv_in(netns, watcher.argv), out, said) as process:
            wait_until(lambda: watcher.watches(said.read_text()) or process.poll() is not None, SETTLE_S)
            if not watcher.watches(said.read_text()):
                raise CommandError(watcher.argv, process.poll() or 0, said.read_text() or "it did not begin to watch")
            yield shown
            wait_until(lambda: out.read_text().count("\n") >= lines, SETTLE_S if lines else 0)
        # tcpdump ends its output with an empty line when it is told to end.
        shown += [line for line in out.read_text().splitlines() if line]


@contextmanager
def _running(argv: Sequence[str], out: Path, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    with out.open("wb") as out_file, said.open("wb") as said_file:
        process = subprocess.Popen(argv, stdout=out_file, stderr=said_file)
    try:
        yield process
    finally:
        # Not SIGINT: whoever is started in the background by a shell ignores it, and so do its children.
        process.terminate()
        process.wait()
