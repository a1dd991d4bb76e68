"""A node as a packet walk meets it: its devices, what is attached to them, and the kernel's answers about a packet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from netloom.agent.walk.calls import stages
from netloom.bpf.twin import Arrival, NotedCall, TwinRun, Twins
from netloom.datapath.events import HEADER_BYTES
from netloom.datapath.layout import decode
from netloom.datapath.maps import MapSpec
from netloom.datapath.reasons import Direction, DropReason
from netloom.datapath.registry import EventHeader, EventType
from netloom.edge import requests
from netloom.edge.answers import LinkInfo, link_info
from netloom.edge.netlink import Direction as Hook
from netloom.edge.netlink import Netlink
from netloom.edge.netns import call_in_netns, open_netns
from netloom.edge.nft import has_table
from netloom.edge.ownership import masquerade_table
from netloom.edge.paths import NoPath, Path, Question, find_path, is_known_silent, neighbor_of
from netloom.edge.rtnl import RtnlSocket
from netloom.edge.sysctl import read_sysctl
from netloom.model.address import Address, Network
from netloom.model.endpoint import Endpoint
from netloom.model.errors import NotFound, Unavailable
from netloom.model.node import Node
from netloom.model.walk import Drop, Stage
from netloom.plugins.contract import Tunnel

_REASONS = {reason.value: reason for reason in DropReason}
_DIRECTIONS = {item.value: item.name.lower() for item in Direction}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What the agent knows, at the moment the walk began."""

    node: Node
    endpoints: tuple[Endpoint, ...]
    others: tuple[Node, ...]
    """The cluster's other nodes."""
    unmasqueraded: tuple[Network, ...]
    """Prefixes besides this node's to which workloads go with their own addresses."""
    uplinks: tuple[str, ...]
    """Names of the underlay's devices, ``underlay_device`` first."""
    doors: tuple[str, ...]
    """Devices of ours by which packets may enter the stack."""
    tunnel: Tunnel | None
    masquerade: bool
    programs: Mapping[int, str]
    """Names of the programs at work, by the kernel's number."""
    specs: Mapping[str, MapSpec[Any, Any]]
    """Every map, by name."""
    prefiltered: Callable[[Address], str] = field(default=lambda _: "")
    """The prefix for which packets from an address are refused at the uplinks; "" when they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSide:
    """A workload's end of its interface, asked about one packet."""

    ifname: str
    up: bool
    mtu_bytes: int
    path: Path | NoPath
    neighbor: bytes | None
    """MAC address of the next hop, if the workload has it already."""


