"""Every reason for a drop is produced, named by its event, and counted; nothing else is ever dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from netloom.bpf.core_programs import package_dir
from netloom.datapath import registry
from netloom.datapath.maps import Index
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import CallSlot
from netloom.model.address import Address
from support import packets
from support.packets import FRAGMENT, HOP_BY_HOP, ICMP, ICMP6, MORE_FRAGMENTS, ROUTING, TCP, UDP
from support.pipeline import ALICE, BOB, CAROL, DAVE, GATEWAYS, NODE, WORLD, Pipeline, sent_by, to

pytestmark = pytest.mark.bpf

SHOT = 2
"""TC_ACT_SHOT."""
REDIRECT = 7
"""TC_ACT_REDIRECT."""
TOLD_BY_ICMP = {DropReason.TTL_EXCEEDED, DropReason.TOO_BIG}
"""Reasons whose answer goes back to the workload in the packet's place."""
PRODUCED_ELSEWHERE = {
    DropReason.DENIED_BY_PLUGIN,  # test_plugin_stage.py: no program of ours says it
    DropReason.MISSED_TAIL_CALL,  # below
    DropReason.PREFILTERED,  # test_prefilter.py: counted where no event can be made
    DropReason.NO_VERDICT,  # test_pipeline.py: a plugin's defect
    DropReason.WRITE_ERROR,  # test_wire.py: the kernel's refusal
    DropReason.UNKNOWN_SENDER,  # test_from_overlay.py, like the rest: they stand behind a real tunnel's metadata
    DropReason.INVALID_IDENTITY,
    DropReason.NO_LOCAL_ENDPOINT,
    DropReason.POLICY,  # test_policy_enforced.py, like the rest
    DropReason.POLICY_DENY,
    DropReason.NO_POLICY,
    DropReason.POLICY_UNKNOWN_PEER,
    DropReason.POLICY_INCOMPLETE,
    DropReason.FRAGMENT_NOT_FOUND,
    DropReason.CONNECTION_NOT_MADE,
    DropReason.NO_ROUTE,  # test_native_send.py
    DropReason.UNMASQUERADED,  # test_native_receive.py
    DropReason.PROXY_AWAY,  # test_proxied.py
    DropReason.PROXY_UNREACHED,  # test_proxied.py
    DropReason.PROXY_TOO_LATE,  # test_proxied.py
}
NOT_DROPS = {DropReason.FORWARDED, DropReason.EVENT_LOST, DropReason.VERDICT_UNTOLD, DropReason.BY_STACK}


@dataclass(frozen=True)
class Case:
    """A packet, and what it is dropped for."""

    name: str
    reason: DropReason
    frame: bytes
    program: str = "from_container"
    prepare: Callable[[Pipeline], object] = lambda _: None


def from_alice(
    payload: bytes,
    *,
    destination: Address = BOB.ipv4,
    source: Address = ALICE.ipv4,
    protocol: int = UDP,
    fragment: int = 0,
    total_bytes: int | None = None,
) -> bytes:
    """An IPv4 frame whose fields may be wrong."""
    packet = packets.ipv4(
        payload,
        source=source,
        destination=destination,
        protocol=protocol,
        fragment=fragment,
        total_bytes=total_bytes,
    )
    return sent_by(ALICE, packet)


def from_alice6(
    payload: bytes,
    *,
    destination: Address = BOB.ipv6,
    source: Address = ALICE.ipv6,
    protocol: int = UDP,
    payload_bytes: int | None = None,
) -> bytes:
    """An IPv6 frame whose fields may be wrong."""
    packet = packets.ipv6(
        payload, source=source, destination=destination, protocol=protocol, payload_bytes=payload_bytes
    )
    return sent_by(ALICE, packet)


def nested(kind: int, count: int, payload: bytes, last: int = UDP) -> bytes:
    """``count`` extension headers of a kind before ``payload``."""
    for index in range(count):
        payload = packets.extension(kind, last if index == 0 else kind, payload)
    return from_alice6(payload, protocol=kind)


def router_message(kind: int) -> bytes:
    ends = (ALICE.ipv6, BOB.ipv6)
    return to(BOB.ipv6, packets.icmp6(kind, ends=ends), protocol=ICMP6)


