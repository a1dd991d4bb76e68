"""The stage that docs/plugins.md teaches does in the kernel what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import core_programs
from netloom.bpf.programs import LoadedProgram, load_program
from netloom.bpf.testrun import run
from netloom.datapath.maps import Index, Slot
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import CALLS, CallSlot
from support import packets
from support.page import page_program
from support.pipeline import ALICE, BOB, LOOPBACK, Pipeline, to

pytestmark = pytest.mark.bpf
DEFINES = {"CUSTOM_FROM_CONTAINER": 1}
SHOT = 2


@pytest.fixture
def entry(pipeline: Pipeline, cache_dir: Path) -> Iterator[LoadedProgram]:
    """from_container, with the page's program in the custom slot."""
    from_container = next(program for program in core_programs() if program.name == "from_container")
    compiler = Compiler(cache_dir)
    with (
        load_program(compiler.compile(from_container, DEFINES), pipeline.maps) as loaded,
        load_program(compiler.compile(page_program(), DEFINES), pipeline.maps) as stage,
    ):
        pipeline.maps.of(CALLS).put(Index(CallSlot.CUSTOM_FROM_CONTAINER), Slot(stage.fd))
        yield loaded


def tcp_to(port: int, version: int) -> bytes:
    destination = BOB.ipv4 if version == 4 else BOB.ipv6
    return to(destination, packets.tcp(destination_port=port), protocol=packets.TCP)


@pytest.mark.parametrize("version", [4, 6])
def test_mail_is_dropped_and_reported_in_the_senders_name(
    pipeline: Pipeline, entry: LoadedProgram, version: int
) -> None:
    assert run(entry, tcp_to(25, version), ifindex=LOOPBACK).verdict == SHOT
    (event,) = pipeline.events()
    assert (event.header.code, event.header.endpoint_id) == (DropReason.DENIED_BY_PLUGIN, ALICE.id)


@pytest.mark.parametrize("version", [4, 6])
def test_everything_else_goes_on_as_without_the_plugin(pipeline: Pipeline, entry: LoadedProgram, version: int) -> None:
    sent = tcp_to(80, version)
    expected = run(pipeline.programs["from_container"], sent, ifindex=LOOPBACK)
    found = run(entry, sent, ifindex=LOOPBACK)
    assert (found.verdict, found.packet) == (expected.verdict, expected.packet)
