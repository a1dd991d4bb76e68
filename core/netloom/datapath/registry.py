"""Every map, shared struct and tail-call slot, declared once.

C headers, codecs, the layout test, the documentation and the pins are all made from what stands here.
A change to a struct or a map raises that map's ``version``, which is part of its pin's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Annotated

from netloom.datapath.connections import CONNECTION_MAPS
from netloom.datapath.enforcement import POLICY_MAPS
from netloom.datapath.layout import U8, U16, U32, U64, Addr, Be16, CType, Ifindexes, Mac, Prefix
from netloom.datapath.maps import NO_PREALLOC, Counter, Index, MapKind, MapSpec, Slot
from netloom.datapath.prefilter import PREFILTER_MAPS
from netloom.datapath.proxy import PROXY_MAPS


@dataclass(frozen=True, slots=True)
class EndpointKey:
    """An address of an endpoint or of this node."""

    address: Addr

    def __str__(self) -> str:
        return str(self.address)


class EndpointFlag(IntFlag):
    """Bits of ``endpoint_info.flags``."""

    HOST = 1
    """An address of this node itself: hand the packet to the host's stack."""
    SHAPED = 2
    """A queue on the host side of its interface limits what it receives: no packet goes past that queue."""


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """What to do with packets for, and from, a local address."""

    ifindex: U32
    identity: U32
    id: U16
    flags: U16
    mac: Mac
    node_mac: Mac


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """The host side of a workload's interface."""

    ifindex: U32

    def __str__(self) -> str:
        return f"device {self.ifindex}"


class DeviceFlag(IntFlag):
    """Bits of ``device_info.flags``."""

    POLICED = 1
    """What it sends is measured against its entry in ``policers``."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """The only sender a workload's interface may carry: one lookup checks a packet's source and names it."""

    ipv4: Addr
    """``::`` when the endpoint has no IPv4 address."""
    ipv6: Addr
    """``::`` when the endpoint has no IPv6 address."""
    identity: U32
    id: U16
    mac: Mac
    """Of the workload's interface."""
    node_mac: Mac
    """Of the host side: the answer to the workload's ARP and ND requests."""
    flags: U16 = 0


@dataclass(frozen=True, slots=True)
class PolicerInfo:
    """How much a workload may send: a virtual clock that each packet moves on by the time it takes at the rate."""

    ns_per_64kib: U64
    """Nanoseconds that 2^16 bytes take at the rate."""
    burst_ns: U64
    """How far the clock may be ahead of the time."""
    clock_ns: U64 = field(default=0, compare=False)
    """Kept by programs, as ktime_get_ns() counts; which is why it makes no difference between two entries."""


@dataclass(frozen=True, slots=True)
class IpcacheKey:
    """A prefix of addresses that share an identity."""

    prefix: Prefix

    def __str__(self) -> str:
        return str(self.prefix)


class IpcacheFlag(IntFlag):
    """Bits of ``ipcache_info.flags``."""

    LOCAL_POD_CIDR = 1
    """Addresses of this node's pods: one without an endpoint is an unknown target, not the world."""
    NATIVE = 2
    """Reached as they are, by the node's routes: the NATIVE stage sends there, and believes what comes from there."""


@dataclass(frozen=True, slots=True)
class IpcacheInfo:
    """Who has an address, and the node behind which it lives."""

    identity: U32
    flags: U32
    tunnel_endpoint: Addr
    """Underlay address of the node; ``::`` when the address is not behind a tunnel."""


@dataclass(frozen=True, slots=True)
class TunnelKey:
    """A prefix of pod addresses that another node owns."""

    prefix: Prefix

    def __str__(self) -> str:
        return str(self.prefix)


@dataclass(frozen=True, slots=True)
class TunnelInfo:
    """The node's underlay address."""

    tunnel_endpoint: Addr


