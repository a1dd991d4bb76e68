"""A little assembler: eBPF instructions with jumps to labels. Opcodes are those of linux/bpf.h."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from netloom.bpf.objects import LD_IMM64, PSEUDO_MAP_FD

INSTRUCTION = struct.Struct("=BBhi")
"""``struct bpf_insn``: opcode, source register << 4 | target register, offset, immediate (little-endian bit fields)."""
CALL = 0x85
"""BPF_JMP | BPF_CALL; the source register says of what."""
PSEUDO_CALL = 1
"""BPF_PSEUDO_CALL: of a subprogram, by its distance in instructions."""
PSEUDO_MAP_VALUE = 2
"""BPF_PSEUDO_MAP_VALUE: LD_IMM64 gives the address of the first value of an array."""
FRAME = 10
"""R10, the end of the stack frame."""

_MOV_REGISTER, _MOV_NUMBER, _ADD_NUMBER = 0xBF, 0xB7, 0x07
_LOAD_64, _LOAD_32, _STORE_64, _STORE_32, _STORE_NUMBER_32 = 0x79, 0x61, 0x7B, 0x63, 0x62
_JUMP, _JUMP_EQUAL, _JUMP_NOT_ABOVE, _AND_NUMBER = 0x05, 0x15, 0xB5, 0x57
_EXIT = 0x95


@dataclass(slots=True)
class Code:
    """Instructions in the making. Registers are numbers; memory operands are a register and an offset in bytes."""

    map_refs: list[tuple[int, str]] = field(default_factory=list)
    _raw: list[tuple[int, int, int, int]] = field(default_factory=list)
    _jumps: list[tuple[int, str]] = field(default_factory=list)
    _labels: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._raw)

    def label(self, name: str) -> None:
        """The next instruction is where jumps to ``name`` go."""
        self._labels[name] = len(self._raw)

    def copy(self, to: int, source: int) -> None:
        """Register to register."""
        self._add(_MOV_REGISTER, to, source)

    def number(self, to: int, value: int) -> None:
        """A signed 32-bit number."""
        self._add(_MOV_NUMBER, to, 0, 0, value)

    def add(self, to: int, value: int) -> None:
        """Add a number."""
        self._add(_ADD_NUMBER, to, 0, 0, value)

    def keep_bits(self, to: int, mask: int) -> None:
        """Bitwise and."""
        self._add(_AND_NUMBER, to, 0, 0, mask)

    def load(self, to: int, base: int, offset: int) -> None:
        """64 bits from memory."""
        self._add(_LOAD_64, to, base, offset)

    def load_32(self, to: int, base: int, offset: int) -> None:
        """32 bits from memory, zero-extended."""
        self._add(_LOAD_32, to, base, offset)

    def store(self, base: int, offset: int, source: int) -> None:
        """64 bits to memory."""
        self._add(_STORE_64, base, source, offset)

    def store_32(self, base: int, offset: int, source: int) -> None:
        """The lower 32 bits of a register to memory."""
        self._add(_STORE_32, base, source, offset)

    def store_number_32(self, base: int, offset: int, value: int) -> None:
        """A 32-bit number to memory."""
        self._add(_STORE_NUMBER_32, base, 0, offset, value)

    def load_map(self, to: int, name: str) -> None:
        """A map by its name."""
        self._refer(to, name, PSEUDO_MAP_FD)

    def load_map_value(self, to: int, name: str) -> None:
        """The address of the first value of an array map."""
        self._refer(to, name, PSEUDO_MAP_VALUE)

    def call(self, helper: int) -> None:
        """Call a helper."""
        self._add(CALL, 0, 0, 0, helper)

    def go(self, label: str) -> None:
        """Jump."""
        self._jump(_JUMP, 0, 0, label)

    def go_if(self, register: int, value: int, label: str) -> None:
        """Jump when the register equals the number."""
        self._jump(_JUMP_EQUAL, register, value, label)

    def go_unless_above(self, register: int, value: int, label: str) -> None:
        """Jump when the register, unsigned, is not greater than the number."""
        self._jump(_JUMP_NOT_ABOVE, register, value, label)

    def leave(self) -> None:
        """End the function; R0 is its result."""
        self._add(_EXIT)

    def assembled(self) -> bytes:
        """The instructions. Raises KeyError for a jump to a label that is nowhere."""
        raw = [list(item) for item in self._raw]
        for at, name in self._jumps:
            raw[at][2] = self._labels[name] - at - 1
        return b"".join(INSTRUCTION.pack(*item) for item in raw)

    def _add(self, code: int, to: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> None:
        self._raw.append((code, source << 4 | to, offset, value))

    def _jump(self, code: int, register: int, value: int, label: str) -> None:
        self._jumps.append((len(self._raw), label))
        self._add(code, register, 0, 0, value)

    def _refer(self, to: int, name: str, kind: int) -> None:
        self.map_refs.append((len(self._raw), name))
        self._add(LD_IMM64, to, kind)
        self._add(0)
