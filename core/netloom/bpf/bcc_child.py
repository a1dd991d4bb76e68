"""The compiler, in processes of its own: eBPF C in, instructions out.

Run as ``/usr/bin/python3 -I bcc_child.py`` with a request as JSON on standard input and the answer as JSON on
standard output. It uses the standard library and BCC alone, because it runs under the system's Python, where
BCC is installed and Netloom is not; and it ends after one request, because BCC keeps 120 MB of LLVM.

Every unit is compiled in a fork of this process, which has loaded BCC for all of them: that is how they go side by
side, and LLVM, which ends the process when a program is beyond it, takes no other unit along.

Request: ``{"hermetic": DIR, "workers": N, "units": [{"name", "context", "text", "flags": [...]}]}``; at most N units
at a time; with no units it only identifies itself. ``context`` is the struct that the program's parameter points to.
Answer:  ``{"compiler": TEXT, "units": [{"name", "log", "instructions": HEX, "maps": [[INDEX, NAME], ...]}]}``;
``compiler`` is null when BCC is not installed, ``instructions`` is null when the unit did not compile.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import signal
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

_INSTRUCTION = struct.Struct("=BBhi")
_LD_IMM64 = 0x18
_PSEUDO_MAP_FD = 1
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_NOBODY = 65534
_PROLOGUE = """\
#undef bpf_probe_read_kernel
#undef bpf_probe_read_kernel_str
#undef bpf_probe_read_user
#undef bpf_probe_read_user_str
"""
"""Takes back what BCC defines for kernels before 5.5: the names of older helpers, which tc programs may not call."""


def identify() -> str | None:
    """Which BCC is installed, without the cost of loading it; None when none is."""
    spec = importlib.util.find_spec("bcc")
    if spec is None or spec.origin is None:
        return None
    version = Path(spec.origin).with_name("version.py")
    text = version.read_text(encoding="utf-8") if version.is_file() else ""
    return f"bcc {text.partition('=')[2].strip()}"


@dataclass
class Work:
    """A unit that is being compiled, and the files its process writes to."""

    unit: dict[str, Any]
    at: int
    """Its place among all units."""
    answer: BinaryIO
    log: BinaryIO
    """What the compiler writes to its standard error."""


def compile_units(units: list[dict[str, Any]], workers: int) -> list[dict[str, Any]]:
    """Compile units; see the module for their shape and the answers'.

    The longest go first, so that all workers end at about the same time.
    """
    importlib.import_module("bcc")  # the slow part, paid only when there is something to compile
    avoid_kernel_symbols()
    waiting = sorted(enumerate(units), key=lambda item: len(item[1]["text"]))
    running: dict[int, Work] = {}
    answers: dict[int, dict[str, Any]] = {}
    while waiting or running:
        if waiting and len(running) < workers:
            at, unit = waiting.pop()
            work = Work(unit, at, open_memory(), open_memory())
            running[begin(work)] = work
        else:
            pid, status = os.wait()
            work = running.pop(pid)
            answers[work.at] = finish(work, os.waitstatus_to_exitcode(status))
    return [answers[at] for at in range(len(units))]


def open_memory() -> BinaryIO:
    """A file without a place."""
    return os.fdopen(os.memfd_create("netloom"), "w+b")


def avoid_kernel_symbols() -> None:
    """Be a user other than root, with all of root's capabilities, which making maps takes.

    For root BCC reads all symbols of the kernel, an eighth of a second for each unit, to learn whether there is a
    bpf_probe_read_kernel. It concludes that there is none when it cannot read them; see ``_PROLOGUE``.
    """
    if ctypes.CDLL(None).prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0:
        os.seteuid(_NOBODY)


def begin(work: Work) -> int:
    """Compile a unit in a process of its own; returns its number. It ends with 0 when it has written an answer."""
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.dup2(work.log.fileno(), 1)
    os.dup2(work.log.fileno(), 2)  # where Python writes its last words, too, when anything below raises
    work.answer.write(json.dumps(compile_unit(work.unit)).encode())
    work.answer.flush()
    os._exit(0)


def finish(work: Work, status: int) -> dict[str, Any]:
    """The answer about a unit whose process has ended; negative: the signal that ended it."""
    with work.answer, work.log:
        for file in (work.answer, work.log):
            file.seek(0)
        log = work.log.read().decode(errors="replace")
        if status:
            log += f"the compiler ended with status {status}"
            return {"name": work.unit["name"], "log": log, "instructions": None, "maps": []}
        answer: dict[str, Any] = json.load(work.answer)
        return answer | {"log": log + answer["log"]}


def compile_unit(unit: dict[str, Any]) -> dict[str, Any]:
    """Compile one unit; what the compiler says goes to standard error."""
    lib: Any = importlib.import_module("bcc").lib
    flags = [flag.encode() for flag in unit["flags"]]
    array = (ctypes.c_char_p * len(flags))(*flags)
    text = (_PROLOGUE + unit["text"]).encode()
    module = lib.bpf_module_create_c_from_string(text, 0, array, len(flags), True, None)
    raw, maps = extract(lib, module, unit["name"]) if module else (None, [])
    log = ""
    if module and raw is None:
        log = f'the source defines no function "int {unit["name"]}(struct {unit["context"]} *)"'
    return {"name": unit["name"], "log": log, "instructions": raw.hex() if raw else None, "maps": maps}


def extract(lib: Any, module: int, name: str) -> tuple[bytes | None, list[tuple[int, str]]]:
    """Instructions of function ``name`` without this process's map descriptors, and where those stood.

    None when there is no such function.
    """
    start = lib.bpf_function_start(module, name.encode())
    if not start:
        return None, []
    raw = bytearray(ctypes.string_at(start, lib.bpf_function_size(module, name.encode())))
    names = tables_of(lib, module)
    maps: list[tuple[int, str]] = []
    for index, (opcode, registers, _offset, immediate) in enumerate(_INSTRUCTION.iter_unpack(raw)):
        if opcode == _LD_IMM64 and registers >> 4 == _PSEUDO_MAP_FD:
            maps.append((index, names[immediate]))
            struct.pack_into("=i", raw, index * _INSTRUCTION.size + 4, 0)
    return bytes(raw), maps


def tables_of(lib: Any, module: int) -> dict[int, str]:
    """Descriptor and name of every map the module declares."""
    # BCC's binding leaves these untyped, and pointers would be cut to 32 bits.
    lib.bpf_table_name.restype = ctypes.c_char_p
    lib.bpf_num_tables.restype = ctypes.c_size_t
    lib.bpf_num_tables.argtypes = [ctypes.c_void_p]
    lib.bpf_table_name.argtypes = lib.bpf_table_fd_id.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    tables = range(lib.bpf_num_tables(module))
    return {lib.bpf_table_fd_id(module, table): lib.bpf_table_name(module, table).decode() for table in tables}


def main() -> None:
    """Answer one request."""
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the compiler prints must not land in the answer
    request = json.load(sys.stdin)
    os.environ["BCC_KERNEL_SOURCE"] = request["hermetic"]
    compiler = identify()
    units = compile_units(request["units"], request["workers"]) if compiler and request["units"] else []
    with answer_to:
        json.dump({"compiler": compiler, "units": units}, answer_to)


if __name__ == "__main__":
    main()
