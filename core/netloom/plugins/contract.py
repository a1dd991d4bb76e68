"""The values and interfaces that pass between the agent and plugins.

Everything here is either a frozen value or a Protocol. A Protocol's methods are called in the event loop of the
plugin's own thread, and each call is given ``hooks.timeout_s`` of the node config (default 5 s). A method may raise any
:class:`~netloom.model.errors.NetloomError` on purpose: it reaches whoever asked, and is no failure of the plugin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

from netloom.datapath.maps import MapSpec
from netloom.datapath.registry import CallSlot
from netloom.model.address import Address, Family, Network
from netloom.model.endpoint import Endpoint
from netloom.model.flow import Flow
from netloom.model.labels import Labels
from netloom.model.node import Node


class Version(NamedTuple):
    """Of the contract: a new minor adds, a new major may break."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


CONTRACT_VERSION = Version(1, 4)
"""The version this agent speaks."""


class Role(StrEnum):
    """What a plugin is for. Of the first three exactly one plugin each is active, named in the node config."""

    NETWORK_MODE = "network-mode"
    IPAM = "ipam"
    STORE = "store"
    ROUTER = "router"
    L7_PARSER = "l7-parser"
    EXTENSION = "extension"
    """eBPF programs, observers: anything that is added rather than chosen."""