def mapped(address: IPv4Address) -> IPv6Address:
    return IPv6Address(f"::ffff:{address}")


def no_node(pipeline: Pipeline) -> None:
    pipeline.write_node(replace(NODE, host_ifindex=0))


def no_device(pipeline: Pipeline) -> None:
    pipeline.maps.of(registry.DEVICES).delete(registry.DeviceKey(ALICE.ifindex))


def no_underlay_address(pipeline: Pipeline) -> None:
    key = registry.TunnelKey(ip_network("10.244.2.0/24"))
    pipeline.maps.of(registry.TUNNELS).put(key, registry.TunnelInfo(IPv6Address("::")))


def no_tunnel_device(pipeline: Pipeline) -> None:
    pipeline.write_node(replace(NODE, tunnel_ifindex=0))


def ipv4_only(pipeline: Pipeline) -> None:
    info = registry.DeviceInfo(ALICE.ipv4, IPv6Address("::"), ALICE.identity, ALICE.id, ALICE.mac, ALICE.node_mac)
    pipeline.maps.of(registry.DEVICES).put(registry.DeviceKey(ALICE.ifindex), info)


def policed(pipeline: Pipeline) -> None:
    pipeline.write_pod(ALICE, device_flags=registry.DeviceFlag.POLICED)


def exhausted(pipeline: Pipeline) -> None:
    """Its clock is far ahead of the time."""
    policed(pipeline)
    policer = registry.PolicerInfo(ns_per_64kib=1, burst_ns=0, clock_ns=2**63)
    pipeline.maps.of(registry.POLICERS).put(registry.DeviceKey(ALICE.ifindex), policer)


PLAIN, PLAIN6 = to(BOB.ipv4), to(BOB.ipv6)
R = DropReason
NOBODY, NOBODY6, LINK_LOCAL = ip_address("0.0.0.0"), ip_address("::"), ip_address("fe80::1")
UNSOURCED = from_alice6(packets.udp(), source=NOBODY6)
TOO_LONG = packets.udp(bytes(1423))


def tunnelled(port: int) -> bytes:
    return packets.udp(destination_port=port)


