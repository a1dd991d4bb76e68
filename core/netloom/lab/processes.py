"""Processes that outlive us, each recorded before it runs, and ended as the very process that was recorded.

A pid alone names nothing for long. With the boot and the moment the process started it names one process for ever,
and a pidfd then makes sure that a signal meets that process and no other.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from netloom.lab.patience import patient

TERMINATE_WITHIN_S = 10.0
"""How long a process may take to end by itself before it is killed."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 22
"""``starttime`` in proc(5), counted from 1."""
_GATE = 'read -r _ && exec "$@" </dev/null'
"""Waits for a line, then becomes the command; ends when the one that holds the gate dies first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One process of one boot."""

    name: str
    pid: int
    started: int
    """Clock ticks since boot."""
    boot_id: str


def start_recorded(
    name: str, argv: Sequence[str], *, log: Path, netns: Path, note: Callable[[ProcessRecord], None]
) -> ProcessRecord:
    """Start ``argv`` in a session of its own inside a namespace, output appended to ``log``.

    ``note`` is called while the process still waits, so a process that runs is always one that was noted down.
    """
    reader, writer = os.pipe()
    try:
        pid = os.posix_spawnp(
            "nsenter",
            ["nsenter", f"--net={netns}", "sh", "-c", _GATE, name, *argv],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        record = record_of(name, pid)
        note(record)
        os.write(writer, b"go\n")
    finally:
        os.close(reader)
        os.close(writer)
    return record


def record_of(name: str, pid: int) -> ProcessRecord:
    """Describe a running process."""
    return ProcessRecord(name=name, pid=pid, started=_started(pid), boot_id=_BOOT_ID.read_text().strip())


def is_running(record: ProcessRecord) -> bool:
    """Whether that very process still runs; a zombie does not."""
    with _opened(record) as fd:
        return fd is not None and not _ended([fd], 0)


def end(records: Iterable[ProcessRecord], within_s: float = TERMINATE_WITHIN_S) -> tuple[ProcessRecord, ...]:
    """Ask all to end, wait, kill the rest. Returns those that had to be killed. Nothing happens to strangers."""
    killed = []
    with _all_opened(records) as open_fds:
        for fd in open_fds:
            _signal(fd, signal.SIGTERM)
        remaining = _wait(list(open_fds), within_s)
        for fd in remaining:
            _signal(fd, signal.SIGKILL)
            killed.append(open_fds[fd])
        _wait(remaining, within_s)
        _reap(open_fds)
    return tuple(killed)


def kill(record: ProcessRecord) -> None:
    """End a process as a crash would."""
    with _opened(record) as fd:
        if fd is not None:
            _signal(fd, signal.SIGKILL)
            _wait([fd], TERMINATE_WITHIN_S)
            _reap([fd])


def inside(netns: Path) -> tuple[ProcessRecord, ...]:
    """Every process whose network namespace this is."""
    try:
        wanted = netns.stat()
    except FileNotFoundError:
        return ()
    return tuple(_matching((wanted.st_dev, wanted.st_ino)))


def _matching(wanted: tuple[int, int]) -> Iterator[ProcessRecord]:
    for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            found = Path(f"/proc/{pid}/ns/net").stat()
            if (found.st_dev, found.st_ino) == wanted and pid != os.getpid():
                yield record_of(Path(f"/proc/{pid}/comm").read_text().strip(), pid)


def _started(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    # The second field is the command in parentheses and may hold anything, parentheses too.
    return int(stat.rpartition(")")[2].split()[_START_FIELD - 3])


@contextmanager
def _opened(record: ProcessRecord) -> Iterator[int | None]:
    """A pidfd of the recorded process, or None when it is gone."""
    try:
        fd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Looked at after opening: what the descriptor holds can no longer change its pid.
        yield fd if _same(record) else None
    finally:
        os.close(fd)


@contextmanager
def _all_opened(records: Iterable[ProcessRecord]) -> Iterator[dict[int, ProcessRecord]]:
    open_fds: dict[int, ProcessRecord] = {}
    try:
        for record in records:
            with suppress(ProcessLookupError):
                fd = os.pidfd_open(record.pid)
                open_fds[fd] = record
        yield {fd: record for fd, record in open_fds.items() if _same(record)}
    finally:
        for fd in open_fds:
            os.close(fd)


def _same(record: ProcessRecord) -> bool:
    try:
        return record_of(record.name, record.pid) == record
    except (FileNotFoundError, ProcessLookupError):
        return False


def _signal(fd: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, number)


def _ended(fds: list[int], timeout_s: float) -> list[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return [fd for fd, _ in poll.poll(timeout_s * 1000)]


def _wait(fds: list[int], within_s: float) -> list[int]:
    """Wait for processes to end; returns the descriptors of those that have not."""
    deadline = time.monotonic() + patient(within_s)
    remaining = list(fds)
    while remaining and (left := deadline - time.monotonic()) > 0:
        gone = _ended(remaining, left)
        remaining = [fd for fd in remaining if fd not in gone]
    return remaining


def _reap(fds: Iterable[int]) -> None:
    """Collect the exit status of those that are our own children: a lab may end in the process that began it."""
    for fd in fds:
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
