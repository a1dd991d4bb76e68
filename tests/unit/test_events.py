"""Records of the event ring become flows, and flows become lines."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.datapath.connections import Tracking
from netloom.datapath.event_lines import format_cause, format_flow, format_packet
from netloom.datapath.events import HEADER_BYTES, POLICY_DROPS, Head, as_verdict, decode_event, kinds_of, read_head
from netloom.datapath.layout import encode
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.datapath.registry import CAPTURE_BYTES, EventHeader, EventType, PolicyVerdict
from netloom.model.flow import Because, Flow, FlowKind, FlowVerdict, Packet, RuleHit
from netloom.model.policy import Origin, PolicyKind, PolicyName

FRAME = (
    bytes(12) + b"\x08\x00" + bytes.fromhex("450000280000000040060000 0a000001 0a000002 9c400050") + bytes(9) + b"\x02"
)
HEADER = EventHeader(
    type=EventType.DROP,
    code=DropReason.TTL_EXCEEDED,
    direction=Direction.EGRESS,
    tracking=Tracking.NEW,
    source_identity=300,
    destination_identity=301,
    endpoint_id=7,
    captured_bytes=len(FRAME),
    packet_bytes=1514,
    ifindex=12,
    hash=0x1C2D3E4F,
    line=88,
    service=80,
)
PACKET = Packet(
    protocol="tcp",
    source=ip_address("10.0.0.1"),
    destination=ip_address("10.0.0.2"),
    source_port=40000,
    destination_port=80,
    detail="SYN",
)
DROP = Flow(
    kind=FlowKind.DROP,
    at_ns=5,
    code=196,
    text="TTL exceeded",
    direction="egress",
    source_identity=300,
    destination_identity=301,
    endpoint_id=7,
    ifindex=12,
    hash=0x1C2D3E4F,
    packet_bytes=1514,
    packet=PACKET,
    line=88,
    tracking="new",
    service=80,
)


def trace(code: int) -> Flow:
    return decode_event(encode(replace(HEADER, type=EventType.TRACE, code=code)) + FRAME, 5)


def test_a_drop_keeps_everything_the_record_says() -> None:
    """Field by field, the packet's headers read."""
    assert decode_event(encode(HEADER) + FRAME, 5) == DROP


def test_a_record_claiming_more_bytes_than_it_has_is_read_as_far_as_it_goes() -> None:
    """The length is the data path's word, the bytes are what is there."""
    flow = decode_event(encode(replace(HEADER, captured_bytes=65535)) + FRAME, 5)
    assert flow.packet == PACKET


def test_bytes_behind_the_captured_ones_are_not_the_packets() -> None:
    """The ring rounds records up; what stands there is an older record's."""
    flow = decode_event(encode(replace(HEADER, captured_bytes=14)) + FRAME, 5)
    assert flow.packet == Packet(protocol="ipv4", detail="header cut short")


@pytest.mark.parametrize(("code", "text"), [(99, "reason 99"), (255, "Event lost")])
def test_a_reason_is_told_in_words_or_by_number(code: int, text: str) -> None:
    """A data path newer than the reader must not stop it."""
    assert decode_event(encode(replace(HEADER, code=code)), 5).text == text


@pytest.mark.parametrize("point", Observation, ids=lambda point: point.name)
def test_every_observation_point_has_its_arrow(point: Observation) -> None:
    """``->`` on the way to something, ``<-`` coming from it."""
    arrow, _, place = trace(point).text.partition(" ")
    assert (arrow, place) == ("->" if point.name.startswith("TO") else "<-", point.name.lower().split("_")[1])


def test_an_unknown_observation_point_is_told_by_number() -> None:
    """As with reasons."""
    assert trace(200).text == "observation 200"


def test_an_unknown_type_of_event_is_no_drop() -> None:
    """It must not count as one."""
    flow = decode_event(encode(replace(HEADER, type=77)) + FRAME, 5)
    assert (flow.kind, flow.text) == (FlowKind.TRACE, "unknown event type 77")


def test_a_record_shorter_than_its_header_says_so() -> None:
    """The fields that are there are still told."""
    flow = decode_event(encode(HEADER)[:12], 5)
    assert (flow.text, flow.source_identity) == ("event of 12 bytes, cut short", 300)


def test_neither_direction_is_no_direction() -> None:
    """Records about no endpoint carry 0."""
    assert decode_event(encode(replace(HEADER, direction=0)), 5).direction == ""


