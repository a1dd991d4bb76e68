"""Where a packet's way on a node begins and ends: in a workload, in the node's own stack, on the wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from netloom.agent.walk.node import PodSide
from netloom.agent.walk.sending import as_sent, group_mac, meant, stays
from netloom.agent.walk.stack import UNKNOWN_MAC, addresses, neighbor_mac
from netloom.agent.walk.state import AtHook, Found, Step, Walk
from netloom.bpf.twin import Arrival
from netloom.datapath import craft
from netloom.datapath.reasons import DropReason
from netloom.edge.answers import LinkInfo
from netloom.edge.paths import NoPath, Path, Question
from netloom.model.address import Address
from netloom.model.endpoint import Endpoint
from netloom.model.errors import NotFound
from netloom.model.walk import Drop, Ending, Fate, Place

MakeProbe = Callable[[Address], craft.Probe]
"""The packet, once its source is known."""
_REDIRECT = 7
_OWN_COPY = "a sender that has joined the group takes a copy itself, which is not walked"
_GATEWAY_MAC = bytes.fromhex("02000000fffe")
"""Locally administered: of a router that this node has not met."""


def leave_pod(walk: Walk, endpoint: Endpoint, probe: craft.Probe, *, claimed: bool) -> Step:
    """A workload sends the packet: its own routes, its gateway's MAC address as its programs answer for it.

    ``claimed``: the source is the one asked for, not to be chosen by the workload's stack. Raises NotFound when the
    workload or its interface is gone.
    """
    link = walk.around.link(endpoint.ifindex)
    if link is None:
        raise NotFound(f"the interface of endpoint {endpoint.id}, {endpoint.attachment.host_ifname}, is gone")
    side = walk.around.pod_side(endpoint, Question(destination=meant(probe.destination)))
    where = Found(text="", device=side.ifname, hook="egress", endpoint_id=endpoint.id)
    if isinstance(side.path, NoPath):
        return _not_sent(walk, where, side.path.text, craft.ip_packet(probe))
    probe = replace(probe, source=probe.source if claimed else side.path.source or probe.source)
    if stays(side.path):
        return _stays(walk, endpoint, replace(probe, destination=meant(probe.destination)))
    if not side.up:
        return _not_sent(walk, where, "the interface is down", craft.ip_packet(probe))
    sent = as_sent(probe, side.path.mtu_bytes or side.mtu_bytes, "pod")
    if sent.refusal:
        return _not_sent(walk, where, sent.refusal, sent.packet)
    mac, text, notes = _addressed(walk, endpoint, side, (side.path, probe.destination))
    if mac is None:
        return _not_sent(walk, where, text, sent.packet)
    frame = craft.ethernet(sent.packet, source=endpoint.mac, destination=mac)
    notes = (sent.note, *notes) if sent.note else notes
    walk.note(Place.POD, replace(where, text=text, captured=True, notes=notes), frame, frame)
    return AtHook(link=link, hook="ingress", frame=frame)


def _not_sent(walk: Walk, where: Found, why: str, packet: bytes) -> Ending:
    """The workload's own stack keeps the packet."""
    frame = craft.ethernet(packet, source=UNKNOWN_MAC, destination=UNKNOWN_MAC)
    return walk.kernel_drops(Place.POD, replace(where, text=why), frame)


def _stays(walk: Walk, endpoint: Endpoint, probe: craft.Probe) -> Ending:
    """No program meets what a workload sends to itself."""
    frame = craft.ethernet(craft.ip_packet(probe), source=UNKNOWN_MAC, destination=UNKNOWN_MAC)
    where = Found(text="stays within the pod, by lo", device="lo", hook="egress", captured=True)
    walk.note(Place.POD, replace(where, endpoint_id=endpoint.id), frame, frame)
    text = f"delivered to {_pod_name(endpoint)} itself"
    return Ending(fate=Fate.DELIVERED, text=text, endpoint_id=endpoint.id)


