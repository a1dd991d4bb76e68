"""The data path's real programs over fresh maps, run on made-up packets (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Self

from netloom.bpf.compiler import Compiler
from netloom.bpf.core_programs import core_programs
from netloom.bpf.maps import MapSet, create_map
from netloom.bpf.programs import LoadedProgram, fill_slots, load_program
from netloom.bpf.ring import EventRing
from netloom.bpf.testrun import run
from netloom.datapath import enforcement, registry
from netloom.datapath.connections import CONNECTIONS_ANY, CONNECTIONS_TCP, ConnectionInfo, ConnectionKey, Tracking
from netloom.datapath.layout import decode, layout_of
from netloom.datapath.maps import Counter, Index, InnerMap
from netloom.datapath.reasons import Direction, DropReason, Observation
from netloom.datapath.registry import CallSlot, EventHeader, EventType
from netloom.model.address import Address, Network
from netloom.policy.table import PolicyKey
from netloom_native.plugin import Native
from netloom_vxlan.plugin import Vxlan
from support import packets
from support.maps import small

REASONS = {reason.value: reason for reason in DropReason}
ENFORCED = enforcement.Isolation.ENFORCED
HEADER_BYTES = layout_of(EventHeader).size
EMPTIED = (
    *("endpoints", "devices", "policers", "ipcache", "tunnels", "peers"),
    *("subjects", "policies", "cidrs", "connections_tcp", "connections_any", "fragments"),
)
"""Maps that a node begins without entries in."""
SLOTS = {
    CallSlot.NEIGHBOR: "neighbor",
    CallSlot.ICMP_ERROR: "icmp_error",
    CallSlot.FORWARD: "forward",
    CallSlot.ENCAP: "encap",
    CallSlot.NATIVE: "native",
    CallSlot.PROXY: "proxy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A workload as the data path sees it."""

    id: int
    identity: int
    ifindex: int
    ipv4: IPv4Address
    ipv6: IPv6Address
    mac: bytes
    node_mac: bytes


def pod(number: int, ifindex: int, subnet: int = 1) -> Pod:
    """Pod ``number`` of node ``subnet``, all of whose facts follow from the two."""
    return Pod(
        id=1000 + number,
        identity=300 + number,
        ifindex=ifindex,
        ipv4=IPv4Address(f"10.244.{subnet}.{number}"),
        ipv6=IPv6Address(f"fd00:10:244:{subnet}::{number}"),
        mac=bytes([2, 0, 0, 0, subnet, number]),
        node_mac=bytes([2, 0, 0, 1, subnet, number]),
    )


LOOPBACK = 1
"""The one device test runs find in every namespace; it stands for the device the packet came by."""
ALICE = pod(10, LOOPBACK)
"""The workload that sends."""
BOB = pod(11, 4011)
"""Another workload of the same node."""
CAROL = pod(12, 0, subnet=2)
"""A workload of another node, known by its identity."""
DAVE = pod(13, 0, subnet=2)
"""A workload of that node whose identity has not come yet."""
GATEWAYS = (ip_address("10.244.1.1"), ip_address("fd00:10:244:1::1"))
UNDERLAY = ip_address("192.168.77.12")
"""Of the other node."""
WORLD = (ip_address("203.0.113.10"), ip_address("2001:db8:77::10"))
NOWHERE = IPv6Address("::")
"""No tunnel endpoint."""
HOST_IFINDEX, TUNNEL_IFINDEX = 4001, 4002
HOST_MAC = bytes.fromhex("020000000001")
MTU_BYTES = 1450
TUNNEL_PORT = 8472

NODE = registry.NodeConfig(
    gateway_ipv4=GATEWAYS[0],
    gateway_ipv6=GATEWAYS[1],
    underlay_ipv4=NOWHERE,
    host_ifindex=HOST_IFINDEX,
    tunnel_ifindex=TUNNEL_IFINDEX,
    underlay_ifindex=0,
    mtu_bytes=MTU_BYTES,
    tunnel_mtu_bytes=MTU_BYTES,
    flags=0,
    uplinks=(),
    trace=0,
    policy_epoch=1,
    policy_flags=0,
    host_mac=HOST_MAC,
    tunnel_port=TUNNEL_PORT,
)