CHOSEN_ROLES = (Role.NETWORK_MODE, Role.IPAM, Role.STORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """What a plugin says of itself."""

    name: str
    """Equal to the name of its entry point."""
    role: Role
    summary: str
    """One sentence for ``netctl plugins list``."""
    contract_min: Version = CONTRACT_VERSION
    contract_max: Version = CONTRACT_VERSION
    """First and last version of the contract it was tested with; the agent's must lie between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a plugin is given when the agent asks it for its work."""

    node_name: str
    config: Any
    """An instance of the type its ``netloom_config_type`` returned; None when it has no such hook."""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    """Of this node, as its config says. Since contract 1.3."""
    run_dir: Path = Path("/run/netloom")
    """This node's directory for sockets and whatever need not survive a reboot; mode 0700 or tighter is the plugin's
    own care. Since contract 1.3."""


# --- IPAM ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRequest:
    """Who wants addresses."""

    owner: str
    """Names the attachment on this node; a container that is made again is another owner."""
    pod_name: str = ""
    """"" when the runtime did not say."""
    pod_namespace: str = ""
    labels: Labels = frozenset()
    wanted: tuple[Address, ...] = ()
    """Those it must get, at most one of each IP version; of other versions it gets any. Since contract 1.1.
    Conflict when somebody has one, Invalid when no owner may ever have it; then nothing is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Addresses given to one owner, at most one a family."""

    owner: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """How full one pool is."""

    prefix: Network
    used: int
    capacity: int


@runtime_checkable
class Ipam(Protocol):
    """Gives addresses to endpoints. The agent stores allocations; a plugin need not.

    What it gives is checked: one address of each IP version of its prefixes, the one wanted, no gateway, nobody else's.
    """

    @property
    def prefixes(self) -> tuple[Network, ...]:
        """Prefixes from which this node's endpoints get addresses; announced to other nodes."""

    @property
    def gateways(self) -> tuple[Address, ...]:
        """Address of ``loom_host`` in each family served; never given to an endpoint."""

    async def allocate(self, request: AddressRequest) -> Allocation:
        """Give one address of every family. Raises Exhausted, Conflict (owner has one, wanted one taken) or Invalid."""

    async def restore(self, allocation: Allocation) -> None:
        """Take back what was given before a restart. Raises Conflict when the addresses cannot be the owner's."""

    async def release(self, owner: str) -> None:
        """Give everything of ``owner`` back; no error when it has nothing."""

    async def status(self) -> tuple[PoolStatus, ...]:
        """How full the pools are."""


# --- network mode -------------------------------------------------------------------------------


class WorkloadKind(StrEnum):
    """How a workload's interface is made."""

    VETH = "veth"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A network device the mode needs on every node."""

    name: str
    kind: str
    """Kernel link kind, for example ``vxlan``."""
    attributes: Mapping[str, int] = field(default_factory=dict)
    """Netlink attributes of that kind by pyroute2's short names, for example ``{"vxlan_port": 8472}``."""
    mtu_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """A route of the node's main table."""

    prefix: Network
    device: str
    """:data:`UNDERLAY`: whichever device of the underlay leads to the next hops. Since contract 1.3."""
    via: Address | None = None
    source: Address | None = None
    mtu_bytes: int | None = None
    more: tuple[Address, ...] = ()
    """Further next hops, as good as ``via``, at most 127: connections are spread over all. Since contract 1.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How this node reaches another one's pods."""

    tunnels: Mapping[Network, Address] = field(default_factory=dict)
    """Pod prefix to underlay address."""
    peers: frozenset[Address] = frozenset()
    """Underlay addresses from which tunnel traffic of that node is accepted."""
    routes: tuple[RouteSpec, ...] = ()
    native: frozenset[Network] = frozenset()
    """Prefixes of that node, of its pods or its own, that are reached as they are, by the node's routes: the NATIVE
    stage sends there, and what comes from there is believed. Since contract 1.3."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The device the ENCAP stage redirects to, and its UDP port."""

    device: str
    port: int
    direct: bool = False
    """Whether the mode's programs may pass by the device: its programs for :data:`UNDERLAY` are attached only then."""


@runtime_checkable
class NetworkMode(Protocol):
    """How packets travel between nodes. All methods are pure and quick: they describe, the agent does and waits."""

    @property
    def workload(self) -> WorkloadKind:
        """How workload interfaces are made."""

    @property
    def tunnel(self) -> Tunnel | None:
        """The tunnel, if the mode has one."""

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        """Largest IP packet a workload may send, given the underlay's."""

    def devices(self) -> tuple[DeviceSpec, ...]:
        """Devices to keep in place on this node."""

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        """How ``local`` reaches ``remote``, whose pod prefixes do not overlap: the agent has seen to that.

        Raises Invalid, with a sentence, when it cannot.
        """


# --- eBPF programs ------------------------------------------------------------------------------


UNDERLAY: Final = "@underlay"
"""Device name of an attach point that stands for each device by which other nodes are reached.

It is somebody else's: a program there lets pass, by TC_ACT_UNSPEC, whatever is not beyond doubt a packet of its own.
Only network modes may have one.
"""


@dataclass(frozen=True, slots=True)
class AttachPoint:
    """A tc hook of a device the mode keeps in place, or of :data:`UNDERLAY`."""

    device: str
    direction: Literal["ingress", "egress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BpfProgram:
    """One eBPF program for tc.

    ``source`` is C for the project's compiler: it defines ``int <name>(struct __sk_buff *skb)`` and may
    include the headers of ``bpf/lib``.
    """

    name: str
    file: str
    """Name of the source file for messages."""
    source: str
    target: AttachPoint | CallSlot
    maps: tuple[MapSpec[Any, Any], ...] = ()
    """Maps of its own; pinned beside the agent's, under the plugin's name."""


# --- routing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedRoute:
    """A prefix somebody outside the cluster announced."""

    prefix: Network
    via: Address
    """A neighbour on the underlay."""
    more: tuple[Address, ...] = ()
    """Further neighbours, as good as ``via``; at most 127. Since contract 1.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChanges:
    """What changed in what was learnt. Since contract 1.3."""

    routes: tuple[LearnedRoute, ...] = ()
    """New, or changed."""
    gone: tuple[Network, ...] = ()
    complete: bool = False
    """``routes`` is all there is: what is not in it is gone."""


@runtime_checkable
class Router(Protocol):
    """Spreads this node's prefixes, and learns others'. While it fails, what it said last stands."""

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        """Announce exactly these prefixes from now on. Called at start and after every change."""

    async def learned(self) -> tuple[LearnedRoute, ...]:
        """Everything learnt that stands now. Called at every resync."""


@runtime_checkable
class RouteWatcher(Protocol):
    """A Router that tells of changes as they happen, and is asked for ``changes`` instead of ``learned``.

    What it has told stands while it fails or is away, so that the node's packets go on. Since contract 1.3.
    """

    async def announce(self, prefixes: tuple[Network, ...]) -> None:
        """As :meth:`Router.announce`."""

    def changes(self) -> AsyncIterator[RouteChanges]:
        """Until the agent stops. Nothing is taken away before the first batch that is ``complete``."""


# --- store --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value; ``revision`` grows with every change anywhere in the store."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """A change: ``entry`` is None when the key was deleted."""

    key: str
    entry: Entry | None


@runtime_checkable
class Store(Protocol):
    """Shared state of the cluster. Every method raises StoreError when the store cannot be reached."""

    async def open(self) -> None:
        """Connect; called once, before anything else."""

    async def get(self, key: str) -> Entry | None:
        """The entry, or None."""

    async def items(self, prefix: str) -> tuple[Entry, ...]:
        """All entries whose key begins with ``prefix``, by key."""

    async def put(self, key: str, value: bytes) -> int:
        """Write, whatever was there; returns the new revision."""

    async def compare_and_swap(self, key: str, expected_revision: int, value: bytes) -> bool:
        """Write only if the key is at that revision (0: does not exist); says whether it did."""

    async def delete(self, key: str) -> None:
        """Remove; no error when the key is not there."""

    def watch(self, prefix: str) -> AsyncIterator[tuple[StoreEvent, ...]]:
        """First batch: everything there (maybe empty). Then changes as they happen, none lost, coalesced per key."""

    async def close(self) -> None:
        """Release what is held; watches end."""


# --- notifications ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReady:
    """An endpoint can carry traffic."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRemoved:
    """An endpoint is gone, its addresses free again."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChanged:
    """Another node appeared, changed, or (``node`` None) left."""

    name: str
    node: Node | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Drops, verdicts (since contract 1.2) and, while somebody watches, traces, in the order they happened."""

    flows: tuple[Flow, ...]
    lost: int
    """Events the ring had no room for since the last batch."""