SENT = {
    R.INVALID_SOURCE_MAC: {
        "a neighbour's MAC": PLAIN[:6] + BOB.mac + PLAIN[12:],
        "a neighbour's MAC in an ARP frame": ALICE.node_mac + BOB.mac + b"\x08\x06" + bytes(28),
    },
    R.INVALID_SOURCE_IP: {
        "a neighbour's address": from_alice(packets.udp(), source=BOB.ipv4),
        "a neighbour's IPv6 address": from_alice6(packets.udp(), source=BOB.ipv6),
        "the gateway's address": from_alice(packets.udp(), source=GATEWAYS[0]),
        "an address of the world": from_alice(packets.udp(), source=WORLD[0]),
        "no address": from_alice(packets.udp(), source=NOBODY),
        "no IPv6 address": from_alice6(packets.udp(), source=NOBODY6),
        "a link-local address": from_alice6(packets.udp(), source=LINK_LOCAL),
    },
    R.VLAN: {
        "802.1Q": sent_by(ALICE, b"\0\x05\x08\0" + PLAIN[14:], 0x8100),
        "802.1ad": sent_by(ALICE, b"\0\x05\x81\0\0\x05\x08\0" + PLAIN[14:], 0x88A8),
    },
    R.UNSUPPORTED_L2: {"an 802.3 length": sent_by(ALICE, bytes(46), 46)},
    R.UNSUPPORTED_L3: {"LLDP": sent_by(ALICE, bytes(46), 0x88CC)},
    R.INVALID_PACKET: {
        "another version in an IPv4 frame": sent_by(ALICE, b"\x55" + PLAIN[15:], packets.IPV4),
        "another version in an IPv6 frame": sent_by(ALICE, b"\x45" + PLAIN6[15:], packets.IPV6),
        "a header shorter than a header": sent_by(ALICE, b"\x44" + PLAIN[15:]),
        "a header longer than the packet": from_alice(packets.udp(), total_bytes=19),
        "more than there is": from_alice(packets.udp(), total_bytes=2000),
        "more IPv6 than there is": from_alice6(packets.udp(), payload_bytes=2000),
        "half a UDP header": from_alice(packets.udp()[:7]),
        "half a TCP header": from_alice(packets.tcp()[:19], protocol=TCP),
        "half an ICMP header": from_alice(packets.icmp(8)[:7], protocol=ICMP),
        "a first fragment without all ports": from_alice(packets.tcp()[:8], protocol=TCP, fragment=MORE_FRAGMENTS),
        "a fragment over TCP's flags": from_alice(bytes(32), protocol=TCP, fragment=1),
        "an IPv6 fragment over TCP's flags": from_alice6(
            packets.fragment_header(TCP, offset=1) + bytes(32), protocol=FRAGMENT
        ),
        "a fragment header cut short": from_alice6(bytes(7), protocol=FRAGMENT),
        "an extension header cut short": from_alice6(b"\x11", protocol=ROUTING),
        "an extension header beyond the packet": from_alice6(b"\x11\xff" + bytes(30), protocol=ROUTING),
        "its own IPv4 address in IPv6": from_alice6(packets.udp(), source=mapped(ALICE.ipv4)),
        "a neighbour's IPv4 address in IPv6": from_alice6(packets.udp(), destination=mapped(BOB.ipv4)),
        "itself": to(ALICE.ipv4),
        "itself over IPv6": to(ALICE.ipv6),
    },
    R.IPV6_EXTENSION: {"seven extension headers": nested(HOP_BY_HOP, 7, packets.udp())},
    R.ENCAP_PROHIBITED: {
        "our tunnel's port": to(BOB.ipv4, tunnelled(NODE.tunnel_port)),
        "VXLAN's port": to(WORLD[0], tunnelled(4789)),
        "Geneve's port": to(CAROL.ipv6, tunnelled(6081)),
        "a tunnel's port in a first fragment": from_alice(tunnelled(4789), fragment=MORE_FRAGMENTS),
    },
    R.MULTICAST: {
        "a group": to(ip_address("224.0.0.251")),
        "everybody": to(ip_address("255.255.255.255")),
        "an IPv6 group": to(ip_address("ff02::fb")),
        "an IPv6 group from a link-local address": from_alice6(
            packets.udp(), source=LINK_LOCAL, destination=ip_address("ff02::16")
        ),
        "a link-local address of somebody": to(ip_address("fe80::2")),
    },
    R.FORBIDDEN_ICMP6: {f"ICMPv6 type {kind}": router_message(kind) for kind in (133, 134, 136, 137)},
    R.UNKNOWN_TARGET: {
        "an address of this node that nobody has": to(ip_address("10.244.1.99")),
        "an IPv6 address of this node that nobody has": to(ip_address("fd00:10:244:1::99")),
    },
    R.TTL_EXCEEDED: {"no hop left": to(BOB.ipv4, ttl=1), "no hop left at the start": to(CAROL.ipv6, ttl=0)},
    R.TOO_BIG: {"too big for the overlay": to(BOB.ipv4, TOO_LONG)},
}
"""What a workload sends, by the reason it is dropped for."""

