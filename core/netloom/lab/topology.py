"""What a lab consists of: names, addresses and files, worked out from a few numbers. Pure.

The underlay is one bridge in a namespace of its own. It is the nodes' default gateway, and its loopback carries the
addresses that stand for the outside world. In a lab with racks (:mod:`netloom.lab.racks`) that bridge is the spine
between the racks' routers, and an address of a node stands on its loopback. Addresses come from ranges that are
private or set aside for documentation (RFC 5737, RFC 3849, RFC 4193), so that nothing here can be mistaken for a real
network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

from netloom.lab.racks import DEFAULT_ASN, DEFAULT_UPLINKS, Cable, LabTor, RackSpec, cables_of, rack_of, tor_of
from netloom.model.errors import Invalid
from netloom.model.ports import NamedPort

LABS_DIR = Path("/run/netloom-lab")
"""Each lab keeps everything it knows in a directory here, named like the lab."""
BPF_DIR = Path("/sys/fs/bpf/netloom-lab")
DEFAULT_NAME = "lab"
DEFAULT_NODES = 2
DEFAULT_PODS_PER_NODE = 2
REFLECTOR = "reflector"
"""What the underlay's namespace is called besides in a lab with racks: the route reflector runs there."""
DEFAULT_NAMESPACE = "default"
"""Of pods, in Kubernetes."""
MAX_NODES = 40
MAX_PODS_PER_NODE = 100
OUTSIDE_V4 = IPv4Address("203.0.113.10")
OUTSIDE_V6 = IPv6Address("2001:db8:77::10")
GATEWAY_V4 = IPv4Interface("192.168.77.1/24")
GATEWAY_V6 = IPv6Interface("fd00:77::1/64")
UNDERLAY_MTU_BYTES = 1500
_FIRST_NODE_HOST = 10
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabSpec:
    """What the user asks for."""

    name: str = DEFAULT_NAME
    nodes: int = DEFAULT_NODES
    pods_per_node: int = DEFAULT_PODS_PER_NODE
    racks: tuple[RackSpec, ...] = ()
    """Among which the nodes are spread, in order; without any, all nodes are on one bridge."""
    uplinks: int = DEFAULT_UPLINKS
    """Cables from each node to its rack's router."""
    asn: int = DEFAULT_ASN
    """Autonomous system of the racks' routers and of the reflector."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Invalid(f'lab name "{self.name[:80]}" is not usable: expected 1 to 32 of a-z, 0-9 and inner hyphens')
        for what, found, highest in (
            ("nodes", self.nodes, MAX_NODES),
            ("pods per node", self.pods_per_node, MAX_PODS_PER_NODE),
        ):
            lowest = 1 if what == "nodes" else 0
            if not lowest <= found <= highest:
                raise Invalid(f"{found} {what} cannot be made, expected {lowest} to {highest}")
        if self.racks and self.nodes != (inside := sum(rack.nodes for rack in self.racks)):
            raise Invalid(f"{self.nodes} nodes cannot be spread over racks that hold {inside}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPod:
    """A workload: an empty namespace waiting for its interface."""

    name: str
    netns: str
    node: str
    container_id: str
    namespace: str = DEFAULT_NAMESPACE
    """Kubernetes', not the kernel's."""
    labels: tuple[tuple[str, str], ...] = ()
    """Keys with their values, as its runtime gives them; without any, ``app`` with the pod's name."""
    ports: tuple[NamedPort, ...] = ()
    """Those that its runtime has names for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNode:
    """A machine of the cluster."""

    name: str
    netns: str
    port: str
    """Its port on the underlay bridge."""
    ipv4: IPv4Interface
    ipv6: IPv6Interface
    pod_cidr_v4: IPv4Network
    pod_cidr_v6: IPv6Network
    pods: tuple[LabPod, ...]
    rack: str = ""
    """Name of the rack it stands in; "" in a lab without racks."""
    cables: tuple[Cable, ...] = ()
    """To its rack's router, none in a lab without racks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabFiles:
    """Where a lab keeps what."""

    directory: Path

    @property
    def name(self) -> str:
        """The lab's."""
        return self.directory.name

    @property
    def journal(self) -> Path:
        """Every step taken, in order."""
        return self.directory / "journal"

    @property
    def run_dir(self) -> Path:
        """The agents' sockets and locks."""
        return self.directory / "run"

    @property
    def state_dir(self) -> Path:
        """The agents' endpoints."""
        return self.directory / "state"

    @property
    def store(self) -> Path:
        """The cluster's store."""
        return self.directory / "store.db"

    @property
    def bpf_dir(self) -> Path:
        """The agents' pins."""
        return BPF_DIR / self.name

    @property
    def bird_socket(self) -> Path:
        """Where birdc speaks with the reflector."""
        return self.directory / "bird.ctl"

    def config(self, node: str) -> Path:
        """A node's config."""
        return self.directory / f"{node}.yaml"

    def log(self, node: str) -> Path:
        """Of a node's agent, or a router."""
        return self.directory / f"{node}.log"

    def socket(self, node: str) -> Path:
        """A node's agent's API."""
        return self.run_dir / node / "netloom.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A whole lab."""

    spec: LabSpec
    underlay_netns: str
    nodes: tuple[LabNode, ...]
    files: LabFiles
    tors: tuple[LabTor, ...] = ()
    """A router for each rack."""

    @property
    def pods(self) -> tuple[LabPod, ...]:
        """Those of all nodes, in the nodes' order."""
        return tuple(pod for node in self.nodes for pod in node.pods)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Names of all network namespaces: underlay, routers, nodes, pods."""
        routers = (self.underlay_netns, *(tor.netns for tor in self.tors))
        return (*routers, *(node.netns for node in self.nodes), *(pod.netns for pod in self.pods))

    def namespace_of(self, where: str) -> str:
        """Of a pod, a node, a router, or the underlay, by name; raises Invalid, naming what there is."""
        if where == "underlay" or (where == REFLECTOR and self.tors):
            return self.underlay_netns
        if where in {tor.name for tor in self.tors}:
            return self.tor(where).netns
        if self.has_node(where):
            return self.node(where).netns
        return self.pod(where).netns

    def has_node(self, name: str) -> bool:
        """Whether there is a node of that name."""
        return name in {node.name for node in self.nodes}

    def node(self, name: str) -> LabNode:
        """Raises Invalid, naming those there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise Invalid(f'lab "{self.spec.name}" has no node "{name}", it has {_listed(self.nodes)}')

    def tor(self, name: str) -> LabTor:
        """Raises Invalid, naming those there are."""
        for tor in self.tors:
            if tor.name == name:
                return tor
        raise Invalid(f'lab "{self.spec.name}" has no router "{name}", it has {_listed(self.tors)}')

    def rack(self, tor: LabTor) -> tuple[LabNode, ...]:
        """The nodes of a router's rack."""
        return tuple(node for node in self.nodes if node.rack == tor.rack)

    def pod(self, name: str) -> LabPod:
        """Raises Invalid, naming those there are."""
        for pod in self.pods:
            if pod.name == name:
                return pod
        raise Invalid(f'lab "{self.spec.name}" has no pod "{name}", it has {_listed(self.pods)}')


