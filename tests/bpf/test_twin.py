"""Twins do what the programs do, tell what they asked for, and leave everything as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from netloom.agent.walk.calls import pack_tunnel_key
from netloom.bpf import twin as twins_module
from netloom.bpf.assemble import FRAME, Code
from netloom.bpf.compiler import Compiler
from netloom.bpf.instrument import RECORDS, TunnelInput
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramObject
from netloom.bpf.shadows import written_maps
from netloom.bpf.twin import Arrival, Twins
from netloom.datapath import registry
from netloom.datapath.layout import decode
from netloom.datapath.maps import Counter, Index, MapKind, MapSpec
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import CallSlot
from netloom.model.errors import Unavailable, Unsupported
from support import packets
from support.emulated import EMULATED
from support.page import page_program
from support.pipeline import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    LOOPBACK,
    SLOTS,
    UNDERLAY,
    WORLD,
    Pipeline,
    sent_by,
    to,
)
from support.walking import OBJECTS, WALKS, arriving, reason_of

pytestmark = [pytest.mark.bpf, pytest.mark.skipif(not WALKS, reason="the kernel takes no programs of walks")]

SHOT, REDIRECT = 2, 7
COUNTS = MapSpec("counts", MapKind.HASH, Index, Counter, 8, "a map that programs write")
CLONE_REDIRECT, MAP_LOOKUP, MAP_UPDATE, PRANDOM, PERF_EVENT_READ = 13, 1, 2, 7, 22

SENT = {
    "same node": to(BOB.ipv4),
    "same node, IPv6": to(BOB.ipv6),
    "another node": to(CAROL.ipv4),
    "another node, IPv6": to(CAROL.ipv6),
    "another node, identity unknown": to(DAVE.ipv4),
    "outside": to(WORLD[0]),
    "nobody": to(ip_address("10.244.1.99")),
    "hop limit": to(CAROL.ipv4, ttl=1),
    "hop limit, IPv6": to(CAROL.ipv6, ttl=1),
    "too big": to(CAROL.ipv4, packets.udp(bytes(2000))),
    "ARP": sent_by(ALICE, packets.arp(sender=ALICE.ipv4, sender_mac=ALICE.mac, target=BOB.ipv4), packets.ARP),
    "neighbour discovery": sent_by(ALICE, packets.solicitation(source=ALICE.ipv6, target=BOB.ipv6, mac=ALICE.mac)),
    "cut short": to(BOB.ipv4)[:40],
}

FRAMES = {name: SENT[name] for name in ("same node", "another node, IPv6", "hop limit")} if EMULATED else SENT
"""A few, where each costs seconds."""


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The twins are the module's."""


@pytest.mark.parametrize("program", [item.name for item in OBJECTS])
def test_a_twin_has_the_tag_of_its_program(pipeline: Pipeline, twins: Twins, program: str) -> None:
    """The kernel hashes instructions without the descriptors of maps: this is the proof that both are the same."""
    assert twins.tag(program) == pipeline.programs[program].tag


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_twins_do_what_the_program_does(pipeline: Pipeline, twins: Twins, frame: bytes) -> None:
    """Verdict, packet and the reason of a drop."""
    found = twins.run("from_container", arriving(frame))
    real = pipeline.run("from_container", frame)
    assert (found.verdict, found.frame, reason_of(found)) == (real.verdict, real.packet, real.reason)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_walk_changes_no_map_and_writes_no_event(pipeline: Pipeline, twins: Twins, frame: bytes) -> None:
    """Every byte of every map, the counters among them."""
    before = contents(pipeline.maps)
    twins.run("from_container", arriving(frame))
    assert contents(pipeline.maps) == before
    assert pipeline.events() == ()


def test_a_stage_that_is_missing_in_the_data_path_is_missing_for_twins(twins: Twins) -> None:
    """And is there again when it is."""
    far = arriving(to(CAROL.ipv4))
    twins.join({slot: name for slot, name in SLOTS.items() if slot is not CallSlot.ENCAP})
    missed = reason_of(twins.run("from_container", far))
    twins.join(SLOTS)
    assert (missed, reason_of(twins.run("from_container", far))) == (DropReason.MISSED_TAIL_CALL, None)


