"""The programs as a whole: accepted by the verifier within bounds, of the registry's layouts, open to a plugin."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netloom.bpf.budgets import VERIFIED_INSTRUCTIONS
from netloom.bpf.compiler import PYTHON, Compiler
from netloom.bpf.core_programs import core_programs, hermetic_dir, read_headers
from netloom.bpf.programs import LoadedProgram, load_program
from netloom.bpf.source import amalgamate
from netloom.bpf.testrun import run
from netloom.datapath.layout import layout_of
from netloom.datapath.maps import Index, MapKind, Slot
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import CALLS, MAPS, CallSlot
from netloom.plugins.contract import BpfProgram
from support import packets
from support.pipeline import ALICE, BOB, LOOPBACK, Pipeline, to

pytestmark = pytest.mark.bpf

SHOT, REDIRECT = 2, 7
FROM_CONTAINER = next(program for program in core_programs() if program.name == "from_container")


def test_every_program_costs_the_verifier_no_more_than_expected(
    loaded: Pipeline, record_property: Callable[[str, object], None]
) -> None:
    walked = {name: program.verified_insns for name, program in loaded.programs.items()}
    for name, count in walked.items():
        record_property(f"verified_instructions.{name}", count)
    assert {name for name, count in walked.items() if count > VERIFIED_INSTRUCTIONS[name]} == set()
    assert walked.keys() | {"prefilter"} == VERIFIED_INSTRUCTIONS.keys(), "the prefilter is measured beside its tests"


LAYOUTS_IN_COMPILER = """
import json, os, sys
request = json.load(sys.stdin)
os.environ["BCC_KERNEL_SOURCE"] = request["hermetic"]
from bcc import BPF, lib
module = BPF(text=request["text"], cflags=["-DPAGE_SIZE=4096"])
def placed(describe, table):
    kind = BPF._decode_table_type(json.loads(describe(module.module, table.encode())))
    names = [field[0] for field in getattr(kind, "_fields_", ())]
    return {name: [getattr(kind, name).offset, getattr(kind, name).size] for name in names if "pad" not in name}
describe = {"key": lib.bpf_table_key_desc, "value": lib.bpf_table_leaf_desc}
json.dump({name: {part: placed(how, name) for part, how in describe.items()} for name in request["maps"]}, sys.stdout)
"""


def test_the_compilers_structs_are_the_registrys_field_by_field() -> None:
    """What C reads is what Python writes: offset and size of every field of every key and value."""
    tables = [spec for spec in MAPS if spec.kind not in (MapKind.RINGBUF, MapKind.PROG_ARRAY)]
    request = {
        "hermetic": str(hermetic_dir()),
        "text": amalgamate(FROM_CONTAINER, read_headers()),
        "maps": [spec.name for spec in tables],
    }
    done = subprocess.run(
        (PYTHON, "-I", "-c", LAYOUTS_IN_COMPILER),
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )

    def placed(kind: type) -> dict[str, list[int]]:
        members = layout_of(kind).members
        return {member.name: [member.offset, member.ctype.size] for member in members}

    # Arrays are declared with a plain number as their key, which has no fields.
    arrays = (MapKind.ARRAY, MapKind.PERCPU_ARRAY, MapKind.SOCKMAP)
    keys = {spec.name: {} if spec.kind in arrays else placed(spec.key) for spec in tables}
    assert json.loads(done.stdout) == {
        spec.name: {"key": keys[spec.name], "value": placed(spec.value)} for spec in tables
    }


DEFECTIVE = BpfProgram(
    name="undecided",
    file="undecided.bpf.c",
    target=CallSlot.CUSTOM_FROM_CONTAINER,
    source="""
#include "lib/report.h"
#include "lib/stage.h"

