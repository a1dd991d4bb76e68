"""The prefilter's program, frame by frame: it drops by the source alone, and reads no byte that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netloom.bpf.budgets import VERIFIED_INSTRUCTIONS
from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import prefilter_program
from netloom.bpf.maps import MapSet
from netloom.bpf.objects import ProgramKind
from netloom.bpf.programs import LoadedProgram, load_program
from netloom.bpf.testrun import run_xdp
from netloom.datapath.maps import Index
from netloom.datapath.prefilter import PREFILTER_MAPS
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import METRICS, metrics_index
from netloom.model.address import Address
from netloom.plan.prefilter import PRESENT, entries, holder, parse
from support import packets
from support.emulated import fewer

pytestmark = pytest.mark.bpf

DROP, PASS = 1, 2
MACS = bytes.fromhex("020000000001020000000002")
REFUSED = ("203.0.113.7", "198.51.0.0/16", "198.51.100.0/24", "2001:db8::7", "2001:db8:77::/48", "240.0.0.0/4")
HERE = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8:1::1")}
TAGS = {
    "untagged": b"",
    "802.1Q": b"\x81\0\0\5",
    "802.1ad": b"\x88\xa8\0\5",
    "802.1Q in 802.1ad": b"\x88\xa8\0\5\x81\0\0\6",
    "802.1Q in 802.1Q": b"\x81\0\0\5\x81\0\0\6",
}


class Filter:
    """The program over maps that hold a few prefixes."""

    def __init__(self, program: LoadedProgram, maps: MapSet) -> None:
        self.program = program
        self.maps = maps

    def refuse(self, *texts: str) -> None:
        """Refuse these and no others; nothing has been counted."""
        for name, keys in entries(map(parse, texts)).items():
            for key, _ in list(self.maps[name].raw_items()):
                self.maps[name].delete_raw(key)
            for key in keys:
                self.maps[name].put_raw(key, PRESENT)
        for index in range(METRICS.max_entries):
            self.maps.of(METRICS).put(Index(index), METRICS.value(0, 0))

    def verdict(self, frame: bytes) -> int:
        """What becomes of a frame; it never changes."""
        result = run_xdp(self.program, frame)
        assert result.packet == frame
        return result.verdict

    def counted(self) -> dict[int, tuple[int, int]]:
        """Packets and bytes by index of the counters, where there are any."""
        found = {}
        for key, values in self.maps.of(METRICS).items_percpu().items():
            total = (sum(value.packets for value in values), sum(value.bytes for value in values))
            if any(total):
                found[key.index] = total
        return found


@pytest.fixture(scope="module")
def loaded(cache_dir: Path) -> Iterator[Filter]:
    compiled = Compiler(cache_dir).compile(prefilter_program(), kind=ProgramKind.XDP)
    with MapSet.ephemeral((*PREFILTER_MAPS, METRICS)) as maps, load_program(compiled, maps) as program:
        yield Filter(program, maps)


@pytest.fixture
def prefilter(loaded: Filter) -> Filter:
    loaded.refuse(*REFUSED)
    return loaded


def packet_from(source: Address) -> bytes:
    return packets.ip(packets.udp(), source=source, destination=HERE[source.version], protocol=packets.UDP)


def frame_from(text: str, tags: bytes = b"") -> bytes:
    source = ip_address(text)
    return MACS + tags + (b"\x08\0" if source.version == 4 else b"\x86\xdd") + packet_from(source)


def test_the_verifier_walks_no_more_than_its_budget(prefilter: Filter) -> None:
    assert 0 < prefilter.program.verified_insns <= VERIFIED_INSTRUCTIONS["prefilter"]


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        ("203.0.113.7", DROP),
        ("203.0.113.8", PASS),
        ("198.51.0.0", DROP),
        ("198.51.100.9", DROP),
        ("198.52.0.0", PASS),
        ("255.255.255.255", DROP),
        ("2001:db8::7", DROP),
        ("2001:db8::8", PASS),
        ("2001:db8:77:ffff::1", DROP),
        ("2001:db8:78::1", PASS),
    ],
)
def test_a_frame_is_judged_by_its_source_behind_up_to_two_tags(
    prefilter: Filter, source: str, verdict: int, tags: str
) -> None:
    assert prefilter.verdict(frame_from(source, TAGS[tags])) == verdict


def test_a_third_tag_is_left_to_the_stack(prefilter: Filter) -> None:
    assert prefilter.verdict(frame_from("203.0.113.7", TAGS["802.1Q"] * 3)) == PASS


def test_the_destination_is_no_matter(prefilter: Filter) -> None:
    refused = IPv4Address("203.0.113.7")
    packet = packets.ip(packets.udp(), source=HERE[4], destination=refused, protocol=packets.UDP)
    assert prefilter.verdict(MACS + b"\x08\0" + packet) == PASS


def test_arp_and_what_else_is_not_ip_passes(prefilter: Filter) -> None:
    asking = packets.arp(sender=IPv4Address("203.0.113.7"), sender_mac=MACS[6:], target=IPv4Address("192.0.2.1"))
    assert prefilter.verdict(MACS + b"\x08\x06" + asking) == PASS
    assert prefilter.verdict(MACS + b"\0\x40" + packet_from(IPv4Address("203.0.113.7"))) == PASS


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize(("source", "header_bytes"), [("203.0.113.7", 20), ("2001:db8::7", 40)])
def test_a_frame_cut_short_within_its_header_is_left_to_the_stack(
    prefilter: Filter, source: str, header_bytes: int, tags: str
) -> None:
    """At every byte; with its header it is dropped, however short the rest."""
    frame = frame_from(source, TAGS[tags])
    whole = len(MACS) + len(TAGS[tags]) + 2 + header_bytes
    for length in range(packets.ETHERNET_BYTES, len(frame)):
        assert prefilter.verdict(frame[:length]) == (DROP if length >= whole else PASS)


def test_a_jumbo_frame_is_judged_like_any_other(prefilter: Filter) -> None:
    """Drivers hand on the first of its buffers alone; the bytes are counted all the same."""
    payload = packets.udp(bytes(8000))
    source = IPv4Address("203.0.113.7")
    packet = packets.ip(payload, source=source, destination=HERE[4], protocol=packets.UDP)
    frame = MACS + b"\x08\0" + packet
    assert prefilter.verdict(frame) == DROP
    assert list(prefilter.counted().values()) == [(1, len(frame))]


def test_a_drop_is_counted_and_a_pass_is_not(prefilter: Filter) -> None:
    frames = [frame_from(source) for source in ("203.0.113.7", "2001:db8::7", "203.0.113.8")]
    for frame in frames:
        prefilter.verdict(frame)
    place = metrics_index(DropReason.PREFILTERED, Direction.INGRESS)
    assert prefilter.counted() == {place: (2, len(frames[0]) + len(frames[1]))}


def test_an_empty_set_lets_everything_pass(prefilter: Filter) -> None:
    prefilter.refuse()
    assert [prefilter.verdict(frame_from(text)) for text in ("203.0.113.7", "2001:db8::7")] == [PASS, PASS]


@pytest.mark.parametrize(("everything", "one"), [("0.0.0.0/0", "203.0.113.7"), ("::/0", "2001:db8::7")])
def test_a_prefix_of_no_bits_holds_its_family_alone(prefilter: Filter, everything: str, one: str) -> None:
    prefilter.refuse(everything)
    assert prefilter.verdict(frame_from(one)) == DROP
    assert prefilter.verdict(frame_from("2001:db8::7" if "." in one else "203.0.113.7")) == PASS


fuzzing = settings(
    max_examples=fewer(300),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzzing
@given(source=st.ip_addresses())
def test_the_program_finds_what_the_agent_finds(prefilter: Filter, source: Address) -> None:
    """And so does a walk, which asks the agent."""
    if isinstance(source, IPv6Address) and source.ipv4_mapped:
        return
    held = holder(set(map(parse, REFUSED)), source) is not None
    assert prefilter.verdict(frame_from(str(source))) == (DROP if held else PASS)


@fuzzing
@given(frame=st.binary(min_size=packets.ETHERNET_BYTES, max_size=120))
def test_any_bytes_pass_or_are_dropped_unchanged(prefilter: Filter, frame: bytes) -> None:
    assert prefilter.verdict(frame) in (DROP, PASS)
