"""Commands inside the lab's namespaces.

``nsenter`` and not ``ip netns exec``: the latter mounts another ``/sys``, and with it the pinned maps are out of sight.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from netloom.edge.netns import NAMED_DIR
from netloom.lab.patience import patient
from netloom.model.errors import NetloomError, NotFound

COMMAND_TIMEOUT_S = 60.0


class CommandError(NetloomError):
    """A command of the lab ended with an error; carries what it wrote."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        super().__init__(f'"{" ".join(argv)}" ended with status {status}: {output.strip() or "it wrote nothing"}')
        self.status = status
        self.output = output


def netns_path(name: str) -> Path:
    """Where a named namespace stands."""
    return NAMED_DIR / name


def argv_in(netns: str, argv: Sequence[str]) -> list[str]:
    """The command that runs ``argv`` in the namespace."""
    return ["nsenter", f"--net={netns_path(netns)}", "--", *argv]


def run_in(
    netns: str,
    argv: Sequence[str],
    *,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end, in this directory unless another is named; return what it wrote, whatever its exit status."""
    return subprocess.run(
        argv_in(netns, argv),
        input=stdin,
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=patient(COMMAND_TIMEOUT_S),
        check=False,
    )


def output_of(netns: str, argv: Sequence[str], *, stdin: str = "", directory: Path | None = None) -> str:
    """Standard output of a command that must succeed; raises CommandError."""
    done = run_in(netns, argv, stdin=stdin, directory=directory)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr + done.stdout)
    return done.stdout


def ip_batch(netns: str, lines: Sequence[str]) -> None:
    """Many ``ip`` commands in one process; raises CommandError naming the line."""
    output_of(netns, ["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))


def program(name: str) -> Path:
    """One of Netloom's own programs: beside the running Python, else in PATH; raises NotFound."""
    beside = Path(sys.executable).parent / name
    found = beside if beside.exists() else shutil.which(name)
    if not found:
        raise NotFound(f'program "{name}" is neither in {beside.parent} nor in PATH: install Netloom again')
    return Path(found)
