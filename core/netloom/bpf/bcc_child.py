"""The compiler, in a process of its own: eBPF C in, instructions out.

Run as ``/usr/bin/python3 -I bcc_child.py`` with a request as JSON on standard input and the answer as JSON on
standard output. It uses the standard library and BCC alone, because it runs under the system's Python, where
BCC is installed and Netloom is not; and it ends after one request, because BCC keeps 120 MB of LLVM.

Request: ``{"hermetic": DIR, "units": [{"name", "context", "text", "flags": [...]}]}``; with no units it only identifies
itself. ``context`` is the struct that the program's parameter points to.
Answer:  ``{"compiler": TEXT, "units": [{"name", "log", "instructions": HEX, "maps": [[INDEX, NAME], ...]}]}``;
``compiler`` is null when BCC is not installed, ``instructions`` is null when the unit did not compile.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import struct
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_INSTRUCTION = struct.Struct("=BBhi")
_LD_IMM64 = 0x18
_PSEUDO_MAP_FD = 1


def identify() -> str | None:
    """Which BCC is installed, without the cost of loading it; None when none is."""
    spec = importlib.util.find_spec("bcc")
    if spec is None or spec.origin is None:
        return None
    version = Path(spec.origin).with_name("version.py")
    text = version.read_text(encoding="utf-8") if version.is_file() else ""
    return f"bcc {text.partition('=')[2].strip()}"


@contextmanager
def captured(log: BinaryIO) -> Iterator[None]:
    """Send what C code writes to standard error into ``log``."""
    saved = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def compile_unit(unit: dict[str, Any]) -> dict[str, Any]:
    """Compile one unit; see the module for its shape and the answer's."""
    lib: Any = importlib.import_module("bcc").lib  # the slow part, paid only when there is something to compile
    raw: bytes | None = None
    maps: list[tuple[int, str]] = []
    flags = [flag.encode() for flag in unit["flags"]]
    array = (ctypes.c_char_p * len(flags))(*flags)
    with tempfile.TemporaryFile() as log:
        with captured(log):
            module = lib.bpf_module_create_c_from_string(unit["text"].encode(), 0, array, len(flags), True, None)
        if module:
            raw, maps = extract(lib, module, unit["name"])
            lib.bpf_module_destroy(module)  # closes the maps it made
        log.seek(0)
        words = log.read().decode(errors="replace")
    if module and raw is None:
        words += f'the source defines no function "int {unit["name"]}(struct {unit["context"]} *)"'
    return {"name": unit["name"], "log": words, "instructions": raw.hex() if raw else None, "maps": maps}


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
    units = [compile_unit(unit) for unit in request["units"]] if compiler else []
    with answer_to:
        json.dump({"compiler": compiler, "units": units}, answer_to)


if __name__ == "__main__":
    main()
