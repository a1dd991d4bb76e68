"""Where a packet's way on a node begins and ends: in a workload, in the node's own stack, on the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from netloom.agent.walk.stack import UNKNOWN_MAC, addresses, neighbor_mac
from netloom.agent.walk.state import AtHook, Found, Step, Walk
from netloom.bpf.twin import Arrival
from netloom.datapath import craft
from netloom.edge.answers import LinkInfo
from netloom.edge.paths import NoPath, Question
from netloom.model.address import Address
from netloom.model.endpoint import Endpoint
from netloom.model.errors import NotFound
from netloom.model.walk import Ending, Fate, Place

MakeProbe = Callable[[Address], craft.Probe]
"""The packet, once its source is known."""
_REDIRECT = 7
_GATEWAY_MAC = bytes.fromhex("02000000fffe")
"""Locally administered: of a router that this node has not met."""


def leave_pod(walk: Walk, endpoint: Endpoint, probe: craft.Probe) -> Step:
    """A workload sends the packet: its own routes, its gateway's MAC address as its programs answer for it.

    Raises NotFound when the workload or its interface is gone.
    """
    link = walk.around.link(endpoint.ifindex)
    if link is None:
        raise NotFound(f"the interface of endpoint {endpoint.id}, {endpoint.attachment.host_ifname}, is gone")
    side = walk.around.pod_side(endpoint, Question(destination=probe.destination))
    packet = craft.ip_packet(probe)
    where = Found(text="", device=side.ifname, hook="egress", endpoint_id=endpoint.id)
    frame = craft.ethernet(packet, source=endpoint.mac, destination=side.neighbor or UNKNOWN_MAC)
    if isinstance(side.path, NoPath) or not side.up:
        text = side.path.text if isinstance(side.path, NoPath) else "the interface is down"
        return walk.kernel_drops(Place.POD, replace(where, text=text), frame)
    next_hop = side.path.via or probe.destination
    mac, told = side.neighbor, "which it knows already"
    if mac is None:
        mac, told = _answered(walk, endpoint, link, next_hop), "as the program answers for it"
    if mac is None:
        text = f"nobody answers for the next hop {next_hop}"
        return walk.kernel_drops(Place.POD, replace(where, text=text), frame)
    frame = craft.with_macs(frame, source=endpoint.mac, destination=mac)
    notes = _size_note(len(packet), side.mtu_bytes)
    text = f"{_pod_name(endpoint)} sends via {next_hop} at {mac.hex(':')}, {told}"
    walk.note(Place.POD, replace(where, text=text, captured=True, notes=notes), frame, frame)
    return AtHook(link=link, hook="ingress", frame=frame)


def _pod_name(endpoint: Endpoint) -> str:
    return endpoint.pod_name or f"endpoint {endpoint.id}"


def _answered(walk: Walk, endpoint: Endpoint, link: LinkInfo, target: Address) -> bytes | None:
    """The MAC address the program at the workload's interface gives for ``target``, asked as the workload asks."""
    program = walk.around.program_on(link, "ingress")
    if program is None:
        return None
    if isinstance(target, IPv4Address) and endpoint.ipv4:
        asking = craft.arp_request(sender=endpoint.ipv4, sender_mac=endpoint.mac, target=target)
    elif isinstance(target, IPv6Address) and endpoint.ipv6:
        asking = craft.neighbor_solicitation(sender=endpoint.ipv6, sender_mac=endpoint.mac, target=target)
    else:
        return None
    run = walk.around.run(program, Arrival(frame=asking, ifindex=link.ifindex))
    return run.frame[6:12] if run.verdict == _REDIRECT else None


def _size_note(packet_bytes: int, mtu_bytes: int) -> tuple[str, ...]:
    if packet_bytes <= mtu_bytes:
        return ()
    text = f"larger than the interface's MTU of {mtu_bytes}: the workload's own stack would cut it or refuse it"
    return (f"{text}; walked whole, as a workload with a larger MTU sends it",)


