"""Loading compiled programs, and putting them into the slots of the pipeline."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from netloom.bpf import libbpf, pins
from netloom.bpf.held import Held
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import INSTRUCTION_BYTES, ProgramKind, ProgramObject
from netloom.datapath.maps import Index, Slot
from netloom.datapath.program_names import kernel_program_name
from netloom.datapath.registry import CALLS, CallSlot
from netloom.model.errors import Invalid, VerifierError

LICENSE = b"Dual BSD/GPL"
"""As the kernel spells it (include/linux/license.h); helpers marked GPL-only ask for it."""
LOG_BYTES = 16 << 20
"""Room for the verifier's words; kernels since 6.4 keep the last ones when there are more."""


class LoadedProgram(Held):
    """A program in the kernel."""

    __slots__ = ("id", "kind", "name", "tag", "verified_insns")

    def __init__(self, fd: int, name: str, kind: ProgramKind = ProgramKind.TC) -> None:
        """Take ``fd`` over. Raises KernelError when it is no program."""
        info = libbpf.prog_info(fd, f'eBPF program "{name}"')
        super().__init__(fd)
        self.kind = kind
        self.name = name
        """Full name; the kernel shows a part of it, see :func:`kernel_program_name`."""
        self.id: int = info.id
        self.tag = bytes(info.tag).hex()
        """Hash of the instructions, as ``tc filter show`` and ``bpftool prog`` print it."""
        self.verified_insns: int = info.verified_insns
        """Instructions the verifier walked; 0 before Linux 5.16."""

    def __repr__(self) -> str:
        return f"LoadedProgram({self.name!r}, id={self.id}, tag={self.tag})"

    def pin(self, path: Path) -> bool:
        """See that the program is what is pinned at ``path``; says whether it was not. Raises KernelError."""
        if self._fd >= 0 and pins.pinned_id(path, "program") == self.id:
            return False
        pins.pin(self._fd, path, f'eBPF program "{self.name}"')
        return True


def load_program(program: ProgramObject, maps: MapSet) -> LoadedProgram:
    """Give a program to the kernel, bound to ``maps`` by name.

    Raises Invalid when it refers to a map that is not there, VerifierError with the log when the verifier refuses
    it, KernelError for everything else.
    """
    linked = program.linked(lambda name: _map_fd(program, maps, name))
    fd = _load(program, linked)
    if fd < 0:  # ask again for the reason: a log costs time and memory, so the first try goes without
        log = ctypes.create_string_buffer(LOG_BYTES)
        fd = _load(program, linked, log)
        if fd < 0 and log.value:
            raise VerifierError(program.name, -fd, log.value.decode(errors="replace"))
    return LoadedProgram(libbpf.check(fd, "load", f'eBPF program "{program.name}"'), program.name, program.kind)


_KINDS = {
    ProgramKind.TC: (libbpf.PROG_TYPE_SCHED_CLS, 0),
    # Ours read headers alone: drivers that split jumbo frames need not refuse them for that.
    ProgramKind.XDP: (libbpf.PROG_TYPE_XDP, libbpf.XDP_HAS_FRAGS),
}
"""The kernel's number of each kind, and the flags it is loaded with."""


def load_programs(programs: Sequence[ProgramObject], maps: MapSet) -> dict[str, LoadedProgram]:
    """Several, by name. Side by side: the verifier takes tens of milliseconds for each, all of them on one CPU.

    Raises what :func:`load_program` does, for the first program that it does for, with nothing left loaded.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        tried = [threads.submit(load_program, program, maps) for program in programs]
    failed = [error for each in tried if (error := each.exception()) is not None]
    if failed:
        for each in tried:
            if each.exception() is None:
                each.result().close()
        raise failed[0]
    return {program.name: each.result() for program, each in zip(programs, tried, strict=True)}


def _load(program: ProgramObject, linked: bytes, log: ctypes.Array[ctypes.c_char] | None = None) -> int:
    number, flags = _KINDS[program.kind]
    options = libbpf.ProgLoadOpts(sz=ctypes.sizeof(libbpf.ProgLoadOpts), prog_flags=flags)
    if log is not None:
        options.log_level, options.log_size = 1, len(log)
        options.log_buf = ctypes.cast(log, ctypes.c_void_p)
    count = len(linked) // INSTRUCTION_BYTES
    load = libbpf.library().bpf_prog_load
    shown = kernel_program_name(program.name).encode()
    result: int = load(number, shown, LICENSE, linked, count, options)
    return result


def _map_fd(program: ProgramObject, maps: MapSet, name: str) -> int:
    try:
        return maps[name].fd
    except KeyError:
        raise Invalid(
            f'eBPF program "{program.name}" uses map "{name}", which is not open; there are: {", ".join(sorted(maps))}'
        ) from None


def fill_slots(maps: MapSet, programs: Mapping[CallSlot, LoadedProgram]) -> None:
    """Make the pipeline's slots hold exactly ``programs``: each is swapped atomically, the others are emptied.

    Packets under way go through the old or the new program of a slot, never through none. Raises KernelError.
    """
    calls = maps.of(CALLS)
    for slot, program in programs.items():
        calls.put(Index(slot), Slot(program.fd))
    for slot in CallSlot:
        if slot not in programs:
            calls.delete(Index(slot))


def held_by_slots(maps: MapSet) -> dict[CallSlot, int]:
    """The kernel's number of the program in each slot, as tail calls find it. Raises KernelError."""
    calls = maps.of(CALLS)
    held = {slot: calls.get(Index(slot)) for slot in CallSlot}
    return {slot: found.program for slot, found in held.items() if found is not None}
