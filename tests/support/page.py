"""What pages of the documentation tell their readers to write, as the pages have it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from netloom.plugins.contract import BpfProgram

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
"""Language, title and text of a block of code."""


def titled(page: str) -> list[tuple[str, str]]:
    """Files a page tells its reader to write, or parts of them: names and texts, in order."""
    return [(title, body) for _, title, body in BLOCK.findall((DOCS / page).read_text()) if title]


def pytest_passes(file: Path) -> None:
    """Run a file of tests beside which everything it needs was written."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", file.name],
        cwd=file.parent,
        env=os.environ | {"PYTHONPATH": str(file.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def page_module() -> str:
    """The text of the module of docs/plugins.md that has a program."""
    return dict(titled("plugins.md"))["netloom_nomail.py"]


def page_program() -> BpfProgram:
    """Its one eBPF program: a stage for the custom slot that refuses mail."""
    module: dict[str, Any] = {}
    exec(page_module(), module)  # noqa: S102 - the page's own code is what is tested
    (program,) = module["NoMail"]().netloom_bpf_programs()
    assert isinstance(program, BpfProgram)
    return program