@dataclass(frozen=True, slots=True)
class Event:
    """One record of the ring."""

    header: EventHeader
    frame: bytes
    """As much of the packet as was captured."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything one run has done."""

    verdict: int
    """A TC_ACT_ number."""
    packet: bytes
    mark: int
    """``skb->mark`` afterwards."""
    events: tuple[Event, ...]
    read_counters: Callable[[], Mapping[tuple[DropReason, Direction], Counter]]
    """For :attr:`counters`, which most tests do not ask for: reading them takes longer than a run."""

    @property
    def counters(self) -> Mapping[tuple[DropReason, Direction], Counter]:
        """Those that are not zero, summed over CPUs; to be read before the next run."""
        return self.read_counters()

    @property
    def drops(self) -> list[Event]:
        """Those of its events that are drops."""
        return [item for item in self.events if item.header.type == EventType.DROP]

    @property
    def verdicts(self) -> list[EventHeader]:
        """Those of its events in which a policy lets it pass."""
        return [item.header for item in self.events if item.header.type == EventType.POLICY_VERDICT]

    @property
    def reason(self) -> DropReason | None:
        """Why the packet was dropped, by its event; None when it was not."""
        return REASONS[self.drops[0].header.code] if self.drops else None

    @property
    def tracking(self) -> Tracking:
        """How its last event says it stands to its connection."""
        return Tracking(self.events[-1].header.tracking)

    @property
    def observations(self) -> list[Observation]:
        """Where traces saw it."""
        return [Observation(item.header.code) for item in self.events if item.header.type == EventType.TRACE]