@given(st.binary(max_size=HEADER_BYTES + CAPTURE_BYTES + 64))
def test_no_record_raises_and_each_has_a_line(raw: bytes) -> None:
    """One line, whatever the bytes are."""
    assert "\n" not in format_flow(decode_event(raw, 5))


def test_a_drop_is_printed_with_reason_place_and_ends() -> None:
    """Words and order as in Cilium's monitor."""
    assert format_flow(DROP) == (
        "xx drop (TTL exceeded) flow 0x1c2d3e4f to endpoint 7, ifindex 12, line 88, "
        "identity 300->301: 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN"
    )


def test_a_trace_to_an_endpoint_names_it() -> None:
    """There are many."""
    assert format_flow(trace(Observation.TO_ENDPOINT)) == (
        "-> endpoint 7 flow 0x1c2d3e4f, identity 300->301 state new ifindex 12: 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN"
    )


def test_a_packet_of_which_no_policy_was_asked_has_no_state() -> None:
    """Nobody looked for its connection."""
    flow = decode_event(encode(replace(HEADER, type=EventType.TRACE, code=Observation.TO_HOST, tracking=0)) + FRAME, 5)
    assert " state " not in format_flow(flow)


def verdict(code: int, **changes: int) -> Flow:
    header = replace(HEADER, type=EventType.POLICY_VERDICT, code=code, **changes)
    return decode_event(encode(header) + FRAME, 5)


@pytest.mark.parametrize(
    ("code", "text", "word"),
    [
        (PolicyVerdict.ALLOWED, "allowed", FlowVerdict.FORWARDED),
        (PolicyVerdict.AUDITED, "audited", FlowVerdict.AUDIT),
        (PolicyVerdict.AUDITED_BY_DEFAULT, "audited by default", FlowVerdict.AUDIT),
        (77, "verdict 77", FlowVerdict.DROPPED),
    ],
)
def test_a_verdict_is_told_in_words(code: int, text: str, word: FlowVerdict) -> None:
    """One that is not known is not taken for a packet that passed."""
    flow = verdict(code)
    assert (flow.kind, flow.text, flow.verdict) == (FlowKind.VERDICT, text, word)


@pytest.mark.parametrize("tracking", [item for item in Tracking if item], ids=lambda item: item.name)
def test_how_a_packet_stands_to_its_connection_is_told(tracking: Tracking) -> None:
    flow = decode_event(encode(replace(HEADER, tracking=tracking)) + FRAME, 5)
    assert flow.tracking == tracking.name.lower()


def test_the_quick_head_has_the_headers_fields() -> None:
    """In their order: it is unpacked by position."""
    assert [field.name for field in fields(EventHeader)] == list(Head._fields)
    head = read_head(encode(HEADER) + FRAME)
    assert head is not None
    assert head._asdict() == {**asdict(HEADER), "service": b"\x00\x50"}


@pytest.mark.parametrize(
    ("kind", "code", "kinds"),
    [
        (EventType.DROP, DropReason.TTL_EXCEEDED, {FlowKind.DROP}),
        *((EventType.DROP, reason, {FlowKind.DROP, FlowKind.VERDICT}) for reason in POLICY_DROPS),
        (EventType.TRACE, Observation.TO_HOST, {FlowKind.TRACE}),
        (EventType.POLICY_VERDICT, PolicyVerdict.ALLOWED, {FlowKind.VERDICT}),
        (77, DropReason.POLICY, {FlowKind.TRACE}),
    ],
)
def test_a_drop_by_policies_is_a_verdict_too(kind: int, code: int, kinds: set[FlowKind]) -> None:
    raw = encode(replace(HEADER, type=kind, code=code)) + FRAME
    assert kinds_of(raw) == kinds
    assert decode_event(raw, 5).kind in kinds


@given(st.binary(max_size=HEADER_BYTES + 4))
def test_the_kind_that_is_told_of_any_bytes_is_among_those_they_may_be_asked_for_as(raw: bytes) -> None:
    assert decode_event(raw, 5).kind in kinds_of(raw)


def test_a_verdict_that_allows_is_printed_as_ciliums() -> None:
    assert format_flow(verdict(PolicyVerdict.ALLOWED)) == (
        "Policy verdict log: flow 0x1c2d3e4f local EP ID 7, remote ID 301, proto 6, egress, action allow, match none, "
        "10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN"
    )


def test_the_remote_of_a_verdict_on_ingress_is_the_source() -> None:
    assert "remote ID 300, proto 6, ingress," in format_flow(verdict(0, direction=Direction.INGRESS))