@dataclass(frozen=True, slots=True)
class PeerKey:
    """An underlay address from which tunnel traffic is accepted."""

    address: Addr

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """The accepted node's identity as seen from here."""

    identity: U32


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Facts about this node that programs read instead of being compiled for them."""

    gateway_ipv4: Addr
    gateway_ipv6: Addr
    underlay_ipv4: Addr
    """Where other nodes send tunnel packets, and what they come from; ``::`` without one."""
    host_ifindex: U32
    """loom_host."""
    tunnel_ifindex: U32
    """Tunnel device of the network mode; 0 when it has none."""
    underlay_ifindex: U32
    """Device by which programs may send and take tunnel packets past the tunnel device; 0 when they may not."""
    mtu_bytes: U32
    """Largest IP packet a workload may send, whatever the way: what goes natively is bounded by its route besides."""
    tunnel_mtu_bytes: U32
    """Largest IP packet the overlay carries; 0 without one."""
    flags: U32
    """Bits of :class:`NodeFlag`."""
    uplinks: Ifindexes
    """Devices by which packets may go to other nodes natively."""
    trace: U32
    """Bits of :class:`TraceFlag`: what nobody listens to costs next to nothing."""
    policy_epoch: U32
    """Another number after each change of a policy: connections are judged again, once."""
    policy_flags: U32
    """Bits of :class:`PolicyFlag`."""
    host_mac: Mac
    """Of loom_host."""
    tunnel_port: U16
    """UDP port of the overlay, host order: workloads may not send to it."""


class NodeFlag(IntFlag):
    """Bits of ``node_config.flags``."""

    MASQUERADE = 1
    """What workloads send out of the cluster takes the node's address: nothing leaves with a workload's own."""


class TraceFlag(IntFlag):
    """Bits of ``node_config.trace``: what somebody listens to."""

    PACKETS = 1
    """Traces of every packet."""
    VERDICTS = 2
    """Every verdict of a policy; otherwise no more of those that allow than VERDICTS_PER_S on each CPU."""


class PolicyFlag(IntFlag):
    """Bits of ``node_config.policy_flags``."""

    KEEP_CONNECTIONS = 1
    """What was allowed when it began goes on, whatever policies say later."""


class EventType(IntEnum):
    """Kinds of records in the event ring; numbers as in Cilium's monitor."""

    DROP = 1
    TRACE = 4
    POLICY_VERDICT = 5


class PolicyVerdict(IntEnum):
    """``event_header.code`` of verdicts that let a packet pass; those that do not are drops."""

    ALLOWED = 0
    AUDITED = 1
    """An audit policy's entry would have denied it."""
    AUDITED_BY_DEFAULT = 2
    """An audit policy isolates the endpoint, and nothing allows it."""
    REDIRECTED = 3
    """It goes by way of the proxy, which judges its requests."""


VERDICTS_PER_S = 1000
"""On each CPU, of verdicts that allow, while nobody listens: what `netctl observe` finds in the ring afterwards."""


@dataclass(frozen=True, slots=True)
class VerdictBudget:
    """What is left of VERDICTS_PER_S."""

    second_ends_ns: U64
    told: U64


CAPTURE_BYTES = 128
"""How much of a packet an event carries at most."""


@dataclass(frozen=True, slots=True)
class EventHeader:
    """Fixed part of a record in the event ring; up to CAPTURE_BYTES of packet follow."""

    type: U8
    code: U8
    """Drop reason, observation point, or :class:`PolicyVerdict`."""
    direction: U8
    tracking: U8
    """How the packet stands to its connection: :class:`~netloom.datapath.connections.Tracking`."""
    source_identity: U32
    destination_identity: U32
    endpoint_id: U16
    """The local endpoint concerned; 0 when there is none."""
    captured_bytes: U16
    packet_bytes: U32
    ifindex: U32
    hash: U32
    line: U32
    """Line of the C source that decided, counted in its own file; with the reason it names the place."""
    service: Be16
    """What policies know the packet by: the destination port of whoever began, or type of ICMP."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What is known of a packet's two ends, and what will be reported of it; handed from stage to stage."""

    tunnel_endpoint: Addr
    """For ENCAP: the node the packet goes to."""
    source_identity: U32
    destination_identity: U32
    line: U32
    """Where a drop was decided, as in ``event_header.line``."""
    endpoint_id: U16
    """The local endpoint concerned; 0 when there is none."""
    direction: U8
    observation: U8
    """Where the packet goes to, if it goes."""
    reason: U8
    """For ICMP_ERROR: the drop reason the workload is told about."""
    outer_bytes: U8
    """Tunnel headers before the frame that is reported: they are neither counted nor shown."""
    service: Be16
    """As ``event_header.service``."""
    tracking: U8
    """As ``event_header.tracking``."""
    mtu_bytes: U16
    """Of a packet that is too big: what would have gone."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Room of a program beside its stack. Nothing in it means anything to the next one, but what is left for NATIVE."""

    packet: Annotated[bytes, CType("__u8 {}[64]", "64s", 8)]
    """``struct packet``: what was read of its headers. Left for NATIVE."""
    admission: Annotated[bytes, CType("__u8 {}[192]", "192s", 8)]
    """``struct admission``: what was found out about its connection."""