class Pipeline:
    """All programs and maps of a node. :meth:`reset` makes it as good as new."""

    def __init__(self, maps: MapSet, programs: Mapping[str, LoadedProgram]) -> None:
        self.maps = maps
        self.programs = programs
        self._ring = EventRing(maps.of(registry.EVENTS))
        self._runs = 0

    @classmethod
    def build(cls, cache_dir: Path, *, defines: Mapping[str, int] | None = None) -> Self:
        """Compile and load everything."""
        programs = (*core_programs(), *Vxlan().netloom_bpf_programs(), *Native().netloom_bpf_programs())
        objects = Compiler(cache_dir).compile_all(programs, defines)
        specs = (*registry.MAPS, *(spec for program in programs for spec in program.maps))
        maps = MapSet.ephemeral(map(small, specs))
        return cls(maps, {item.name: load_program(item, maps) for item in objects})

    def close(self) -> None:
        """Let the kernel free all of it."""
        self._ring.close()
        for program in self.programs.values():
            program.close()
        self.maps.close()

    def reset(self) -> None:
        """Empty the maps, and write what the agent of a node with two workloads and one neighbour would."""
        for name in EMPTIED:
            for key, _ in self.maps[name].raw_items():
                self.maps[name].delete_raw(key)
        fill_slots(self.maps, {slot: self.programs[name] for slot, name in SLOTS.items()})
        self.write_node()
        self.write_pod(ALICE)
        self.write_pod(BOB)
        for item in (ALICE, BOB):
            self.write_subject(item.identity)
        for gateway in GATEWAYS:
            self.write_host_address(gateway)
        for network in (ip_network("10.244.2.0/24"), ip_network("fd00:10:244:2::/64")):
            self.maps.of(registry.TUNNELS).put(registry.TunnelKey(network), registry.TunnelInfo(UNDERLAY))
        for network in (ip_network("10.244.1.0/24"), ip_network("fd00:10:244:1::/64")):
            self.write_ipcache(network, flags=registry.IpcacheFlag.LOCAL_POD_CIDR)
        for address in (CAROL.ipv4, CAROL.ipv6):
            self.write_ipcache(ip_network(address), identity=CAROL.identity, tunnel_endpoint=UNDERLAY)
        self._zero_metrics()
        self.events()

    def write_node(self, node: registry.NodeConfig = NODE) -> None:
        """Say what node this is."""
        self.maps.of(registry.NODE_CONFIG).put(Index(0), node)

    def write_pod(self, item: Pod, *, flags: int = 0, device_flags: int = 0) -> None:
        """Make a workload known, as receiver and as sender."""
        info = registry.EndpointInfo(item.ifindex, item.identity, item.id, flags, item.mac, item.node_mac)
        for address in (item.ipv4, item.ipv6):
            self.maps.of(registry.ENDPOINTS).put(registry.EndpointKey(address), info)
        sender = registry.DeviceInfo(
            item.ipv4, item.ipv6, item.identity, item.id, item.mac, item.node_mac, device_flags
        )
        self.maps.of(registry.DEVICES).put(registry.DeviceKey(item.ifindex), sender)

    def write_subject(self, identity: int, *, ingress: int = 0, egress: int = 0, flags: int = 0) -> None:
        """Say what holds for an identity of this node; without a word no policy selects it."""
        info = enforcement.SubjectInfo(ingress, egress, flags)
        self.maps.of(enforcement.SUBJECTS).put(enforcement.SubjectKey(identity), info)

    def write_policy(
        self, identity: int, entries: Mapping[PolicyKey, int], *, ingress: int = ENFORCED, egress: int = ENFORCED
    ) -> None:
        """Give an identity of this node a table of its own: effects by key."""
        with create_map(enforcement.POLICY_TABLE) as table:
            for key, effects in entries.items():
                kernel_key = enforcement.PolicyKey(key.prefix_bits, key.peer, key.direction, key.protocol, key.port)
                table.put(kernel_key, enforcement.PolicyInfo(effects))
            self.maps.of(enforcement.POLICIES).put(enforcement.SubjectKey(identity), InnerMap(table.fd))
        self.write_subject(identity, ingress=ingress, egress=egress, flags=enforcement.SubjectFlag.HAS_TABLE)

    def write_cidr(self, network: Network, number: int) -> None:
        """Give a prefix the number by which tables know it."""
        self.maps.of(enforcement.CIDRS).put(enforcement.CidrKey(network), enforcement.CidrInfo(number))

    def connections(self) -> dict[ConnectionKey, ConnectionInfo]:
        """All entries."""
        return {
            key: info for spec in (CONNECTIONS_TCP, CONNECTIONS_ANY) for key, info in self.maps.of(spec).items().items()
        }

    def change_connection(self, **changes: Any) -> None:
        """Write other values into the one entry there is."""
        ((key, info),) = self.connections().items()
        spec = CONNECTIONS_TCP if key.protocol == packets.TCP else CONNECTIONS_ANY
        self.maps.of(spec).put(key, replace(info, **changes))

    def write_host_address(self, address: Address) -> None:
        """Make an address of the node itself known."""
        info = registry.EndpointInfo(HOST_IFINDEX, 1, 0, registry.EndpointFlag.HOST, HOST_MAC, HOST_MAC)
        self.maps.of(registry.ENDPOINTS).put(registry.EndpointKey(address), info)

    def write_ipcache(
        self, network: Network, *, identity: int = 0, flags: int = 0, tunnel_endpoint: Address = NOWHERE
    ) -> None:
        """Make addresses' owner known."""
        info = registry.IpcacheInfo(identity, flags, tunnel_endpoint)
        self.maps.of(registry.IPCACHE).put(registry.IpcacheKey(network), info)

    def events(self) -> tuple[Event, ...]:
        """Everything in the ring, oldest first."""
        found: list[bytes] = []
        while batch := self._ring.consume():
            found += batch
        return tuple(_event(raw) for raw in found)

    @property
    def ring_fd(self) -> int:
        """Readable while events wait."""
        return self._ring.fd

    def counters(self) -> dict[tuple[DropReason, Direction], Counter]:
        """Counters that are not zero, summed over CPUs."""
        found = {}
        metrics = self.maps.of(registry.METRICS)
        for raw_key, raw in metrics.raw_items():
            # Nearly all of the many are zero: looking before decoding makes a run of these tests half as long.
            if raw.strip(b"\0"):
                key = decode(Index, raw_key)
                values = metrics.get_percpu(key) or ()
                total = Counter(sum(value.packets for value in values), sum(value.bytes for value in values))
                reason, direction = divmod(key.index, registry.METRICS_DIRECTIONS)
                found[REASONS[reason], Direction(direction)] = total
        return found

    def run(self, program: str, packet: bytes, *, gso_size: int = 0, repeat: int = 1, mark: int = 0) -> Outcome:
        """Let a program see a packet that came by the loopback device, and say all that followed."""
        result = run(self.programs[program], packet, ifindex=LOOPBACK, gso_size=gso_size, repeat=repeat, mark=mark)
        self._runs += 1
        this_run = self._runs

        def counters() -> Mapping[tuple[DropReason, Direction], Counter]:
            assert self._runs == this_run, "counters of a run that others have followed"
            return self.counters()

        return Outcome(result.verdict, result.packet, result.mark, self.events(), counters)

    def _zero_metrics(self) -> None:
        metrics = self.maps.of(registry.METRICS)
        for reason, direction in self.counters():
            metrics.put(Index(registry.metrics_index(reason, direction)), Counter(0, 0))


def _event(raw: bytes) -> Event:
    header = decode(EventHeader, raw[:HEADER_BYTES])
    return Event(header, raw[HEADER_BYTES : HEADER_BYTES + header.captured_bytes])


def sent_by(sender: Pod, payload: bytes, ethertype: int | None = None) -> bytes:
    """The frame a workload puts its packet in: its gateway is the host side of its own interface."""
    return packets.ethernet(payload, source=sender.mac, destination=sender.node_mac, ethertype=ethertype)


def to(destination: Address, payload: bytes | None = None, *, protocol: int = packets.UDP, ttl: int = 64) -> bytes:
    """A packet from ALICE, in her frame; UDP to the echo port unless told otherwise."""
    source = ALICE.ipv4 if isinstance(destination, IPv4Address) else ALICE.ipv6
    body = packets.udp() if payload is None else payload
    return sent_by(ALICE, packets.ip(body, source=source, destination=destination, protocol=protocol, ttl=ttl))
