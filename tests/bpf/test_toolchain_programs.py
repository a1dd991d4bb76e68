"""Programs: loaded, refused, run, put into slots; and the ring they report through."""

from __future__ import annotations

import asyncio
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netloom.bpf import features, ring
from netloom.bpf.compiler import Compiler
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramObject
from netloom.bpf.programs import LoadedProgram, fill_slots, load_program, load_programs
from netloom.bpf.ring import EventRing
from netloom.bpf.testrun import run
from netloom.datapath.maps import Index
from netloom.datapath.registry import CALLS, EVENTS, CallSlot
from netloom.model.errors import Invalid, KernelError, Unsupported, VerifierError
from support.leaks import MARK
from support.maps import SMALL_MAPS
from support.objects import objects_dir
from support.toolchain import stage

pytestmark = pytest.mark.bpf

FRAME = bytes(range(64))
Load = Callable[..., LoadedProgram]


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    """One cache for the module."""
    return Compiler(objects_dir(tmp_path_factory))


@pytest.fixture
def maps() -> Iterator[MapSet]:
    """The data path's maps, unpinned and empty."""
    with MapSet.ephemeral(SMALL_MAPS) as opened:
        yield opened


@pytest.fixture
def load(compiler: Compiler, maps: MapSet) -> Iterator[Load]:
    """Compiles and loads the body of a program."""
    loaded: list[LoadedProgram] = []

    def load_body(body: str, name: str = "stage") -> LoadedProgram:
        loaded.append(load_program(compiler.compile(stage(body, name=name)), maps))
        return loaded[-1]

    yield load_body
    for program in loaded:
        program.close()


def report(count: int) -> str:
    """The body of a program that reports 8 bytes ``count`` times."""
    once = "events.ringbuf_output(&word, sizeof(word), 0);"
    return f"__u64 word = skb->mark;\n#pragma unroll\nfor (int i = 0; i < {count}; i++) {{ {once} }}\nreturn 0;"


def test_the_kernel_knows_the_program_by_its_name(load: Load) -> None:
    """Cut to 15 characters, as bpftool shows it; ours stays whole."""
    program = load("return 0;", "a_program_with_a_long_name")
    assert program.name == "a_program_with_a_long_name"
    assert (program.id > 0, len(program.tag), program.verified_insns > 0) == (True, 16, True)


def test_the_same_instructions_have_the_same_tag(load: Load) -> None:
    """So that a filter can be compared with what should be there."""
    tags = [load(f"return {verdict};", f"stage{verdict}").tag for verdict in (1, 2)]
    assert load("return 1;").tag == tags[0] != tags[1]


def test_the_verifiers_words_are_kept(load: Load) -> None:
    """All of them in ``log``, the last ones in the sentence."""
    with pytest.raises(VerifierError, match="invalid access to packet") as caught:
        load("return *(__u8 *)(long)skb->data;")
    assert (caught.value.program, "R1=ctx(" in caught.value.log) == ("stage", True)


def test_a_refused_program_leaves_no_descriptor(compiler: Compiler, maps: MapSet) -> None:
    """An agent that tries again every minute must not run out of them."""
    refused = compiler.compile(stage("return *(__u8 *)(long)skb->data;"))
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with pytest.raises(VerifierError):
        load_program(refused, maps)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_several_programs_are_loaded_each_under_its_name(compiler: Compiler, maps: MapSet) -> None:
    """Whichever the verifier is done with first."""
    objects = [compiler.compile(stage(f"return {number};", name=f"stage{number}")) for number in range(5)]
    loaded = load_programs(objects, maps)
    assert list(loaded) == [item.name for item in objects]
    assert [run(program, FRAME).verdict for program in loaded.values()] == [0, 1, 2, 3, 4]
    for program in loaded.values():
        program.close()


def test_of_several_programs_the_first_that_is_refused_is_told_and_none_stays(compiler: Compiler, maps: MapSet) -> None:
    """No descriptor keeps one of them in the kernel."""
    bad = "return *(__u8 *)(long)skb->data;"
    bodies = {"good": "return 0;", "first": bad, "second": bad, "fine": "return 1;"}
    objects = [compiler.compile(stage(body, name=name)) for name, body in bodies.items()]
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with pytest.raises(VerifierError) as caught:
        load_programs(objects, maps)
    assert caught.value.program == "first"
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_a_map_that_is_not_open_is_named(compiler: Compiler) -> None:
    """With those that are."""
    program = compiler.compile(stage("__u32 zero = 0; return metrics.lookup(&zero) != NULL;"))
    with (
        MapSet.ephemeral([EVENTS]) as few,
        pytest.raises(Invalid, match=r'map "metrics", which is not open; .*: events'),
    ):
        load_program(program, few)