class NodeSurroundings:
    """Answers for one walk. Made and used in one thread of the node's namespace; close it when done."""

    def __init__(self, facts: NodeFacts, twins: Twins) -> None:
        self.facts = facts
        self._twins = twins
        self._netlink = Netlink(facts.node.name)
        self._links: dict[int, LinkInfo | None] = {}

    def close(self) -> None:
        """Let go of the socket."""
        self._netlink.close()

    # --- devices and programs -------------------------------------------------------------------

    def link(self, ifindex: int) -> LinkInfo | None:
        """A device by index; None when there is none."""
        if ifindex not in self._links:
            answer = self._netlink.socket.call(requests.get_link_by_index(ifindex)) if ifindex else []
            self._links[ifindex] = link_info(answer[0]) if answer else None
        return self._links[ifindex]

    def named_link(self, name: str) -> LinkInfo:
        """A device by name. Raises NotFound."""
        return self._netlink.require_link(name)

    def name_of(self, ifindex: int) -> str:
        """A device's name, for people."""
        link = self.link(ifindex)
        return link.name if link else f"device {ifindex}, which does not exist"

    def program_on(self, link: LinkInfo, hook: Hook) -> str | None:
        """Name of our program at a hook; None when there is none.

        Raises Unavailable when it is none of the generation at work, or its instructions are others than its
        twin's.
        """
        attached = self._netlink.filter_of(link.name, hook)
        if attached is None:
            return None
        name = self.facts.programs.get(attached.program_id)
        if name is None or self._twins.tag(name) != attached.tag:
            raise Unavailable(
                f"the program at {hook} of {link.name} (number {attached.program_id}, tag {attached.tag}) is none of "
                "those this agent has loaded: they are just being replaced, or another agent attached it; walk again"
            )
        return name

    def tag(self, program: str) -> str:
        """The kernel's hash of a program's instructions."""
        return self._twins.tag(program)

    def run(self, program: str, arrival: Arrival) -> TwinRun:
        """Let a program's twins see the packet."""
        return self._twins.run(program, arrival)

    def stages(self, calls: tuple[NotedCall, ...]) -> tuple[Stage, ...]:
        """What the programs asked for."""
        return stages(calls, self.facts.specs, self.name_of)

    # --- routes and neighbours ------------------------------------------------------------------

    def path(self, question: Question) -> Path | NoPath:
        """The route of a packet."""
        if question.received_by and question.destination.version == 6 and not self._forwards_ipv6():
            found = find_path(self._netlink.socket, question)
            if isinstance(found, Path) and not found.is_here:
                return NoPath(errno=0, text="IPv6 forwarding is off (net.ipv6.conf.all.forwarding)")
        return find_path(self._netlink.socket, question)

    def neighbor(self, ifindex: int, address: Address) -> bytes | None:
        """MAC address of a neighbour, if it is known."""
        return neighbor_of(self._netlink.socket, ifindex, address)

    def is_known_silent(self, ifindex: int, address: Address) -> bool:
        """Whether the kernel has asked for that neighbour in vain."""
        return is_known_silent(self._netlink.socket, ifindex, address)

    def _forwards_ipv6(self) -> bool:
        return read_sysctl("ipv6/conf/all/forwarding") == "1"

    # --- the cluster ----------------------------------------------------------------------------

    def endpoint(self, number: int) -> Endpoint:
        """By its number. Raises NotFound."""
        for item in self.facts.endpoints:
            if item.id == number:
                return item
        raise NotFound(f"endpoint {number} does not exist on node {self.facts.node.name}; see `netctl endpoint list`")

    def endpoint_behind(self, ifindex: int) -> Endpoint | None:
        """By the index of the host side of its interface."""
        return next((item for item in self.facts.endpoints if item.ifindex == ifindex), None)

    def node_at(self, address: Address) -> str:
        """Name of the other node with that underlay address, or that of one of its pods; "" when none has it."""
        return next(
            (node.name for node in self.facts.others if address in node.underlays or _within(address, node.pod_cidrs)),
            "",
        )

    def masquerades(self, source: Address, destination: Address, leaving_by: LinkInfo) -> bool:
        """Whether a packet from a workload of this node takes the node's address on its way out.

        Raises FirewallError when the table that does it cannot be looked at.
        """
        own = self.facts.node.pod_cidrs
        cluster = (*own, *self.facts.unmasqueraded)
        inside = _within(source, own) and not _within(destination, cluster)
        wanted = self.facts.masquerade and inside and not leaving_by.ours
        return wanted and has_table(masquerade_table(self.facts.node.name))

    def pod_side(self, endpoint: Endpoint, question: Question) -> PodSide:
        """The workload's interface and its kernel's answer. Raises NotFound when the namespace is gone."""
        attachment = endpoint.attachment
        with open_netns(attachment.netns) as fd:
            return call_in_netns(fd, lambda: _inside(attachment.ifname, question))


def _inside(ifname: str, question: Question) -> PodSide:
    with RtnlSocket() as rtnl:
        answer = rtnl.call(requests.get_link(ifname))
        if not answer:
            raise NotFound(f'the workload has no interface "{ifname}" any more')
        link = link_info(answer[0])
        received_by = link.ifindex if question.received_by else 0
        asked = Question(destination=question.destination, source=question.source, received_by=received_by)
        path = find_path(rtnl, asked)
        next_hop = (path.via or question.destination) if isinstance(path, Path) else question.destination
        neighbor = None if received_by else neighbor_of(rtnl, link.ifindex, next_hop)
    return PodSide(ifname=ifname, up=link.up, mtu_bytes=link.mtu_bytes, path=path, neighbor=neighbor)


def drop_in(run: TwinRun) -> Drop | None:
    """The drop a program reported; None when it reported none."""
    for raw in run.events:
        header = decode(EventHeader, raw[:HEADER_BYTES])
        if header.type == EventType.DROP:
            reason = _REASONS.get(header.code)
            return Drop(
                reason=header.code,
                name=reason.name if reason else str(header.code),
                text=reason.text if reason else f"reason {header.code}",
                hint=reason.hint if reason else "",
                direction=_DIRECTIONS.get(header.direction, ""),
                source_identity=header.source_identity,
                destination_identity=header.destination_identity,
                line=header.line,
            )
    return None


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