def test_the_remote_of_a_verdict_about_a_reply_is_turned() -> None:
    """Egress of the connection's source, which is where the reply goes to."""
    assert "remote ID 300, proto 6, egress," in format_flow(verdict(1, tracking=Tracking.REPLY))


BECAUSE = Because(
    verdict="denied by default",
    rules=(
        RuleHit(policy=PolicyName(PolicyKind.KUBERNETES, "shop", "a"), origin=Origin("f.yaml", 3, "spec")),
        RuleHit(policy=PolicyName(PolicyKind.KUBERNETES, "shop", "a"), origin=Origin("f.yaml", 9, "spec")),
        RuleHit(policy=PolicyName(PolicyKind.CILIUM, "shop", "b"), origin=Origin("", 0, "specs[1]")),
    ),
)


def test_a_denial_is_printed_as_the_verdict_it_is_too_with_who_was_the_cause() -> None:
    drop = decode_event(encode(replace(HEADER, code=DropReason.POLICY)) + FRAME, 5)
    told = as_verdict(replace(drop, because=BECAUSE))
    assert told is not None
    assert told.verdict is FlowVerdict.DROPPED
    line = format_flow(told)
    assert ", action deny, match none, 10.0.0.1:40000" in line
    assert line.endswith("tcp SYN [isolated by NetworkPolicy/shop/a, CiliumNetworkPolicy/shop/b]")


def test_a_drop_that_policies_did_not_cause_is_no_verdict() -> None:
    assert as_verdict(DROP) is None


@pytest.mark.parametrize(
    ("because", "text"),
    [
        (
            replace(BECAUSE, verdict="denied", rules=BECAUSE.rules[1:]),
            "denied by NetworkPolicy/shop/a (f.yaml:9: spec), CiliumNetworkPolicy/shop/b (specs[1])",
        ),
        (
            replace(BECAUSE, verdict="allowed", rules=(RuleHit(policy=None, origin=Origin("", 0, "allow_host")),)),
            "allowed by policy.allow_host",
        ),
        (
            replace(BECAUSE, verdict="audited", rules=BECAUSE.rules[2:]),
            "would be denied by CiliumNetworkPolicy/shop/b (specs[1])",
        ),
        (
            replace(BECAUSE, verdict="audited by default", rules=BECAUSE.rules[:1]),
            "would be isolated by NetworkPolicy/shop/a",
        ),
        (
            replace(BECAUSE, verdict="", rules=(), isolated_by=BECAUSE.policies),
            "isolated by CiliumNetworkPolicy/shop/b, NetworkPolicy/shop/a",
        ),
        (replace(BECAUSE, rules=(), outdated=True), "policies are others by now"),
        (Because(verdict="allowed"), ""),
    ],
)
def test_the_cause_is_named(because: Because, text: str) -> None:
    """An entry with its place; for what isolates, the policy is enough."""
    assert format_cause(because) == text


def test_a_trace_to_the_overlay_names_no_endpoint() -> None:
    """There is one overlay."""
    assert format_flow(trace(Observation.TO_OVERLAY)).startswith("-> overlay flow 0x1c2d3e4f, ")


def v6(protocol: str, detail: str = "", ports: tuple[int, int] | None = None) -> Packet:
    """A packet from fd00::1 to fd00::2."""
    return Packet(
        protocol=protocol,
        source=ip_address("fd00::1"),
        destination=ip_address("fd00::2"),
        source_port=ports[0] if ports else None,
        destination_port=ports[1] if ports else None,
        detail=detail,
    )


LINES = {
    "[fd00::1]:1 -> [fd00::2]:53 udp": v6("udp", ports=(1, 53)),
    "fd00::1 -> fd00::2 EchoRequest": v6("icmp6", "EchoRequest"),
    "fd00::1 -> fd00::2 icmp6": v6("icmp6"),
    "10.0.0.1 -> 10.0.0.2 arp request": replace(
        PACKET, protocol="arp", source_port=None, destination_port=None, detail="request"
    ),
    "fd00::1 -> fd00::2 132": v6("132"),
    "0x88cc": Packet(protocol="0x88cc"),
    "unknown packet: Ethernet header cut short": Packet(protocol="", detail="Ethernet header cut short"),
}


@pytest.mark.parametrize("line", LINES)
def test_packets_are_printed_by_what_is_known_of_them(line: str) -> None:
    """Ends, protocol, detail; ICMP types speak for themselves."""
    assert format_packet(LINES[line]) == line
