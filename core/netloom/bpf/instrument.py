"""Programs that write down what they ask of the kernel: a rewriting of instructions, for packet walks.

Every call of a helper worth noting becomes a call of a small function behind the program, which makes the call and
writes a record of it. Both calls are one instruction, so nothing of the program moves and no jump changes; registers
R6 to R9 and the stack survive a function as they survive a helper. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from netloom.bpf.assemble import CALL, FRAME, INSTRUCTION, PSEUDO_CALL, Code
from netloom.bpf.helpers import (
    GET_TUNNEL_KEY,
    HELPERS,
    PROBE_READ_KERNEL,
    RINGBUF_RESERVE,
    RINGBUF_SUBMIT,
    Helper,
    Memory,
    Treatment,
)
from netloom.bpf.objects import INSTRUCTION_BYTES, LD_IMM64, ProgramObject
from netloom.datapath.layout import U32, U64, CType, layout_of
from netloom.datapath.maps import Index, MapKind, MapSpec
from netloom.model.errors import Unsupported

MEMORY_BYTES = 128
"""How much of a key, value or buffer one record holds."""
TUNNEL_KEY_BYTES = 44
"""``struct bpf_tunnel_key`` with all its fields (linux/bpf.h)."""

Memory128 = Annotated[bytes, CType("__u8 {}[128]", "128s", 8)]
TunnelKeyBytes = Annotated[bytes, CType("__u8 {}[44]", "44s", 4)]


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call of a helper."""

    program: U32
    """Number of the program in its twins."""
    helper: U32
    argument1: U64
    argument2: U64
    argument3: U64
    argument4: U64
    argument5: U64
    result: U64
    before_failed: U64
    """0 when ``before`` could be read."""
    after_failed: U64
    before: Memory128
    """What an argument pointed to before the call."""
    after: Memory128
    """What an argument, or the result, pointed to after it; what was written to a map."""


@dataclass(frozen=True, slots=True)
class TunnelInput:
    """The tunnel metadata of the walk's packet, which no test run can give it."""

    present: U32
    is_ipv6: U32
    key: TunnelKeyBytes


RECORDS = MapSpec("walk_records", MapKind.RINGBUF, Index, CallRecord, 1 << 18, "calls of a walk")
TUNNEL_INPUT = MapSpec("walk_tunnel", MapKind.ARRAY, Index, TunnelInput, 1, "tunnel metadata of a walk's packet")

_RECORD = layout_of(CallRecord)
_AT = {member.name: member.offset for member in _RECORD.members}
_TUNNEL_AT = {member.name: member.offset for member in layout_of(TunnelInput).members}
_SAVED = (6, 7, 8, 9)
"""Registers that keep the first four arguments across calls."""
_RECORD_AT, _ARGUMENT5_AT, _RESULT_AT = -8, -16, -24
"""The function's stack: no more, since it shares 512 bytes with the program."""
_EPROTO = 71
_TUNINFO_IPV6 = 1
"""BPF_F_TUNINFO_IPV6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is read of keys and values: the largest of the maps a walk uses."""

    key_bytes: int
    value_bytes: int


def helpers_of(program: ProgramObject) -> frozenset[int]:
    """Numbers of the helpers a program calls. Raises Unsupported for a kind of call that is no helper's."""
    found = set()
    for _, kind, number in _calls(program):
        if kind == 0:
            found.add(number)
        elif kind != PSEUDO_CALL:
            raise Unsupported(
                f'walking eBPF program "{program.name}"', needs="calls of helpers alone", found=f"a call of kind {kind}"
            )
    return frozenset(found)


def is_harmless(program: ProgramObject) -> bool:
    """Whether the program can be run unchanged on a packet nobody sent. Raises Unsupported as :func:`instrument`."""
    return all(_helper(program, number).treatment is not Treatment.WITHHELD for number in helpers_of(program))