def enter_pod(walk: Walk, link: LinkInfo, frame: bytes) -> Step:
    """Behind the host side of an interface: does the workload's own kernel take the packet?"""
    endpoint = walk.around.endpoint_behind(link.ifindex)
    if endpoint is None:
        found = Found(text=f"no endpoint is behind {link.name}", device=link.name, hook="egress")
        return walk.kernel_drops(Place.DEVICE, found, frame)
    ends = addresses(frame)
    if ends is None:
        return _received(walk, endpoint, frame)
    question = Question(destination=ends[1], source=ends[0], received_by=link.ifindex)
    side = walk.around.pod_side(endpoint, question)
    refusal = ""
    if not side.up:
        refusal = "the workload's interface is down"
    elif frame[:6] != endpoint.mac:
        refusal = f"addressed to {frame[:6].hex(':')}, which is not the workload's interface"
    elif isinstance(side.path, NoPath):
        refusal = f"the workload's stack: {side.path.text}"
    elif not side.path.is_here:
        refusal = f"{ends[1]} is no address of the workload"
    if refusal:
        found = Found(text=refusal, device=side.ifname, hook="ingress", captured=side.up, endpoint_id=endpoint.id)
        return walk.kernel_drops(Place.POD, found, frame)
    return _received(walk, endpoint, frame)


def _received(walk: Walk, endpoint: Endpoint, frame: bytes) -> Ending:
    text = f"delivered to {_pod_name(endpoint)}"
    device = endpoint.attachment.ifname
    found = Found(text=text, device=device, hook="ingress", captured=True, endpoint_id=endpoint.id)
    walk.note(Place.POD, found, frame, frame)
    return Ending(fate=Fate.DELIVERED, text=text, endpoint_id=endpoint.id)


def leave_host(walk: Walk, destination: Address, source: Address | None, make: MakeProbe) -> Step:
    """The node itself sends the packet; the kernel chooses the source unless one is given."""
    path = walk.around.path(Question(destination=destination, source=source))
    if isinstance(path, NoPath):
        return walk.kernel_drops(Place.STACK, Found(text=path.text), b"")
    chosen, out = source or path.source or destination, walk.around.link(path.ifindex)
    packet = craft.ip_packet(make(chosen))
    if path.is_here or out is None:
        frame = craft.ethernet(packet, source=UNKNOWN_MAC, destination=UNKNOWN_MAC)
        walk.note(Place.STACK, Found(text="for the node itself"), frame, frame)
        return Ending(fate=Fate.DELIVERED, text=f"delivered to node {walk.around.facts.node.name} itself")
    mac, notes = neighbor_mac(walk, out, path.via or destination)
    frame = craft.ethernet(packet, source=out.mac, destination=mac)
    via = f" via {path.via}" if path.via else ""
    text = f"node {walk.around.facts.node.name} sends from {chosen} by {out.name}{via}"
    walk.note(Place.STACK, Found(text=text, notes=notes), frame, frame)
    return AtHook(link=out, hook="egress", frame=frame)


def from_world(walk: Walk, probe: craft.Probe) -> Step:
    """A packet from outside arrives at the underlay device, by the router to its source."""
    link = walk.around.named_link(walk.around.facts.underlay_device)
    path = walk.around.path(Question(destination=probe.source))
    next_hop = probe.source if isinstance(path, NoPath) else path.via or probe.source
    mac, _ = neighbor_mac(walk, link, next_hop)
    router = _GATEWAY_MAC if mac == UNKNOWN_MAC else mac
    frame = craft.ethernet(craft.ip_packet(probe), source=router, destination=link.mac)
    return AtHook(link=link, hook="ingress", frame=frame)


def from_wire(walk: Walk, frame: bytes) -> Step:
    """A frame that another node sent; routers between the two have put this node's MAC address in."""
    link = walk.around.named_link(walk.around.facts.underlay_device)
    addressed = craft.with_macs(frame, source=frame[6:12], destination=link.mac)
    return AtHook(link=link, hook="ingress", frame=addressed)


def onto_wire(walk: Walk, at: AtHook) -> Step:
    """The frame leaves the node: for another node of the cluster when it is addressed to one, else for the world."""
    ends = addresses(at.frame)
    node = walk.around.node_at(ends[1]) if ends else ""
    where = f"node {node}" if node else str(ends[1]) if ends else "the wire"
    found = Found(text=f"onto the wire, to {where}", device=at.link.name, hook="egress", captured=True)
    walk.note(Place.DEVICE, found, at.frame, at.frame)
    fate = Fate.NODE if node else Fate.WORLD
    return Ending(fate=fate, text=f"left by {at.link.name} for {where}", node=node, frame=at.frame)
