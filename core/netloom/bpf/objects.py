"""Compiled programs as values."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

INSTRUCTION_BYTES = 8
"""Size of one ``struct bpf_insn`` (linux/bpf.h)."""
LD_IMM64 = 0x18
"""BPF_LD | BPF_DW | BPF_IMM: a 64-bit constant, in two instructions."""
PSEUDO_MAP_FD = 1
"""BPF_PSEUDO_MAP_FD: as the source register of LD_IMM64, says that the constant is a map's file descriptor."""

_IMMEDIATE_AT = 4
"""Offset of ``imm`` in ``struct bpf_insn``."""


class ProgramKind(Enum):
    """Where in the kernel a program runs; the value is what object files call it."""

    TC = "tc"
    XDP = "xdp"

    @property
    def context(self) -> str:
        """The struct a program's one parameter points to, in C."""
        return {ProgramKind.TC: "__sk_buff", ProgramKind.XDP: "xdp_md"}[self]


@dataclass(frozen=True, slots=True)
class ProgramObject:
    """One compiled program, free of anything that belongs to a process or a kernel."""

    name: str
    instructions: bytes
    """``struct bpf_insn`` array in host byte order; constants that refer to maps are 0."""
    map_refs: tuple[tuple[int, str], ...]
    """Index of each instruction that refers to a map, and the map's name."""
    kind: ProgramKind = ProgramKind.TC

    def linked(self, fd_of: Callable[[str], int]) -> bytes:
        """The instructions with every map referred to by its file descriptor."""
        linked = bytearray(self.instructions)
        for index, name in self.map_refs:
            struct.pack_into("=i", linked, index * INSTRUCTION_BYTES + _IMMEDIATE_AT, fd_of(name))
        return bytes(linked)


def is_sound(candidate: ProgramObject) -> bool:
    """Whether sizes and references fit together: what a file on disk claims need not be so."""
    raw = candidate.instructions
    if not raw or len(raw) % INSTRUCTION_BYTES:
        return False
    for index, _ in candidate.map_refs:
        at = index * INSTRUCTION_BYTES
        if index < 0 or at + 2 * INSTRUCTION_BYTES > len(raw):
            return False
        if raw[at] != LD_IMM64 or raw[at + 1] >> 4 != PSEUDO_MAP_FD:
            return False
    return True
