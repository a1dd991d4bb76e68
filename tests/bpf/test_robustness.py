"""Hostile bytes: cut short, made up, or changed by a few bytes, they are dropped or they are honest."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from netloom.bpf.testrun import run
from netloom.datapath.connections import FRAGMENTS
from netloom.datapath.maps import Index
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import HANDOFF, EventType, Flow
from netloom.policy.table import Direction as PolicyDirection
from support import packets
from support.emulated import fewer
from support.packets import ARP, ETHERNET_BYTES, ICMP, ICMP6, IPV4, IPV6, MORE_FRAGMENTS, TCP, UDP
from support.pipeline import ALICE, BOB, CAROL, GATEWAYS, LOOPBACK, REASONS, UNDERLAY, WORLD, Pipeline, sent_by, to
from support.talk import C, Talk, allowing, to_port

pytestmark = pytest.mark.bpf

SHOT, REDIRECT = 2, 7
LEFT = -1
"""TC_ACT_UNSPEC."""
LEAST_BYTES = {IPV4: ETHERNET_BYTES + 20, IPV6: ETHERNET_BYTES + 40}
"""Linux 6.18 runs no program on a made-up IP packet shorter than its header: test_wire.py sends such."""
ENTRIES = ["from_container", "from_host", "from_overlay"]
STAGES = ["neighbor", "icmp_error", "forward", "encap", "native"]
HONEST = {
    "udp": to(BOB.ipv4),
    "udp6": to(BOB.ipv6),
    "tcp": to(CAROL.ipv4, packets.tcp(b"data"), protocol=TCP),
    "tcp6": to(WORLD[1], packets.tcp(b"data"), protocol=TCP),
    "ping": to(GATEWAYS[0], packets.icmp(8), protocol=ICMP),
    "ping6": to(GATEWAYS[1], packets.icmp6(128, ends=(ALICE.ipv6, GATEWAYS[1])), protocol=ICMP6),
    "extensions": to(
        BOB.ipv6,
        packets.extension(packets.HOP_BY_HOP, packets.DESTINATION, packets.extension(packets.DESTINATION, packets.UDP))
        + packets.udp(),
        protocol=packets.HOP_BY_HOP,
    ),
    "arp": sent_by(ALICE, packets.arp(sender=ALICE.ipv4, sender_mac=ALICE.mac, target=BOB.ipv4), ARP),
    "nd": sent_by(ALICE, packets.solicitation(source=ALICE.ipv6, target=BOB.ipv6, mac=ALICE.mac)),
    "first fragment": sent_by(
        ALICE,
        packets.ipv4(
            packets.udp(bytes(32)), source=ALICE.ipv4, destination=BOB.ipv4, protocol=UDP, fragment=MORE_FRAGMENTS
        ),
    ),
    "first fragment6": to(
        BOB.ipv6, packets.fragment_header(UDP, more=True) + packets.udp(bytes(32)), protocol=packets.FRAGMENT
    ),
    "error": to(BOB.ipv4, packets.icmp(3, payload=to(WORLD[0])[ETHERNET_BYTES:]), protocol=ICMP),
    "error6": to(
        BOB.ipv6,
        packets.icmp6(1, payload=to(WORLD[1])[ETHERNET_BYTES:], ends=(ALICE.ipv6, BOB.ipv6)),
        protocol=ICMP6,
    ),
    "dying": to(BOB.ipv4, ttl=1),
    "huge": to(BOB.ipv6, packets.udp(bytes(1500))),
}


def least_bytes(frame: bytes) -> int:
    return LEAST_BYTES.get(struct.unpack_from(">H", frame, 12)[0], ETHERNET_BYTES + 1)


fuzzing = settings(
    max_examples=fewer(300),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


frames = st.builds(
    lambda head, rest: head + rest,
    st.sampled_from([bytes(ETHERNET_BYTES), *sorted({frame[:ETHERNET_BYTES] for frame in HONEST.values()})]),
    st.binary(min_size=40, max_size=300),
)
"""Noise, mostly behind an Ethernet header that makes a program read on."""
HANDED = Flow(
    UNDERLAY, ALICE.identity, CAROL.identity, 1, ALICE.id, Direction.EGRESS, 0, DropReason.TTL_EXCEEDED, 0, 0, 0, 0
)
"""What from_container would leave for a stage."""


READ = [(program, name) for program in ("from_container", "from_host") for name in HONEST]
READ.remove(("from_host", "arp"))  # nothing asks for ARP there: it is dropped unread


@pytest.mark.parametrize(("program", "name"), READ)
def test_a_packet_cut_short_anywhere_is_invalid(pipeline: Pipeline, name: str, program: str) -> None:
    frame = HONEST[name]
    for length in range(least_bytes(frame), len(frame)):
        assert run(pipeline.programs[program], frame[:length], ifindex=LOOPBACK).verdict == SHOT
    assert {REASONS[event.header.code] for event in pipeline.events()} == {DropReason.INVALID_PACKET}


@pytest.mark.parametrize("program", [*ENTRIES, *STAGES])
@fuzzing
@given(frame=frames)
def test_any_bytes_are_dropped_or_sent_on(pipeline: Pipeline, program: str, frame: bytes) -> None:
    """Never left to the stack, which would route what was not checked; and no drop is silent."""
    pipeline.maps.of(HANDOFF).put(Index(0), HANDED)
    result = run(pipeline.programs[program], frame, ifindex=LOOPBACK)
    drops = [event for event in pipeline.events() if event.header.type == EventType.DROP]
    told = program == "icmp_error" and result.verdict == REDIRECT
    assert result.verdict in (SHOT, REDIRECT)
    assert len(drops) == (1 if result.verdict == SHOT or told else 0)


@fuzzing
@given(frame=frames)
def test_any_bytes_on_the_underlay_are_left_alone_or_accounted_for(pipeline: Pipeline, frame: bytes) -> None:
    """Nothing there is refused that is not beyond doubt a tunnel packet."""
    assert run(pipeline.programs["from_underlay"], frame, ifindex=LOOPBACK).verdict == LEFT
    assert pipeline.events() == ()


changes = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), min_size=1, max_size=4)


def changed(frame: bytes, bytes_at: list[tuple[int, int]]) -> bytes:
    result = bytearray(frame)
    for at, value in bytes_at:
        if at < len(result):
            result[at] = value
    return bytes(result)


def claimed_source(frame: bytes) -> tuple[bytes, bytes]:
    """MAC and IP address a frame says it is from, by the plainest reading of it."""
    ethertype = struct.unpack_from(">H", frame, 12)[0]
    at, size = {IPV4: (26, 4), IPV6: (22, 16), ARP: (28, 4)}.get(ethertype, (0, 0))
    return frame[6:12], frame[at : at + size]


def is_solicitation(frame: bytes) -> bool:
    """Neighbour discovery may come from a link-local address."""
    source = frame[22:38]
    return frame[12:14] == b"\x86\xdd" and frame[20] == ICMP6 and IPv6Address(source).is_link_local


@pytest.mark.parametrize("name", HONEST)
@fuzzing
@example(bytes_at=[(26, 11)])
@example(bytes_at=[(6, 0x42)])
@given(bytes_at=changes)
def test_nothing_leaves_in_somebody_elses_name(pipeline: Pipeline, name: str, bytes_at: list[tuple[int, int]]) -> None:
    """Whatever a workload changes of a good packet, what is sent on names the workload as its sender."""
    frame = changed(HONEST[name], bytes_at)
    result = run(pipeline.programs["from_container"], frame, ifindex=LOOPBACK)
    dropped = any(event.header.type == EventType.DROP for event in pipeline.events())
    if result.verdict == REDIRECT and not dropped and not is_solicitation(frame):
        mac, address = claimed_source(frame)
        assert (mac, address in (ALICE.ipv4.packed, ALICE.ipv6.packed)) == (ALICE.mac, True)
    else:
        assert dropped or is_solicitation(frame)


@pytest.mark.parametrize("name", HONEST)
@fuzzing
@given(bytes_at=changes)
def test_answers_have_whole_checksums(pipeline: Pipeline, name: str, bytes_at: list[tuple[int, int]]) -> None:
    """What the data path builds itself, ICMP errors and advertisements, is right whatever it was built from."""
    frame = changed(HONEST[name], bytes_at)
    result = run(pipeline.programs["from_container"], frame, ifindex=LOOPBACK)
    answer = result.packet
    built = any(event.header.type == EventType.DROP for event in pipeline.events()) or is_solicitation(frame)
    if result.verdict != REDIRECT or not built:
        return
    if answer[12:14] == b"\x08\x00":
        assert (packets.checksum(answer[14:34]), packets.checksum(answer[34:])) == (0, 0)
    else:
        length = struct.unpack_from(">H", answer, 18)[0]
        assert packets.checksum(answer[22:54] + struct.pack(">II", length, ICMP6) + answer[54:]) == 0


# --- from another node, and in fragments --------------------------------------------------------

INNER = {name: frame for name, frame in HONEST.items() if frame[12:14] == b"\x08\0" and name not in ("ping", "dying")}
"""What a remote workload may say, too: IPv4, which test runs take out of tunnels on all kernels."""


@pytest.fixture
def talk(pipeline: Pipeline) -> Talk:
    """ALICE and BOB may speak at port 53."""
    allowed = [to_port(direction, 53, protocol) for direction in PolicyDirection for protocol in (UDP, TCP)]
    for pod in (ALICE, BOB):
        pipeline.write_policy(pod.identity, allowing(*allowed))
    return Talk(pipeline, six=False)


@pytest.mark.parametrize("name", INNER)
@fuzzing
@given(bytes_at=changes)
def test_what_another_node_sends_is_delivered_or_its_drop_is_told(
    talk: Talk, name: str, bytes_at: list[tuple[int, int]]
) -> None:
    """Whatever its workload has made of it."""
    spoken = bytearray(changed(INNER[name], bytes_at)[ETHERNET_BYTES:])
    spoken[0] = 0x45
    spoken[12:20] = CAROL.ipv4.packed + BOB.ipv4.packed
    outcome = talk.send_packet(C, bytes(spoken))
    assert (outcome.verdict, len(outcome.drops)) in ((REDIRECT, 0), (SHOT, 1))


@dataclass(frozen=True)
class Piece:
    """A fragment, or a whole packet where it is the first and the last."""

    number: int
    offset: int
    more: bool
    port: int
    protocol: int


pieces = st.builds(
    Piece,
    st.integers(1, 2),
    st.sampled_from([0, 0, 0, 1, 2, 3, 185]),
    st.sampled_from([True, True, False]),
    st.sampled_from([53, 22]),
    st.sampled_from([UDP, TCP]),
)


def cut(piece: Piece, six: bool) -> bytes:
    made = packets.tcp if piece.protocol == TCP else packets.udp
    body = made(bytes(24), destination_port=piece.port)
    if six:
        head = struct.pack(">BBHI", piece.protocol, 0, piece.offset << 3 | piece.more, piece.number)
        return packets.ipv6(head + body, source=ALICE.ipv6, destination=BOB.ipv6, protocol=packets.FRAGMENT)
    flags = MORE_FRAGMENTS * piece.more | piece.offset
    whole = packets.ipv4(body, source=ALICE.ipv4, destination=BOB.ipv4, protocol=piece.protocol, fragment=flags)
    return whole[:4] + struct.pack(">H", piece.number) + whole[6:]


@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
@fuzzing
@given(sent=st.lists(pieces, min_size=2, max_size=8))
def test_overlapping_fragments_get_nothing_past_a_policy(talk: Talk, six: bool, sent: list[Piece]) -> None:
    """In whatever order and place: a later one fares as the last first one of its packet did, or is dropped."""
    known = talk.pipeline.maps.of(FRAGMENTS)
    for key, _ in known.raw_items():
        known.delete_raw(key)
    ports: dict[tuple[int, int], int] = {}
    for piece in sent:
        name = (piece.number, 0 if six else piece.protocol)
        expected: DropReason | None
        if piece.offset == 1:
            expected = DropReason.INVALID_PACKET
        elif piece.offset and name not in ports:
            expected = DropReason.FRAGMENT_NOT_FOUND
        else:
            port = ports[name] if piece.offset else piece.port
            expected = None if port == 53 else DropReason.POLICY
            if not piece.offset and piece.more:
                ports[name] = port
        assert talk.pipeline.run("from_container", sent_by(ALICE, cut(piece, six))).reason == expected
