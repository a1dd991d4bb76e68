"""Processes of a lab: recorded before they run, ended as themselves and never as somebody else."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.lab import processes
from netloom.lab.agents import wait_until
from netloom.lab.processes import ProcessRecord, start_recorded
from support.netns import Namespace

pytestmark = pytest.mark.kernel


@pytest.fixture
def noted() -> Iterator[list[ProcessRecord]]:
    records: list[ProcessRecord] = []
    yield records
    for record in records:
        processes.kill(record)


def start(netns: Namespace, tmp_path: Path, noted: list[ProcessRecord], *argv: str) -> ProcessRecord:
    return start_recorded("it", argv, log=tmp_path / "log", netns=netns.path, note=noted.append)


def test_a_started_process_runs_in_its_namespace(netns: Namespace, tmp_path: Path, noted: list[ProcessRecord]) -> None:
    """And under the pid that was recorded before it began."""
    record = start(netns, tmp_path, noted, "sh", "-c", "echo here; exec sleep 60")
    assert noted == [record]
    assert processes.is_running(record)
    assert wait_until(lambda: (tmp_path / "log").read_text() != "")
    assert [found.pid for found in processes.inside(netns.path)] == [record.pid]


def test_ending_waits_until_the_process_is_gone(netns: Namespace, tmp_path: Path, noted: list[ProcessRecord]) -> None:
    """Nobody has to be killed when all obey."""
    record = start(netns, tmp_path, noted, "sleep", "60")
    assert processes.end([record]) == ()
    assert not processes.is_running(record)


def test_a_process_that_does_not_obey_is_killed(netns: Namespace, tmp_path: Path, noted: list[ProcessRecord]) -> None:
    """After the time it was given; the caller learns which."""
    record = start(netns, tmp_path, noted, "sh", "-c", "trap '' TERM; echo deaf; exec sleep 60")
    assert wait_until(lambda: (tmp_path / "log").read_text() != "")
    assert processes.end([record], within_s=0.05) == (record,)
    assert not processes.is_running(record)


@pytest.mark.parametrize("change", [{"started": 1}, {"boot_id": "another"}])
def test_a_stranger_under_a_recorded_pid_is_left_alone(
    netns: Namespace, tmp_path: Path, noted: list[ProcessRecord], change: dict[str, object]
) -> None:
    """Pids come round again, and journals may be older than the last boot."""
    record = start(netns, tmp_path, noted, "sleep", "60")
    stale = dataclasses.replace(record, **change)  # type: ignore[arg-type]
    assert not processes.is_running(stale)
    processes.end([stale])
    processes.kill(stale)
    assert processes.is_running(record)


def test_a_record_of_a_process_long_gone_is_no_error() -> None:
    """Taking away twice is allowed."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    record = ProcessRecord(name="it", pid=gone.pid, started=1, boot_id="b")
    assert processes.end([record]) == ()


def test_a_process_does_not_begin_when_its_starter_dies_before_noting_it(netns: Namespace, tmp_path: Path) -> None:
    """Killed at the worst moment: the process waits at its gate, and the gate is gone."""
    starter = f"""
import os, signal
from pathlib import Path
from netloom.lab.processes import start_recorded
start_recorded("it", ["touch", "{tmp_path}/began"], log=Path("{tmp_path}/log"), netns=Path("{netns.path}"),
               note=lambda record: os.kill(os.getpid(), signal.SIGKILL))
"""
    assert subprocess.run([sys.executable, "-c", starter], check=False).returncode == -signal.SIGKILL
    while processes.inside(netns.path):
        os.sched_yield()
    assert not (tmp_path / "began").exists()


def test_nobody_is_inside_a_namespace_that_is_gone(tmp_path: Path) -> None:
    """Asked while it goes away."""
    assert processes.inside(tmp_path / "nothing") == ()
