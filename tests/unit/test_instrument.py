"""Rewriting programs so that they tell what they ask for: nothing else of them changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netloom.bpf.assemble import CALL, INSTRUCTION, PSEUDO_CALL, Code
from netloom.bpf.helpers import HELPERS, Treatment
from netloom.bpf.instrument import RECORDS, CallRecord, Sizes, helpers_of, instrument, is_by_chance, is_harmless
from netloom.bpf.objects import INSTRUCTION_BYTES, ProgramObject, is_sound
from netloom.datapath.layout import layout_of
from netloom.model.errors import Unsupported

SIZES = Sizes(key_bytes=20, value_bytes=64)
LOOKUP, LOAD_BYTES, CLONE, PRANDOM, UNKNOWN = 1, 26, 13, 7, 22
KERNEL_HEADER = Path("/usr/include/linux/bpf.h")


def program(*helpers: int) -> ProgramObject:
    """Calls helpers one after the other; what they are given is the verifier's business."""
    code = Code()
    code.load_map(1, "endpoints")
    for helper in helpers:
        code.call(helper)
    code.leave()
    return ProgramObject("made", code.assembled(), tuple(code.map_refs))


def instructions(made: ProgramObject) -> list[tuple[int, int, int, int]]:
    return list(INSTRUCTION.iter_unpack(made.instructions))


def test_nothing_moves_and_only_calls_worth_noting_change() -> None:
    """So no jump and no reference to a map has to be changed."""
    plain = program(LOOKUP, LOAD_BYTES, LOOKUP)
    noting = instrument(plain, 0, SIZES)
    before, after = instructions(plain), instructions(noting)[: len(instructions(plain))]
    changed = [at for at, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert changed == [2, 4]
    assert noting.map_refs[: len(plain.map_refs)] == plain.map_refs
    assert is_sound(ProgramObject("start", noting.instructions[: len(plain.instructions)], plain.map_refs))


def test_both_calls_of_one_helper_go_to_the_function_that_stands_in_for_it() -> None:
    noting = instructions(instrument(program(LOOKUP, LOOKUP), 0, SIZES))
    targets = [at + 1 + value for at, (code, registers, _, value) in enumerate(noting) if is_local(code, registers)]
    assert targets == [5, 5]


def is_local(code: int, registers: int) -> bool:
    return code == CALL and registers >> 4 == PSEUDO_CALL


def test_what_is_left_calls_no_helper_through_a_function() -> None:
    plain = program(LOAD_BYTES)
    assert instrument(plain, 0, SIZES) == plain


def test_half_of_a_constant_is_no_call() -> None:
    """The second half of a 64-bit constant may be any bytes, those of a call too."""
    constant = INSTRUCTION.pack(0x18, 1, 0, 0) + INSTRUCTION.pack(CALL, 0, 0, UNKNOWN)
    made = ProgramObject("constant", constant + program(LOOKUP).instructions, ())
    assert helpers_of(made) == {LOOKUP}


def test_a_helper_with_unknown_effects_is_refused() -> None:
    with pytest.raises(Unsupported, match=r'"made".*helper 22'):
        instrument(program(LOOKUP, UNKNOWN), 0, SIZES)


def test_a_call_of_a_kernel_function_is_refused() -> None:
    """Kind 2, BPF_PSEUDO_KFUNC_CALL: it has no number of its own."""
    made = ProgramObject("made", INSTRUCTION.pack(CALL, 2 << 4, 0, 7), ())
    with pytest.raises(Unsupported, match="kind 2"):
        helpers_of(made)


def test_what_reaches_beyond_the_packet_makes_a_program_unfit_to_be_run_plainly() -> None:
    assert (is_harmless(program(LOOKUP)), is_harmless(program(CLONE))) == (True, False)


def test_what_decides_by_chance_is_known() -> None:
    assert (is_by_chance(program(LOOKUP)), is_by_chance(program(PRANDOM))) == (False, True)


def test_a_withheld_call_is_made_nowhere() -> None:
    """Not in the program, and not in the function that stands in for it."""
    made = instrument(program(CLONE), 0, SIZES)
    calls = {value for code, registers, _, value in instructions(made) if code == CALL and not registers >> 4}
    assert CLONE not in calls


def test_a_record_has_room_for_all_of_a_call() -> None:
    """The ring refuses what is larger than itself; thousands fit."""
    assert layout_of(CallRecord).size * 512 <= RECORDS.max_entries
    assert len(instrument(program(LOOKUP), 0, SIZES).instructions) % INSTRUCTION_BYTES == 0


@pytest.mark.skipif(not KERNEL_HEADER.exists(), reason="needs linux/bpf.h (package linux-libc-dev)")
def test_numbers_and_names_of_helpers_are_the_kernels() -> None:
    """Position in the kernel's own list; entries newer than the header cannot be looked up."""
    listed = re.search(r"BPF_FUNC_MAPPER\(FN[^)]*\)(.*?)\n\n", KERNEL_HEADER.read_text(), re.DOTALL)
    assert listed is not None
    names = re.findall(r"FN\((\w+)", listed[1])
    assert {number: helper.name for number, helper in HELPERS.items()} == {n: names[n] for n in HELPERS}


def test_every_helper_that_sends_or_tells_is_withheld() -> None:
    """A list of those that would be noticed outside of the walk."""
    names = {helper.name for helper in HELPERS.values() if helper.treatment is Treatment.WITHHELD}
    assert names == {"clone_redirect", "perf_event_output", "sk_assign", "trace_printk"}