def is_by_chance(program: ProgramObject) -> bool:
    """Whether two runs of the program on one packet may differ. Raises Unsupported as :func:`instrument`."""
    return any(_helper(program, number).by_chance for number in helpers_of(program))


def instrument(program: ProgramObject, number: int, sizes: Sizes) -> ProgramObject:
    """The same program, writing a :class:`CallRecord` with ``number`` for each call; reads RECORDS and TUNNEL_INPUT.

    Raises Unsupported when it calls a helper whose effects are not known.
    """
    wanted = [_helper(program, item) for item in sorted(helpers_of(program))]
    noted = [helper for helper in wanted if helper.treatment is not Treatment.LEFT]
    raw = bytearray(program.instructions)
    refs = list(program.map_refs)
    starts: dict[int, int] = {}
    for helper in noted:
        code = _noting(helper, number, sizes)
        start = len(raw) // INSTRUCTION_BYTES
        starts[helper.number] = start
        refs += [(start + at, name) for at, name in code.map_refs]
        raw += code.assembled()
    for at, kind, helper_number in _calls(program):
        if kind == 0 and helper_number in starts:
            call = (CALL, PSEUDO_CALL << 4, 0, starts[helper_number] - at - 1)
            INSTRUCTION.pack_into(raw, at * INSTRUCTION_BYTES, *call)
    return ProgramObject(program.name, bytes(raw), tuple(refs))


def _helper(program: ProgramObject, number: int) -> Helper:
    helper = HELPERS.get(number)
    if helper is None:
        raise Unsupported(
            f'walking eBPF program "{program.name}"',
            needs="helpers whose effects are known to stay within the packet",
            found=f"a call of helper {number}",
        )
    return helper


def _calls(program: ProgramObject) -> list[tuple[int, int, int]]:
    """Index, kind and number of every call; the second halves of 64-bit constants are no instructions."""
    found = []
    second_half = False
    for at, (code, registers, _, value) in enumerate(INSTRUCTION.iter_unpack(program.instructions)):
        if not second_half and code == CALL:
            found.append((at, registers >> 4, value))
        second_half = not second_half and code == LD_IMM64
    return found


def _noting(helper: Helper, number: int, sizes: Sizes) -> Code:
    """The function that stands in for a helper: same arguments, same result.

    There are two ways through it, with a record and without room for one. They never meet again: verifiers before
    Linux 6.5 forget that the record is there as soon as it is asked about.
    """
    code = Code()
    _save_arguments(code, helper)
    _begin_record(code, helper, number)
    if helper.memory in (Memory.KEY, Memory.KEY_AND_FOUND, Memory.KEY_AND_GIVEN):
        _read(code, into="before", source=7, size=sizes.key_bytes)
        if helper.memory is Memory.KEY_AND_GIVEN:
            _read(code, into="after", source=8, size=sizes.value_bytes)
    elif helper.memory is not Memory.NONE:
        _read_buffer(code, helper, "before")
    _make_call(code, helper, "noted")
    code.store(FRAME, _RESULT_AT, 0)
    code.load(1, FRAME, _RECORD_AT)
    code.store(1, _AT["result"], 0)
    if helper.memory is Memory.KEY_AND_FOUND:
        _read(code, into="after", source=0, size=sizes.value_bytes)
    elif helper.memory in (Memory.BUFFER_2, Memory.BUFFER_3):
        _read_buffer(code, helper, "after")
    code.load(1, FRAME, _RECORD_AT)
    code.number(2, 0)
    code.call(RINGBUF_SUBMIT)
    code.load(0, FRAME, _RESULT_AT)
    code.leave()
    code.label("no room")
    _make_call(code, helper, "unnoted")
    code.leave()
    return code


def _save_arguments(code: Code, helper: Helper) -> None:
    for position in range(min(helper.arguments, len(_SAVED))):
        code.copy(_SAVED[position], position + 1)
    if helper.arguments > len(_SAVED):
        code.store(FRAME, _ARGUMENT5_AT, 5)