def test_nonsense_is_refused_by_the_kernel(maps: MapSet) -> None:
    """And told as a refusal."""
    with pytest.raises(KernelError, match='load eBPF program "noise"'):
        load_program(ProgramObject("noise", b"\xff" * 16, ()), maps)


def test_a_program_gives_verdict_and_packet(load: Load) -> None:
    """The packet as the program left it."""
    body = "__u8 byte = 0xee; bpf_skb_store_bytes(skb, 0, &byte, 1, 0); return 2;"
    result = run(load(body), FRAME)
    assert (result.verdict, result.packet) == (2, b"\xee" + FRAME[1:])


def test_a_negative_verdict_keeps_its_sign(load: Load) -> None:
    """TC_ACT_UNSPEC is -1."""
    assert run(load("return -1;"), FRAME).verdict == -1


def test_a_packet_may_grow_under_the_program(load: Load) -> None:
    """As when it turns into an ICMP error."""
    result = run(load("return bpf_skb_change_tail(skb, 1500, 0);"), FRAME)
    assert result.packet == FRAME + bytes(1500 - len(FRAME))


@pytest.mark.parametrize("field", ["mark", "gso_size", "ifindex"])
def test_a_run_can_set_what_the_kernel_would(load: Load, field: str) -> None:
    """Interface, GSO size and mark of the packet; 1 is the loopback device everywhere."""
    assert run(load(f"return skb->{field};"), FRAME, **{field: 1}).verdict == 1


def test_a_mark_set_by_the_program_comes_back(load: Load) -> None:
    """Beside the verdict."""
    assert run(load("skb->mark = 7; return 0;"), FRAME).mark == 7


def test_a_frame_too_short_for_ethernet_is_refused_by_the_kernel(load: Load) -> None:
    """No program ever sees one."""
    with pytest.raises(KernelError, match='run eBPF program "stage" on a packet of 13 bytes'):
        run(load("return 0;"), bytes(13))


def test_a_filled_slot_is_called(load: Load, maps: MapSet) -> None:
    """The caller does not come back."""
    caller, callee = load("calls.call(skb, 4); return 1;", "caller"), load("return 2;", "callee")
    fill_slots(maps, {CallSlot.ENCAP: callee})
    assert run(caller, FRAME).verdict == 2


def test_a_slot_no_longer_wanted_is_emptied(load: Load, maps: MapSet) -> None:
    """A stage whose plugin was disabled must not go on running."""
    caller, callee = load("calls.call(skb, 4); return 1;", "caller"), load("return 2;", "callee")
    fill_slots(maps, {CallSlot.ENCAP: callee})
    fill_slots(maps, {CallSlot.FORWARD: callee})
    assert run(caller, FRAME).verdict == 1
    assert {key: slot.program for key, slot in maps.of(CALLS).items().items()} == {Index(3): callee.id}


def test_a_pin_is_replaced_in_one_step(load: Load) -> None:
    """By the program pinned last; nothing else stays in the directory."""
    directory = Path(f"/sys/fs/bpf/{MARK}_programs")
    directory.mkdir()
    try:
        for verdict in (1, 2):
            load(f"return {verdict};", f"stage{verdict}").pin(directory / "stage")
        assert [path.name for path in directory.iterdir()] == ["stage"]
    finally:
        shutil.rmtree(directory)


def test_a_pin_that_fails_leaves_the_old_one(load: Load) -> None:
    """At no moment is there none."""
    directory = Path(f"/sys/fs/bpf/{MARK}_programs")
    directory.mkdir()
    try:
        program = load("return 0;")
        program.pin(directory / "stage")
        program.close()
        with pytest.raises(KernelError, match="pin eBPF program"):
            program.pin(directory / "stage")
        assert [path.name for path in directory.iterdir()] == ["stage"]
    finally:
        shutil.rmtree(directory)


