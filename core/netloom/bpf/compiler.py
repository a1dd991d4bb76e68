"""Compiling eBPF C with BCC, in a short-lived child, once per content."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netloom.bpf import bcc_child
from netloom.bpf.cache import ObjectCache, cache_key
from netloom.bpf.core_programs import hermetic_dir, read_headers
from netloom.bpf.objects import ProgramKind, ProgramObject
from netloom.bpf.source import amalgamate
from netloom.model.errors import CompileError, Unsupported
from netloom.plugins.contract import BpfProgram

PYTHON = "/usr/bin/python3"
"""The system's Python: Debian's python3-bpfcc is installed for it and for no other."""
TIMEOUT_S = 120.0
"""For the whole child; one program takes about a quarter of a second."""
MAX_WORKERS = 4
"""Each holds 120 MB of LLVM while it compiles."""
WARNINGS = ("-Wall", "-Werror")
CODE = (
    "-g0",  # BCC asks for debug information, of which nothing is kept
    "-fno-strict-aliasing",  # as the kernel itself: the same bytes of a packet are read as one header and as another
    *("-Xclang", "-disable-llvm-passes"),  # clang would optimize for the host's CPU; BCC does for eBPF, once more
)
"""How instructions are made: a change needs a look at what the verifier walks, and at what a packet costs."""

_NEEDS = "Debian's python3-bpfcc (apt-get install python3-bpfcc)"


@dataclass(frozen=True, slots=True)
class _Unit:
    """One program on its way through the compiler."""

    program: BpfProgram
    kind: ProgramKind
    text: str
    flags: tuple[str, ...]
    key: str


class Compiler:
    """Turns sources into :class:`ProgramObject`, remembering them in ``cache_dir`` across runs and nodes."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache = ObjectCache(cache_dir)

    def compile(
        self,
        program: BpfProgram,
        defines: Mapping[str, int | str] | None = None,
        *,
        kind: ProgramKind = ProgramKind.TC,
    ) -> ProgramObject:
        """Compile one program; see :meth:`compile_all`."""
        return self.compile_all((program,), defines, kind=kind)[0]

    def compile_all(
        self,
        programs: Sequence[BpfProgram],
        defines: Mapping[str, int | str] | None = None,
        *,
        kind: ProgramKind = ProgramKind.TC,
    ) -> tuple[ProgramObject, ...]:
        """Compile programs, all of one kind, in order, each with ``-D<name>=<value>`` for every define.

        What was compiled before, from the same text with the same compiler, is read from the cache; the rest is
        compiled side by side, on all CPUs. Raises CompileError for the first program that does not compile
        (the others are kept), Unsupported when the compiler is not installed, KernelError when the cache cannot be
        written.
        """
        headers = read_headers()
        units = [_unit(program, kind, headers, defines or {}) for program in programs]
        found = {unit.key: self._cache.get(unit.key) for unit in units}
        missing = list({unit.key: unit for unit in units if found[unit.key] is None}.values())
        if missing:
            found |= self._compile(missing)
        return tuple(program for unit in units if (program := found[unit.key]) is not None)

    def _compile(self, units: Sequence[_Unit]) -> dict[str, ProgramObject]:
        failed: list[CompileError] = []
        made: dict[str, ProgramObject] = {}
        questions = [
            {"name": unit.program.name, "context": unit.kind.context, "text": unit.text, "flags": unit.flags}
            for unit in units
        ]
        for unit, result in zip(units, _ask(questions)["units"], strict=True):
            if result["instructions"] is None:
                failed.append(CompileError(unit.program.file, result["log"]))
                continue
            refs = tuple((index, name) for index, name in result["maps"])
            made[unit.key] = ProgramObject(unit.program.name, bytes.fromhex(result["instructions"]), refs, unit.kind)
            self._cache.put(unit.key, made[unit.key])
        if failed:
            raise failed[0]
        return made


def _unit(
    program: BpfProgram, kind: ProgramKind, headers: Mapping[str, str], defines: Mapping[str, int | str]
) -> _Unit:
    text = amalgamate(program, headers)
    flags = (
        *WARNINGS,
        *CODE,
        f"-DPAGE_SIZE={os.sysconf('SC_PAGE_SIZE')}",  # the ring buffer's declaration counts in pages
        *(f"-D{name}={value}" for name, value in sorted(defines.items())),
    )
    return _Unit(program, kind, text, flags, cache_key(compiler_version(), program.name, kind.value, text, *flags))


@functools.cache
def compiler_version() -> str:
    """Which compiler is installed. Raises Unsupported when none is."""
    return str(_ask([])["compiler"])


def _ask(units: list[dict[str, Any]]) -> dict[str, Any]:
    workers = min(len(os.sched_getaffinity(0)), MAX_WORKERS)
    request = json.dumps({"hermetic": str(hermetic_dir()), "workers": workers, "units": units})
    command = (PYTHON, "-I", bcc_child.__file__)
    try:
        done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise Unsupported("the eBPF compiler", needs=_NEEDS, found=f"no {PYTHON}") from error
    except subprocess.TimeoutExpired as error:
        raise CompileError(_names(units), f"the compiler gave no answer within {TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        raise CompileError(_names(units), f"the compiler ended with status {done.returncode}:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["compiler"] is None:
        raise Unsupported("the eBPF compiler", needs=_NEEDS, found=f"no module bcc for {PYTHON}")
    return answer


def _names(units: list[dict[str, Any]]) -> str:
    return ", ".join(unit["name"] for unit in units) or "(none)"
