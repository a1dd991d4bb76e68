"""The plugin that docs/plugins.md teaches, as the page has it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from netloom.plugins.contract import BpfProgram

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def page_module() -> str:
    """The text of its module."""
    found = re.search(r'title="netloom_nomail.py"\n(.*?)^```$', PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def page_program() -> BpfProgram:
    """Its one eBPF program: a stage for the custom slot that refuses mail."""
    module: dict[str, Any] = {}
    exec(page_module(), module)  # noqa: S102 - the page's own code is what is tested
    (program,) = module["NoMail"]().netloom_bpf_programs()
    assert isinstance(program, BpfProgram)
    return program