CASES = [
    *(Case(name, reason, frame) for reason, frames in SENT.items() for name, frame in frames.items()),
    Case("no facts about the node", R.NOT_READY, PLAIN, prepare=no_node),
    Case("nobody known behind the device", R.NOT_READY, PLAIN, prepare=no_device),
    Case("no policer where there must be one", R.NOT_READY, PLAIN, prepare=policed),
    Case("more than it may send", R.RATE_LIMITED, PLAIN, prepare=exhausted),
    Case("no tunnel device", R.NOT_READY, to(CAROL.ipv4), prepare=no_tunnel_device),
    Case("no address from one that has none", R.INVALID_SOURCE_IP, UNSOURCED, prepare=ipv4_only),
    Case("a node without underlay address", R.NO_TUNNEL_ENDPOINT, to(DAVE.ipv4), prepare=no_underlay_address),
    Case("from the host, no facts about the node", R.NOT_READY, PLAIN, "from_host", no_node),
    Case("from the host, to the host", R.INVALID_PACKET, to(GATEWAYS[0]), "from_host"),
    Case("from the host, a group", R.MULTICAST, to(ip_address("224.0.0.251")), "from_host"),
    Case("from the host, an address that nobody has", R.UNKNOWN_TARGET, to(ip_address("10.244.1.99")), "from_host"),
    Case("from the host, an address of no node", R.UNROUTABLE, to(WORLD[0]), "from_host"),
    Case("from the host, too big for the overlay", R.TOO_BIG, to(BOB.ipv4, TOO_LONG), "from_host"),
    Case("from the overlay, no facts about the node", R.NOT_READY, PLAIN, "from_overlay", no_node),
    Case("from the overlay, no tunnel behind the packet", R.TUNNEL_KEY, PLAIN, "from_overlay"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_dropped_for(pipeline: Pipeline, case: Case) -> None:
    case.prepare(pipeline)
    outcome = pipeline.run(case.program, case.frame)
    direction = Direction.INGRESS if case.program == "from_overlay" else Direction.EGRESS
    assert outcome.reason == case.reason
    told = case.program == "from_container" and case.reason in TOLD_BY_ICMP
    assert outcome.verdict == (REDIRECT if told else SHOT)
    counted = {key: (value.packets, value.bytes) for key, value in outcome.counters.items()}
    assert counted == {(case.reason, direction): (1, len(case.frame))}
    event = outcome.drops[0].header
    assert (len(outcome.drops), event.direction, event.line > 0) == (1, direction, True)


@pytest.mark.parametrize("slot", [CallSlot.NEIGHBOR, CallSlot.ICMP_ERROR, CallSlot.ENCAP], ids=lambda slot: slot.name)
def test_a_missing_stage_drops(pipeline: Pipeline, slot: CallSlot) -> None:
    asking = packets.arp(sender=ALICE.ipv4, sender_mac=ALICE.mac, target=BOB.ipv4)
    frames = {
        CallSlot.NEIGHBOR: sent_by(ALICE, asking, packets.ARP),
        CallSlot.ICMP_ERROR: to(BOB.ipv4, ttl=1),
        CallSlot.ENCAP: to(CAROL.ipv4),
    }
    pipeline.maps.of(registry.CALLS).delete(Index(slot))
    outcome = pipeline.run("from_container", frames[slot])
    assert (outcome.verdict, outcome.reason) == (SHOT, DropReason.MISSED_TAIL_CALL)
    assert list(outcome.counters) == [(DropReason.MISSED_TAIL_CALL, Direction.EGRESS)]


def test_every_reason_can_happen() -> None:
    """One that nothing produces is dead, or untested."""
    assert {case.reason for case in CASES} | PRODUCED_ELSEWHERE | NOT_DROPS == set(DropReason)


def test_events_that_found_no_room_are_counted(pipeline: Pipeline) -> None:
    runs = 10_000
    outcome = pipeline.run("from_container", to(ALICE.ipv4), repeat=runs)
    lost = outcome.counters[DropReason.EVENT_LOST, Direction.EGRESS].packets
    assert (lost > 0, len(outcome.events) + lost) == (True, runs)
    assert outcome.counters[DropReason.INVALID_PACKET, Direction.EGRESS].packets == runs


@pytest.mark.parametrize(
    ("frame", "file", "cause"),
    [
        (PLAIN[:6] + BOB.mac + PLAIN[12:], "lib/endpoint.h", "drop(flow, DROP_INVALID_SOURCE_MAC)"),
        (to(ALICE.ipv4), "lib/forward.h", "drop(flow, DROP_INVALID_PACKET)"),
        (to(BOB.ipv4, ttl=1), "lib/hop.h", "drop(flow, DROP_TTL_EXCEEDED)"),
    ],
    ids=["mac", "itself", "ttl"],
)
def test_an_event_names_the_line_that_decided(pipeline: Pipeline, frame: bytes, file: str, cause: str) -> None:
    """The line is that of the file people wrote, whichever program it was inlined into."""
    line = pipeline.run("from_container", frame).drops[0].header.line
    assert cause in (package_dir() / file).read_text().splitlines()[line - 1]