def _addressed(
    walk: Walk, endpoint: Endpoint, side: PodSide, way: tuple[Path, Address]
) -> tuple[bytes | None, str, tuple[str, ...]]:
    """To which MAC address the workload sends, a sentence about it, and notes; None when it finds none."""
    (path, destination), name = way, _pod_name(endpoint)
    group = group_mac(path, destination)
    if group is not None:
        notes = (_OWN_COPY,) if destination.is_multicast else ()
        return group, f"{name} sends to everybody at {group.hex(':')}, and asks for no neighbour", notes
    next_hop = path.via or destination
    if side.neighbor is not None:
        return side.neighbor, f"{name} sends via {next_hop} at {side.neighbor.hex(':')}, which it knows already", ()
    link = walk.around.link(endpoint.ifindex)
    mac = _answered(walk, endpoint, link, next_hop) if link else None
    if mac is None:
        return None, f"nobody answers for the next hop {next_hop}", ()
    return mac, f"{name} sends via {next_hop} at {mac.hex(':')}, as the program answers for it", ()


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
    path = walk.around.path(Question(destination=meant(destination), source=source))
    if isinstance(path, NoPath):
        return walk.kernel_drops(Place.STACK, Found(text=path.text), b"")
    probe, out = make(source or path.source or destination), walk.around.link(path.ifindex)
    name = walk.around.facts.node.name
    if stays(path) or out is None:
        packet = craft.ip_packet(replace(probe, destination=meant(destination)))
        frame = craft.ethernet(packet, source=UNKNOWN_MAC, destination=UNKNOWN_MAC)
        walk.note(Place.STACK, Found(text="stays within the node, by lo"), frame, frame)
        return Ending(fate=Fate.DELIVERED, text=f"delivered to node {name} itself")
    sent = as_sent(probe, path.mtu_bytes or out.mtu_bytes, "node")
    group = group_mac(path, destination)
    mac, notes = (group, ()) if group else neighbor_mac(walk, out, path.via or destination)
    frame = craft.ethernet(sent.packet, source=out.mac, destination=mac)
    if sent.refusal:
        return walk.kernel_drops(Place.STACK, Found(text=sent.refusal), frame)
    via = f" via {path.via}" if path.via else ""
    text = f"node {name} sends from {probe.source} by {out.name}{via}"
    walk.note(Place.STACK, Found(text=text, notes=(*filter(None, [sent.note]), *notes)), frame, frame)
    return AtHook(link=out, hook="egress", frame=frame)


def from_world(walk: Walk, probe: craft.Probe) -> Step:
    """A packet from outside arrives by the router to its source."""
    path = walk.around.path(Question(destination=probe.source))
    link = _uplink_of(walk, path)
    next_hop = probe.source if isinstance(path, NoPath) else path.via or probe.source
    mac, _ = neighbor_mac(walk, link, next_hop)
    router = _GATEWAY_MAC if mac == UNKNOWN_MAC else mac
    return _arriving(walk, link, craft.ethernet(craft.ip_packet(probe), source=router, destination=link.mac))


def from_wire(walk: Walk, frame: bytes) -> Step:
    """A frame that another node sent; routers between the two have put this node's MAC address in."""
    ends = addresses(frame)
    path = walk.around.path(Question(destination=ends[0])) if ends else None
    link = _uplink_of(walk, path)
    return _arriving(walk, link, craft.with_macs(frame, source=frame[6:12], destination=link.mac))


def _uplink_of(walk: Walk, answers_by: Path | NoPath | None) -> LinkInfo:
    """By which a packet comes: the network's choice, taken to be the one by which the node would answer."""
    first, *others = walk.around.facts.uplinks
    link = walk.around.link(answers_by.ifindex) if isinstance(answers_by, Path) else None
    return link if link is not None and link.name in others else walk.around.named_link(first)


def _arriving(walk: Walk, link: LinkInfo, frame: bytes) -> Step:
    """From the wire: the prefilter is asked before anybody else sees the frame. Its set is asked, not its program."""
    ends = addresses(frame)
    refused = walk.around.facts.prefiltered(ends[0]) if ends else ""
    if not refused:
        return AtHook(link=link, hook="ingress", frame=frame)
    reason = DropReason.PREFILTERED
    drop = Drop(reason=reason, name=reason.name, text=reason.text, hint=reason.hint, direction="ingress")
    text = f"dropped: {reason.text}, since {refused} is refused"
    walk.drop = drop
    walk.note(Place.DEVICE, Found(text=text, device=link.name, hook="ingress", drop=drop), frame, frame)
    return Ending(fate=Fate.DROPPED, text=reason.text, drop=drop)


def onto_wire(walk: Walk, at: AtHook) -> Step:
    """The frame leaves the node: for another node of the cluster when it is addressed to one, else for the world."""
    ends = addresses(at.frame)
    node = walk.around.node_at(ends[1]) if ends else ""
    where = f"node {node}" if node else str(ends[1]) if ends else "the wire"
    unmet = walk.unmet if at.frame[:6] == UNKNOWN_MAC else None
    if unmet and unmet.silent:
        text = f"nobody answers for {unmet.address} on {at.link.name}: the kernel has asked in vain"
        return walk.kernel_drops(Place.DEVICE, Found(text=text, device=at.link.name, hook="egress"), at.frame)
    found = Found(text=f"onto the wire, to {where}", device=at.link.name, hook="egress", captured=True)
    walk.note(Place.DEVICE, found, at.frame, at.frame)
    left = f"left by {at.link.name} for {where}"
    if unmet:
        left += f", if anybody answers for {unmet.address} there: that is not known"
    return Ending(fate=Fate.NODE if node else Fate.WORLD, text=left, node=node, frame=at.frame)