int undecided(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, take_over(&flow));
}
""",
)
"""A plugin's stage that forgets to decide."""
CUSTOM = BpfProgram(
    name="no_discard",
    file="no_discard.bpf.c",
    target=CallSlot.CUSTOM_FROM_CONTAINER,
    source="""
#include "lib/packet.h"
#include "lib/report.h"
#include "lib/stage.h"

#define PORT_DISCARD 9

static __always_inline int judge(struct __sk_buff *skb, struct flow *flow)
{
	struct packet packet;
	__be16 ports[2];
	int rc = take_over(flow);

	if (!rc)
		rc = parse_packet(skb, flow, &packet);
	if (rc)
		return rc;
	if (packet.protocol != PROTOCOL_UDP || !copy_from(skb, packet.l4_offset, ports, sizeof(ports)))
		return next_stage(SLOT_FORWARD);
	return ntohs(ports[1]) == PORT_DISCARD ? drop(flow, DROP_DENIED_BY_PLUGIN) : next_stage(SLOT_FORWARD);
}

int no_discard(struct __sk_buff *skb)
{
	struct flow flow = {};

	return finish(skb, &flow, judge(skb, &flow));
}
""",
)
"""A plugin's stage: nothing may be sent to the discard service."""


@pytest.fixture
def claimed(pipeline: Pipeline, cache_dir: Path) -> Iterator[LoadedProgram]:
    """from_container as it is while a plugin claims the custom slot; the slot holds the plugin's program."""
    compiler = Compiler(cache_dir)
    defines = {"CUSTOM_FROM_CONTAINER": 1}
    with (
        load_program(compiler.compile(FROM_CONTAINER, defines), pipeline.maps) as entry,
        load_program(compiler.compile(CUSTOM, defines), pipeline.maps) as custom,
    ):
        pipeline.maps.of(CALLS).put(Index(CallSlot.CUSTOM_FROM_CONTAINER), Slot(custom.fd))
        yield entry


def test_a_plugins_stage_passes_packets_on(pipeline: Pipeline, claimed: LoadedProgram) -> None:
    """What it lets through goes as if it were not there."""
    sent = to(BOB.ipv4)
    straight = run(pipeline.programs["from_container"], sent, ifindex=LOOPBACK)
    assert run(claimed, sent, ifindex=LOOPBACK).packet == straight.packet


def test_a_plugins_stage_drops_in_the_workloads_name(pipeline: Pipeline, claimed: LoadedProgram) -> None:
    assert run(claimed, to(BOB.ipv4, packets.udp(destination_port=9)), ifindex=LOOPBACK).verdict == SHOT
    header = pipeline.events()[0].header
    assert (header.code, header.source_identity, header.endpoint_id) == (
        DropReason.DENIED_BY_PLUGIN,
        ALICE.identity,
        ALICE.id,
    )


def test_a_plugins_stage_sees_only_checked_senders(pipeline: Pipeline, claimed: LoadedProgram) -> None:
    forged = to(BOB.ipv4)
    forged = forged[:6] + BOB.mac + forged[12:]
    assert run(claimed, forged, ifindex=LOOPBACK).verdict == SHOT
    assert pipeline.events()[0].header.code == DropReason.INVALID_SOURCE_MAC


@pytest.mark.parametrize("slot", [CallSlot.CUSTOM_FROM_CONTAINER, CallSlot.FORWARD], ids=lambda slot: slot.name)
def test_a_claimed_slot_that_is_empty_drops(pipeline: Pipeline, claimed: LoadedProgram, slot: CallSlot) -> None:
    pipeline.maps.of(CALLS).delete(Index(slot))
    assert run(claimed, to(BOB.ipv4), ifindex=LOOPBACK).verdict == SHOT
    assert pipeline.events()[0].header.code == DropReason.MISSED_TAIL_CALL


def test_what_a_plugins_stage_leaves_undecided_is_dropped(
    pipeline: Pipeline, claimed: LoadedProgram, cache_dir: Path
) -> None:
    """The stack behind the hook would route what nobody has checked."""
    with load_program(Compiler(cache_dir).compile(DEFECTIVE), pipeline.maps) as defective:
        pipeline.maps.of(CALLS).put(Index(CallSlot.CUSTOM_FROM_CONTAINER), Slot(defective.fd))
        assert run(claimed, to(BOB.ipv4), ifindex=LOOPBACK).verdict == SHOT
    assert pipeline.events()[0].header.code == DropReason.NO_VERDICT