def test_twins_read_what_the_data_path_reads_about_its_node(pipeline: Pipeline, twins: Twins) -> None:
    """The live table, not one as it was when the twins were made."""
    config, near = pipeline.maps.of(registry.NODE_CONFIG), arriving(to(BOB.ipv4))
    held = dict(config.raw_items())
    for key, value in held.items():
        config.put_raw(key, bytes(len(value)))
    found, real = reason_of(twins.run("from_container", near)), pipeline.run("from_container", near.frame).reason
    for key, value in held.items():
        config.put_raw(key, value)
    assert found == real == DropReason.NOT_READY


def contents(maps: MapSet) -> dict[str, dict[bytes, bytes]]:
    readable = (item for item in maps.values() if item.spec.kind not in (MapKind.RINGBUF, MapKind.PROG_ARRAY))
    return {item.spec.name: dict(item.raw_items()) for item in readable}


def test_the_verifier_tells_which_maps_programs_write(objects: tuple[ProgramObject, ...]) -> None:
    """Nobody declares it: a program that could write to a read-only map is not loaded."""
    specs = {**{spec.name: spec for spec in registry.MAPS}, **{m.name: m for item in OBJECTS for m in item.maps}}
    written = written_maps(objects, specs.values())
    agents = {"endpoints", "devices", "ipcache", "tunnels", "peers", "node_config"}
    assert written >= {"metrics", "handoff", "events", "calls"}
    assert written.isdisjoint(agents)


def test_a_walk_tells_what_was_looked_up_and_found(twins: Twins) -> None:
    """Key and value of the very lookup the program makes."""
    found = twins.run("from_container", arriving(to(CAROL.ipv4)))
    (lookup,) = [call for call in found.calls if call.map == "ipcache"]
    spec = registry.IPCACHE
    assert str(decode(spec.key, lookup.before).prefix) == f"{CAROL.ipv4}/32"
    assert decode(spec.value, lookup.after) == registry.IpcacheInfo(CAROL.identity, 0, UNDERLAY)


def test_a_lookup_that_finds_nothing_says_so(twins: Twins) -> None:
    found = twins.run("from_container", arriving(to(WORLD[0])))
    assert [call.result for call in found.calls if call.map == "tunnels"] == [0]


def test_stages_are_told_in_the_order_in_which_they_run(twins: Twins) -> None:
    """A tail call is seen by who makes the next call."""
    found = twins.run("from_container", arriving(to(CAROL.ipv4, ttl=1)))
    assert list(dict.fromkeys(call.program for call in found.calls)) == ["from_container", "icmp_error"]


@pytest.mark.parametrize(("remote", "six"), [(UNDERLAY, 0), (ip_address("fd00:77::12"), 1)], ids=["IPv4", "IPv6"])
def test_tunnel_metadata_that_no_test_run_has_is_given(pipeline: Pipeline, twins: Twins, remote: Any, six: int) -> None:
    """from_overlay believes a node's address and identity as the tunnel device would tell them."""
    pipeline.maps.of(registry.PEERS).put(registry.PeerKey(remote), registry.PeerInfo(6))
    inner = packets.ip(packets.udp(), source=CAROL.ipv4, destination=ALICE.ipv4, protocol=packets.UDP)
    frame = packets.ethernet(inner, source=CAROL.mac, destination=CAROL.node_mac)
    tunnel = TunnelInput(1, six, pack_tunnel_key(CAROL.identity, remote, 64))
    found = twins.run("from_overlay", Arrival(frame=frame, ifindex=LOOPBACK, tunnel=tunnel))
    assert (found.verdict, reason_of(found)) == (REDIRECT, None)
    refused = twins.run("from_overlay", arriving(frame))
    assert (refused.verdict, reason_of(refused)) == (SHOT, DropReason.TUNNEL_KEY)


