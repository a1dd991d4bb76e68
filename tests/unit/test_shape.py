"""The law of size: short functions, short files, few parameters, every public thing described."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = sorted(
    path
    for folder in ("core", "plugins", "bench", "examples", "tests", "tools")
    for path in (ROOT / folder).rglob("*.py")
)
C = sorted(path for folder in ("bpf", "plugins") for path in (ROOT / folder).rglob("*.[ch]") if "gen" not in path.parts)
USER_C = sorted((ROOT / "core").rglob("*.c"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 5
MAX_C_FUNCTION_LINES = 60


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Positional parameters, self and cls left out."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_keeps_to_the_law(path: Path) -> None:
    """Files to 400 lines, functions to 40, positional parameters to 5."""
    text = path.read_text()
    found = [f"{len(text.splitlines())} lines in the file"] if len(text.splitlines()) > MAX_FILE_LINES else []
    for function in functions(ast.parse(text)):
        if body_lines(function) > MAX_FUNCTION_LINES:
            found.append(f"{function.name} has {body_lines(function)} lines")
        if parameters(function) > MAX_PARAMETERS:
            found.append(f"{function.name} has {parameters(function)} parameters")
    assert found == []


@pytest.mark.parametrize("path", [*C, *USER_C], ids=lambda path: str(path.relative_to(ROOT)))
def test_c_keeps_to_the_law(path: Path) -> None:
    """Functions to 60 lines: from a line that ends a signature with ``{`` to the ``}`` in the first column."""
    found, start = [], 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.match(r"^[a-z_].*\)\s*\{$|^\{$", line):
            start = number
        elif line.startswith("}") and start:
            if number - start > MAX_C_FUNCTION_LINES:
                found.append(f"line {start}: {number - start} lines")
            start = 0
    assert found == []


@pytest.mark.parametrize("path", USER_C, ids=lambda path: str(path.relative_to(ROOT)))
def test_c_that_is_no_program_of_the_kernels_has_the_projects_licence(path: Path) -> None:
    assert "SPDX-License-Identifier: Apache-2.0" in path.read_text().splitlines()[0]


@pytest.mark.parametrize("path", C, ids=lambda path: str(path.relative_to(ROOT)))
def test_c_names_its_licence(path: Path) -> None:
    """The kernel and lawyers both want to know."""
    assert "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause" in path.read_text().splitlines()[0]