def test_a_closed_program_cannot_be_run(load: Load) -> None:
    """And may be closed again."""
    program = load("return 0;")
    program.close()
    program.close()
    with pytest.raises(KernelError, match="closed already"):
        run(program, FRAME)


def test_events_come_in_order_and_once(load: Load, maps: MapSet) -> None:
    """Each is taken from the ring by reading it."""
    program, events = load(report(1)), EventRing(maps.of(EVENTS))
    for mark in (1, 2, 3):
        run(program, FRAME, mark=mark)
    assert [int.from_bytes(raw, "little") for raw in events.consume()] == [1, 2, 3]
    assert events.consume() == []
    events.close()


def test_waiting_events_make_the_ring_readable(load: Load, maps: MapSet) -> None:
    """For as long as any is left."""
    program, events = load(report(1)), EventRing(maps.of(EVENTS))
    assert select.select([events.fd], [], [], 0)[0] == []
    run(program, FRAME)
    assert select.select([events.fd], [], [], 0)[0] == [events.fd]
    events.consume()
    assert select.select([events.fd], [], [], 0)[0] == []
    events.close()


async def test_an_event_loop_is_woken_by_events(load: Load, maps: MapSet) -> None:
    """As the agent waits for them."""
    program, events, woken = load(report(1)), EventRing(maps.of(EVENTS)), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(events.fd, woken.set)
    run(program, FRAME)
    await asyncio.wait_for(woken.wait(), 10)
    loop.remove_reader(events.fd)
    events.close()


def test_a_flood_is_taken_in_bounded_portions(load: Load, maps: MapSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost between two, and what is left keeps the ring readable."""
    monkeypatch.setattr(ring, "BATCH_EVENTS", 10)
    program, events = load(report(25)), EventRing(maps.of(EVENTS))
    run(program, FRAME)
    assert [len(events.consume()), len(events.consume())] == [10, 10]
    assert select.select([events.fd], [], [], 0)[0] == [events.fd]
    assert [len(events.consume()), len(events.consume())] == [5, 0]
    events.close()


def test_unread_events_wait_for_the_next_reader(load: Load, maps: MapSet) -> None:
    """An agent that restarts reads what happened meanwhile."""
    program = load(report(1))
    EventRing(maps.of(EVENTS)).close()
    run(program, FRAME, mark=9)
    events = EventRing(maps.of(EVENTS))
    assert [int.from_bytes(raw, "little") for raw in events.consume()] == [9]
    events.close()


def test_a_closed_ring_gives_nothing(maps: MapSet) -> None:
    """And may be closed again."""
    events = EventRing(maps.of(EVENTS))
    events.close()
    events.close()
    assert (events.fd, events.consume()) == (-1, [])


def test_only_a_ring_can_be_read_as_one(maps: MapSet) -> None:
    """Another map is named."""
    with pytest.raises(KernelError, match='event ring "metrics"'):
        EventRing(maps["metrics"])


def test_this_machine_has_what_the_data_path_needs() -> None:
    """Otherwise none of the tests beside this one means anything."""
    features.probe()


def test_a_missing_capability_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """CAP_SYS_ADMIN stands for CAP_BPF, but nothing stands for CAP_NET_ADMIN."""
    monkeypatch.setattr(features, "effective_capabilities", lambda _: 1 << 21)
    with pytest.raises(Unsupported, match="CAP_NET_ADMIN"):
        features.probe()


def test_an_old_kernel_is_named_with_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is asked, its version is only told; helper 9999 exists nowhere."""
    monkeypatch.setattr(features, "_HELPERS", (features._Helper("bpf_from_the_future", 9999, "99.0"),))
    with pytest.raises(
        Unsupported, match=r"bpf_from_the_future for tc is not available: needs Linux 99\.0, found Linux"
    ):
        features.probe()


def test_a_bpf_file_system_that_is_there_is_used() -> None:
    """Nothing is mounted over it; the directory is made for root alone."""
    directory = Path(f"/sys/fs/bpf/{MARK}_mount")
    before = Path("/proc/self/mountinfo").read_text()
    try:
        features.mount_bpffs(directory)
        assert (directory.is_dir(), Path("/proc/self/mountinfo").read_text()) == (True, before)
    finally:
        directory.rmdir()
