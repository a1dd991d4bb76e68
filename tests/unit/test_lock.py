"""The lock: one agent for each node, freed by the end of the agent in whatever way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netloom.edge.files import FileError
from netloom.edge.lock import node_lock
from netloom.model.errors import Conflict

HOLDER = """
import sys, pathlib
from netloom.edge.lock import node_lock
with node_lock(pathlib.Path(sys.argv[1]), "n1"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_agent_is_told_who_has_it(tmp_path: Path) -> None:
    with (
        node_lock(tmp_path / "n1", "n1"),
        pytest.raises(Conflict, match=f'node "n1" has an agent already, process {os.getpid()} '),
        node_lock(tmp_path / "n1", "n1"),
    ):
        pass


def test_the_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with node_lock(tmp_path, "n1"):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_two_nodes_have_two_locks(tmp_path: Path) -> None:
    with node_lock(tmp_path / "n1", "n1"), node_lock(tmp_path / "n2", "n2"):
        pass


def test_an_agent_that_is_killed_frees_its_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(Conflict, match=f"process {holder.pid} "), node_lock(tmp_path, "n1"):
            pass
        holder.kill()
        holder.wait()
    with node_lock(tmp_path, "n1"):
        pass


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be opened"), node_lock(tmp_path / "file", "n1"):
        pass