def files_of(name: str) -> LabFiles:
    """Where the lab of that name keeps its files."""
    return LabFiles(directory=LABS_DIR / name)


def lay_out(spec: LabSpec) -> Topology:
    """The lab a spec describes; the same spec always gives the same lab."""
    return Topology(
        spec=spec,
        underlay_netns=f"{spec.name}-underlay",
        nodes=tuple(_node(spec, number) for number in range(1, spec.nodes + 1)),
        files=files_of(spec.name),
        tors=tuple(tor_of(spec.name, rack, number, spec.asn) for number, rack in enumerate(spec.racks, 1)),
    )


def _node(spec: LabSpec, number: int) -> LabNode:
    host = _FIRST_NODE_HOST + number
    name = f"node{number}"
    first_pod = (number - 1) * spec.pods_per_node + 1
    # Hosts are written alike in both families: 192.168.77.11 and fd00:77::11.
    return LabNode(
        name=name,
        netns=f"{spec.name}-{name}",
        port=name,
        ipv4=IPv4Interface(f"192.168.77.{host}/{32 if spec.racks else 24}"),
        ipv6=IPv6Interface(f"fd00:77::{host}/{128 if spec.racks else 64}"),
        pod_cidr_v4=IPv4Network(f"10.244.{number}.0/24"),
        pod_cidr_v6=IPv6Network(f"fd00:10:244:{number}::/64"),
        pods=tuple(_pod(spec, name, first_pod + offset) for offset in range(spec.pods_per_node)),
        rack=rack_of(spec.racks, number),
        cables=cables_of(number, spec.uplinks) if spec.racks else (),
    )


def _pod(spec: LabSpec, node: str, number: int) -> LabPod:
    name = f"busybox{number}"
    netns = f"{spec.name}-{name}"
    return LabPod(name=name, netns=netns, node=node, container_id=netns)


def _listed(items: Sequence[LabNode | LabPod | LabTor]) -> str:
    return ", ".join(item.name for item in items) or "none"