def test_calls_are_made_when_there_is_no_room_to_note_them(
    loaded: Pipeline, objects: tuple[ProgramObject, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ring of one page holds a handful of records; the verdict stays the program's."""
    small = replace(RECORDS, max_entries=4096)
    monkeypatch.setattr(twins_module, "RECORDS", small)
    loaded.reset()
    with Twins(objects, loaded.maps, SLOTS) as twins:
        found = twins.run("from_container", arriving(to(CAROL.ipv4)))
    assert found.verdict == REDIRECT
    assert 0 < len(found.calls) < 4096 // 300


@contextmanager
def twins_of(code: Code, *specs: MapSpec[Any, Any], fill: Counter | None = None) -> Iterator[tuple[Twins, MapSet]]:
    """Of one program made for a test."""
    program = ProgramObject("made", code.assembled(), tuple(code.map_refs))
    with MapSet.ephemeral(specs) as maps:
        if fill is not None:
            maps.of(COUNTS).put(Index(0), fill)
        with Twins((program,), maps, {}) as twins:
            yield twins, maps


def counting() -> Code:
    """Adds 1 to ``counts[0].packets``, and drops."""
    code = Code()
    code.store_number_32(FRAME, -4, 0)
    code.load_map(1, "counts")
    code.copy(2, FRAME)
    code.add(2, -4)
    code.call(MAP_LOOKUP)
    code.go_if(0, 0, "end")
    code.load(1, 0, 0)
    code.add(1, 1)
    code.store(0, 0, 1)
    code.label("end")
    code.number(0, SHOT)
    code.leave()
    return code


def test_a_walk_meets_the_state_programs_keep_and_leaves_it() -> None:
    """What a program writes has a stand-in with the same contents, made anew for every run."""
    with twins_of(counting(), COUNTS, fill=Counter(41, 7)) as (twins, maps):
        for _ in range(2):
            (lookup,) = twins.run("made", arriving(to(BOB.ipv4))).calls
            assert decode(Counter, lookup.after) == Counter(41, 7)
        assert maps.of(COUNTS).get(Index(0)) == Counter(41, 7)


def test_entries_that_are_gone_are_gone_from_the_stand_in_too() -> None:
    with twins_of(counting(), COUNTS, fill=Counter(41, 7)) as (twins, maps):
        twins.run("made", arriving(to(BOB.ipv4)))
        maps.of(COUNTS).delete(Index(0))
        (lookup,) = twins.run("made", arriving(to(BOB.ipv4))).calls
        assert lookup.result == 0


def test_what_a_program_writes_is_told_with_its_key() -> None:
    code = Code()
    code.store_number_32(FRAME, -4, 0)
    code.number(1, 41)
    code.store(FRAME, -24, 1)
    code.store(FRAME, -16, 1)
    code.load_map(1, "counts")
    for register, at in ((2, -4), (3, -24)):
        code.copy(register, FRAME)
        code.add(register, at)
    code.number(4, 0)
    code.call(MAP_UPDATE)
    code.number(0, SHOT)
    code.leave()
    with twins_of(code, COUNTS) as (twins, _):
        (update,) = twins.run("made", arriving(to(BOB.ipv4))).calls
    assert (update.before, decode(Counter, update.after)) == (bytes(4), Counter(41, 41))


def test_only_what_may_reach_beyond_the_packet_is_walked_uncompared(twins: Twins) -> None:
    """A program that gives packets to sockets stands among the others, and no other comes to it."""
    frame = arriving(to(BOB.ipv4))
    assert [twins.run(name, frame).compared for name in ("from_container", "to_proxy")] == [True, False]


def calling(helper: int, *arguments: int) -> Code:
    """Calls a helper with the packet and some numbers, and drops."""
    code = Code()
    for register, value in enumerate(arguments, 2):
        code.number(register, value)
    code.call(helper)
    code.number(0, SHOT)
    code.leave()
    return code


def test_what_reaches_beyond_the_packet_is_told_and_not_done() -> None:
    """A clone is really sent, even in a test run: here to the loopback device, which would count it."""
    received = Path("/proc/net/dev").read_text()
    with twins_of(calling(CLONE_REDIRECT, LOOPBACK, 0)) as (twins, _):
        found = twins.run("made", arriving(to(BOB.ipv4)))
    (call,) = found.calls
    assert (call.helper.name, call.made, call.result, found.compared) == ("clone_redirect", False, 0, False)
    assert loopback(received) == loopback(Path("/proc/net/dev").read_text())


def loopback(text: str) -> str:
    return next(line for line in text.splitlines() if line.lstrip().startswith("lo:"))


def test_a_helper_nobody_knows_is_refused_by_number() -> None:
    """Its effects could be anything."""
    with pytest.raises(Unsupported, match="helper 22"), twins_of(calling(PERF_EVENT_READ)):
        pass


def at_random(mask: int) -> Code:
    """Marks the packet with a random number below ``mask`` + 1, and drops."""
    code = Code()
    code.copy(6, 1)
    code.call(PRANDOM)
    code.keep_bits(0, mask)
    code.store_32(6, 8, 0)
    code.number(0, SHOT)
    code.leave()
    return code


def test_twins_that_never_agree_are_not_believed() -> None:
    """A mark is compared, and here it is another each time."""
    with twins_of(at_random(0x7FFFFFFF)) as (twins, _), pytest.raises(Unavailable, match="do not agree"):
        twins.run("made", arriving(to(BOB.ipv4)))


def random_byte() -> Code:
    """Writes a random byte into the packet, and drops."""
    code = Code()
    code.copy(6, 1)
    code.call(PRANDOM)
    code.store(FRAME, -8, 0)
    code.copy(1, 6)
    code.number(2, 30)
    code.copy(3, FRAME)
    code.add(3, -8)
    code.number(4, 1)
    code.number(5, 0)
    code.call(9)
    code.number(0, SHOT)
    code.leave()
    return code


def test_bytes_that_programs_draw_by_lot_do_not_count() -> None:
    """Like the identification of an outer header: the plain twin is another each time, too."""
    with twins_of(random_byte()) as (twins, _):
        sent = to(BOB.ipv4)
        found = twins.run("made", arriving(sent))
        assert found.frame[:30] + found.frame[31:] == sent[:30] + sent[31:]


def test_a_program_array_of_a_plugin_cannot_be_walked() -> None:
    """It leads to programs that have no twins."""
    own = MapSpec("own_calls", MapKind.PROG_ARRAY, Index, registry.CALLS.value, 4, "stages of its own")
    code = Code()
    code.load_map(2, "own_calls")
    code.number(3, 0)
    code.call(12)
    code.number(0, SHOT)
    code.leave()
    with pytest.raises(Unsupported, match="own_calls"), twins_of(code, own):
        pass


def test_every_program_can_be_walked_with_a_custom_stage_too(cache_dir: Path, pipeline: Pipeline) -> None:
    """The other way in which from_container is compiled."""
    compiled = Compiler(cache_dir).compile_all(OBJECTS, {"CUSTOM_FROM_CONTAINER": 1})
    with Twins(compiled, pipeline.maps, SLOTS) as twins:
        assert reason_of(twins.run("from_container", arriving(to(BOB.ipv4)))) is DropReason.MISSED_TAIL_CALL


@pytest.mark.parametrize(("port", "reason"), [(25, DropReason.DENIED_BY_PLUGIN), (80, None)])
def test_a_plugins_stage_is_walked_like_ours(
    cache_dir: Path, pipeline: Pipeline, port: int, reason: DropReason | None
) -> None:
    """The stage that docs/plugins.md teaches, in the slot it claims; its author has done nothing for it."""
    stage = page_program()
    compiled = Compiler(cache_dir).compile_all((*OBJECTS, stage), {"CUSTOM_FROM_CONTAINER": 1})
    slots = {**SLOTS, CallSlot.CUSTOM_FROM_CONTAINER: stage.name}
    with Twins(compiled, pipeline.maps, slots) as twins:
        sent = to(BOB.ipv4, packets.tcp(destination_port=port), protocol=packets.TCP)
        found = twins.run("from_container", arriving(sent))
    assert stage.name in {call.program for call in found.calls}
    assert (reason_of(found), found.verdict) == (reason, SHOT if reason else REDIRECT)
