"""Ending an agent at a chosen system call: strace delivers SIGKILL on entry, so the call itself is not made any more.

Before the next effect of an operation is after the last one, so killing on entry to each effect goes through all states
an operation can leave behind. strace counts calls for each thread and each kind of call, so a place is named likewise.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CHANGE = r"nlmsg_type=0x(?:1[0134589cd]|2[0134cd]) "
"""rtnetlink's types come in fours: NEW, DEL, GET, SET. Reads belong to whatever the agent looks at just then."""
EFFECTS = {
    "bpf": re.compile(r"BPF_(MAP_UPDATE_ELEM|MAP_DELETE_ELEM|PROG_ATTACH|PROG_DETACH|OBJ_PIN)"),
    "sendto": re.compile(rf"{_CHANGE}|HTTP/1"),
    "sendmsg": re.compile(_CHANGE),
    "openat": re.compile(r"O_CREAT"),
    "write": re.compile(r"\.json\.new>|/proc/sys/"),
    "rename": re.compile(""),
    "unlink": re.compile(""),
    "unlinkat": re.compile(""),
    "mkdir": re.compile(""),
    "pwrite64": re.compile(""),
    "fdatasync": re.compile(""),
    "ftruncate": re.compile(""),
    "utimensat": re.compile(""),
    "setns": re.compile(""),
}
"""Calls that change something outside of the process, and how their arguments look when they do."""
SETTLE_S = 0.3
"""What is left for after the answer belongs to an operation too."""
_LINE = re.compile(r"(?P<thread>\d+) +(?P<call>[a-z0-9_]+)\((?P<arguments>.*)")
_ENDED_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """One call of one thread, counted among the thread's calls of that kind; of one process."""

    thread: int
    """Its number; 0 for a thread made in the operation."""
    call: str
    number: int


@dataclass(frozen=True, slots=True)
class Step:
    """An effect of an operation: the same in every process that does it."""

    call: str
    turn: int
    """Among the operation's effects of that kind, whichever thread has them."""

    def __str__(self) -> str:
        return f"{self.call} {self.turn}"


def steps(pid: int, scratch: Path, operations: Mapping[str, Callable[[], object]]) -> dict[str, dict[Step, Place]]:
    """What each of some operations does, in order, and where this process does it."""
    threads, trace = {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()}, scratch / f"trace{pid}"
    found: dict[str, dict[Step, Place]] = {}
    with _strace(["-f", "-y", "-p", str(pid), "-e", f"trace={','.join(EFFECTS)}", "-o", str(trace)]):
        for name, operation in operations.items():
            begin = trace.stat().st_size
            operation()
            time.sleep(SETTLE_S)
            lines = trace.read_bytes()[begin:].decode(errors="replace").splitlines()
            found[name] = dict(_effects(lines, threads))
            threads = {int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()}
    return found


def _effects(lines: Iterable[str], threads: Container[int]) -> Iterator[tuple[Step, Place]]:
    calls, turns = Counter[tuple[int, str]](), Counter[str]()
    for match in filter(None, map(_LINE.match, lines)):
        thread, call = int(match["thread"]), match["call"]
        calls[thread, call] += 1
        if EFFECTS[call].search(match["arguments"]):
            turns[call] += 1
            yield Step(call, turns[call]), Place(thread if thread in threads else 0, call, calls[thread, call])


@contextmanager
def killed_at(pid: int, place: Place) -> Iterator[None]:
    """Whoever comes to this place in the block is killed there, with its whole process."""
    whom = ["-p", str(place.thread)] if place.thread else ["-f", "-p", str(pid)]
    inject = f"inject={place.call}:signal=SIGKILL:when={place.number}"
    with _strace([*whom, "-e", f"trace={place.call}", "-e", inject, "-o", os.devnull]):
        yield


@contextmanager
def _strace(arguments: list[str]) -> Iterator[None]:
    """Runs from before the block to its end."""
    process = subprocess.Popen(["strace", *arguments], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "attached" in first, first
        yield
    finally:
        process.terminate()
        process.communicate(timeout=_ENDED_WITHIN_S)