METRICS_DIRECTIONS = 4
"""Room for directions at each reason in the ``metrics`` array."""


def metrics_index(reason: int, direction: int) -> int:
    """Where a counter stands in the ``metrics`` array."""
    return reason * METRICS_DIRECTIONS + direction


ENDPOINTS = MapSpec("endpoints", MapKind.HASH, EndpointKey, EndpointInfo, 65535, "local addresses", flags=NO_PREALLOC)
DEVICES = MapSpec(
    "devices",
    MapKind.HASH,
    DeviceKey,
    DeviceInfo,
    65535,
    "who may send from which device",
    version=2,
    flags=NO_PREALLOC,
)
POLICERS = MapSpec(
    "policers", MapKind.HASH, DeviceKey, PolicerInfo, 65535, "how much may be sent from a device", flags=NO_PREALLOC
)
IPCACHE = MapSpec(
    "ipcache", MapKind.LPM_TRIE, IpcacheKey, IpcacheInfo, 512000, "identity and node of each address", flags=NO_PREALLOC
)
TUNNELS = MapSpec(
    "tunnels", MapKind.LPM_TRIE, TunnelKey, TunnelInfo, 65536, "pod prefixes of other nodes", flags=NO_PREALLOC
)
PEERS = MapSpec(
    "peers", MapKind.HASH, PeerKey, PeerInfo, 65536, "nodes whose tunnel traffic is accepted", flags=NO_PREALLOC
)
NODE_CONFIG = MapSpec("node_config", MapKind.ARRAY, Index, NodeConfig, 1, "facts about this node", version=4)
METRICS = MapSpec(
    "metrics", MapKind.PERCPU_ARRAY, Index, Counter, 256 * METRICS_DIRECTIONS, "packets and bytes by reason"
)
EVENTS = MapSpec(
    "events", MapKind.RINGBUF, Index, EventHeader, 1 << 20, "drops, traces and verdicts for the monitor", version=2
)
CALLS = MapSpec("calls", MapKind.PROG_ARRAY, Index, Slot, 32, "stages of the pipeline, by slot")
HANDOFF = MapSpec("handoff", MapKind.PERCPU_ARRAY, Index, Flow, 1, "what a stage leaves for the next one", version=4)
VERDICT_BUDGET = MapSpec(
    "verdict_budget", MapKind.PERCPU_ARRAY, Index, VerdictBudget, 1, "how many verdicts are still to be told"
)
SCRATCH = MapSpec("scratch", MapKind.PERCPU_ARRAY, Index, Scratch, 1, "room of a program beside its stack")

MAPS: tuple[MapSpec[object, object], ...] = (  # type: ignore[assignment]
    ENDPOINTS,
    DEVICES,
    POLICERS,
    IPCACHE,
    TUNNELS,
    PEERS,
    NODE_CONFIG,
    METRICS,
    EVENTS,
    CALLS,
    HANDOFF,
    VERDICT_BUDGET,
    SCRATCH,
    *CONNECTION_MAPS,
    *POLICY_MAPS,
    *PREFILTER_MAPS,
    *PROXY_MAPS,
)


class CallSlot(IntEnum):
    """Stages joined by tail calls; the number is the index in ``calls``."""

    NEIGHBOR = 1
    """ARP and neighbour-discovery answers."""
    ICMP_ERROR = 2
    """Tells a workload by ICMP why its packet went no further."""
    FORWARD = 3
    """Decides where a workload's packet goes; where a custom stage returns to."""
    ENCAP = 4
    """Sends a packet to another node through the overlay; owned by the network mode."""
    NATIVE = 5
    """Sends a packet to another node as it is; owned by the network mode."""
    NEXT_AT_UNDERLAY = 6
    """The fallback mode's program at the underlay's devices: sees what the first mode's has left."""
    PROXY = 7
    """Sends a packet to the node's proxy, which judges the requests of its connection."""
    CUSTOM_FROM_CONTAINER = 16
    """Free for one plugin: sees every IP packet of a workload after its source was checked."""
