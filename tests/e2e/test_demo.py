"""The demo shows what it says: each step checks its own output, so it is enough that it comes to its end."""

from __future__ import annotations

import subprocess

import pytest

from netloom.lab.inside import program
from netloom.lab.topology import files_of
from support.leaks import MARK, look

pytestmark = pytest.mark.e2e


def test_the_demo_comes_to_its_end_and_leaves_nothing() -> None:
    """From the first device to the last request; without a terminal there are no colours."""
    name, before = f"{MARK}demo", look()
    argv = [str(program("netctl")), "lab", "demo", "--name", name]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10. Job postings: who may ask what" in done.stdout
    assert "\x1b" not in done.stdout
    assert look().since(before) == {}
    assert not files_of(name).directory.exists()