def _begin_record(code: Code, helper: Helper, number: int) -> None:
    """Room for a record with its first fields; without room the call is made all the same."""
    code.load_map(1, RECORDS.name)
    code.number(2, _RECORD.size)
    code.number(3, 0)
    code.call(RINGBUF_RESERVE)
    code.store(FRAME, _RECORD_AT, 0)
    code.go_if(0, 0, "no room")
    code.store_number_32(0, _AT["program"], number)
    code.store_number_32(0, _AT["helper"], helper.number)
    code.number(1, 0)
    for name in ("argument5", "before_failed", "after_failed"):
        code.store(0, _AT[name], 1)
    for position in range(len(_SAVED)):
        given = position < helper.arguments
        code.store(0, _AT[f"argument{position + 1}"], _SAVED[position] if given else 1)
    if helper.arguments > len(_SAVED):
        code.load(1, FRAME, _ARGUMENT5_AT)
        code.store(0, _AT["argument5"], 1)


def _read(code: Code, *, into: str, source: int, size: int) -> None:
    """Copy memory into the record; a pointer that cannot be read leaves a mark and zeroes."""
    code.copy(3, source)
    code.number(2, size)
    _probe(code, into)


def _read_buffer(code: Code, helper: Helper, into: str) -> None:
    pointer, size = (7, 8) if helper.memory is Memory.BUFFER_2 else (8, 9)
    bounded = f"{into}_bounded"
    code.copy(3, pointer)
    code.copy(2, size)
    code.go_unless_above(2, MEMORY_BYTES, bounded)
    code.number(2, MEMORY_BYTES)
    code.label(bounded)
    _probe(code, into)


def _probe(code: Code, into: str) -> None:
    code.load(1, FRAME, _RECORD_AT)
    code.add(1, _AT[into])
    code.call(PROBE_READ_KERNEL)
    code.load(1, FRAME, _RECORD_AT)
    code.store(1, _AT[f"{into}_failed"], 0)


def _make_call(code: Code, helper: Helper, way: str) -> None:
    """``way`` keeps the labels of the two ways apart."""
    if helper.treatment is Treatment.WITHHELD:
        code.number(0, 0)
        return
    if helper.number == GET_TUNNEL_KEY:
        _give_tunnel_key(code, way)
    for position in range(min(helper.arguments, len(_SAVED))):
        code.copy(position + 1, _SAVED[position])
    if helper.arguments > len(_SAVED):
        code.load(5, FRAME, _ARGUMENT5_AT)
    code.call(helper.number)
    code.label(f"{way}: made")


def _give_tunnel_key(code: Code, way: str) -> None:
    """The walk's own tunnel metadata, if it has any, as the helper would give a device's; EPROTO for another family."""
    code.load_map_value(1, TUNNEL_INPUT.name)
    code.load_32(2, 1, _TUNNEL_AT["present"])
    code.go_if(2, 0, f"{way}: real")
    code.load_32(2, 1, _TUNNEL_AT["is_ipv6"])
    code.copy(0, 9)
    code.keep_bits(0, _TUNINFO_IPV6)
    code.go_if(2, 0, f"{way}: ipv4")
    code.go_if(0, _TUNINFO_IPV6, f"{way}: give")
    code.go(f"{way}: refuse")
    code.label(f"{way}: ipv4")
    code.go_if(0, 0, f"{way}: give")
    code.label(f"{way}: refuse")
    code.number(0, -_EPROTO)
    code.go(f"{way}: made")
    code.label(f"{way}: give")
    code.copy(3, 1)
    code.add(3, _TUNNEL_AT["key"])
    code.copy(1, 7)
    code.copy(2, 8)
    code.call(PROBE_READ_KERNEL)
    code.go(f"{way}: made")
    code.label(f"{way}: real")
