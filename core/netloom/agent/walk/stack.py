"""The node's IP stack on a packet's way: local delivery, forwarding, masquerading, by the kernel's own answers."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from netloom.agent.walk.calls import pack_tunnel_key
from netloom.agent.walk.state import AtHook, Found, InStack, Step, Unmet, Walk
from netloom.bpf.instrument import TunnelInput
from netloom.datapath import craft
from netloom.datapath.packets import ETHERNET_BYTES
from netloom.datapath.proxy import MARK_TO_PROXY
from netloom.edge.answers import LinkInfo
from netloom.edge.paths import NoPath, Path, Question
from netloom.model.address import Address
from netloom.model.walk import Ending, Fate, Place

Ends = tuple[Address, Address]
"""Source and destination."""
UNKNOWN_MAC = bytes(6)
_GROUP_BIT = 1
_DONT_FRAGMENT = 0x40
_UNKNOWN_NEIGHBOR = "the MAC address of {} is not known yet: the kernel asks for it first"


def in_stack(walk: Walk, at: InStack) -> Step:
    """A packet that a device received and no program took."""
    ends = addresses(at.frame)
    refusal = refused_at_the_door(at, ends, walk.around.facts.doors)
    if refusal:
        return walk.kernel_drops(Place.STACK, Found(text=refusal), at.frame)
    source, destination = ends  # type: ignore[misc] # a frame without addresses was refused
    question = Question(destination=destination, source=source, received_by=at.link.ifindex, mark=at.mark)
    path = walk.around.path(question)
    if isinstance(path, NoPath):
        return walk.kernel_drops(Place.STACK, Found(text=path.text), at.frame)
    if path.is_here:
        return _to_proxy(walk, at) if at.mark == MARK_TO_PROXY else _here(walk, at)
    return _forward(walk, at, path, (source, destination))


def addresses(frame: bytes) -> Ends | None:
    """Source and destination of an IP packet in a frame; None when it is none."""
    ethertype, packet = int.from_bytes(frame[12:14], "big"), frame[ETHERNET_BYTES:]
    if ethertype == 0x0800 and len(packet) >= 20:
        return ip_address(packet[12:16]), ip_address(packet[16:20])
    if ethertype == 0x86DD and len(packet) >= 40:
        return ip_address(packet[8:24]), ip_address(packet[24:40])
    return None


def neighbor_mac(walk: Walk, link: LinkInfo, next_hop: Address) -> tuple[bytes, tuple[str, ...]]:
    """The MAC address of a next hop and, when the kernel has none yet, a note that says so."""
    if link.noarp:
        return link.mac, ()
    found = walk.around.neighbor(link.ifindex, next_hop)
    if found:
        return found, ()
    silent = walk.around.is_known_silent(link.ifindex, next_hop)
    walk.unmet = Unmet(address=next_hop, silent=silent)
    return UNKNOWN_MAC, () if silent else (_UNKNOWN_NEIGHBOR.format(next_hop),)


def refused_at_the_door(at: InStack, ends: Ends | None, doors: tuple[str, ...]) -> str:
    """Why the stack does not even look at the packet; "" when it does."""
    if ends is None:
        return "no IP packet: the stack has no use for it"
    if at.link.ours and at.link.name not in doors:
        return f"the guard: nothing enters the stack by {at.link.name} that its program did not send there"
    if at.frame[:6] != at.link.mac and not at.frame[0] & _GROUP_BIT:
        return f"addressed to {at.frame[:6].hex(':')}, which is not {at.link.name}"
    return ""


def _to_proxy(walk: Walk, at: InStack) -> Ending:
    """A program has chosen the proxy's socket; a route of ours keeps the packet here, whatever address it is for."""
    name = walk.around.facts.node.name
    walk.note(Place.STACK, Found(text="kept on this node by its mark, for the proxy's socket"), at.frame, at.frame)
    walk.handed = at
    return Ending(fate=Fate.PROXY, text=f"handed to the proxy of {name}, which judges requests")


def _here(walk: Walk, at: InStack) -> Step:
    facts = walk.around.facts
    inner = craft.decapsulate(at.frame, walk.tunnel_port) if facts.tunnel else None
    if facts.tunnel is None or inner is None:
        text = "for the node itself"
        walk.note(Place.STACK, Found(text=text), at.frame, at.frame)
        return Ending(fate=Fate.DELIVERED, text=f"delivered to node {facts.node.name} itself")
    device = walk.around.named_link(facts.tunnel.device)
    text = f"for the overlay's UDP port {facts.tunnel.port}: {device.name} unwraps it, VNI {inner.vni}"
    walk.note(Place.STACK, Found(text=text), at.frame, inner.frame)
    key = pack_tunnel_key(inner.vni, inner.source, craft.DEFAULT_TTL)
    tunnel = TunnelInput(1, int(inner.source.version == 6), key)
    return AtHook(link=device, hook="ingress", frame=inner.frame, tunnel=tunnel)


def _forward(walk: Walk, at: InStack, path: Path, ends: Ends) -> Step:
    out = walk.around.link(path.ifindex)
    if out is None:
        return walk.kernel_drops(Place.STACK, Found(text=f"the route's device {path.ifindex} is gone"), at.frame)
    refusal = not_forwarded(at.frame, path.mtu_bytes or out.mtu_bytes)
    if refusal:
        return walk.kernel_drops(Place.STACK, Found(text=refusal), at.frame)
    sent = Sent(frame=craft.with_hop_taken(at.frame), ends=ends, verb="forwards")
    return leave(walk, at, sent, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the stack sends for a packet that it has."""

    frame: bytes
    ends: Ends
    verb: str
    """For what it does then: ``forwards``."""


def leave(walk: Walk, at: InStack, sent: Sent, path: Path) -> Step:
    """The stack sends by a route, from the node's own address where that is to be."""
    out = walk.around.link(path.ifindex)
    if out is None:
        return walk.kernel_drops(Place.STACK, Found(text=f"the route's device {path.ifindex} is gone"), at.frame)
    frame, words = sent.frame, [f"{sent.verb} by {out.name}"]
    if path.via is not None:
        words.append(f"via {path.via}")
    if walk.around.masquerades(*sent.ends, out):
        address = _address_of(walk, sent.ends[1])
        if address is not None:
            frame = craft.with_source(frame, address)
            words.append(f"masqueraded as {address}")
    mac, notes = neighbor_mac(walk, out, path.via or sent.ends[1])
    frame = craft.with_macs(frame, source=out.mac, destination=mac)
    walk.note(Place.STACK, Found(text=", ".join(words), notes=notes), at.frame, frame)
    return AtHook(link=out, hook="egress", frame=frame, mark=at.mark)


def _address_of(walk: Walk, destination: Address) -> Address | None:
    """What the kernel would send from to that destination, which is what masquerading gives."""
    path = walk.around.path(Question(destination=destination))
    return path.source if isinstance(path, Path) else None


def not_forwarded(frame: bytes, mtu_bytes: int) -> str:
    """Why a router sends the packet back; "" when it does not."""
    packet = frame[ETHERNET_BYTES:]
    ipv4 = packet[0] >> 4 == 4
    if packet[8 if ipv4 else 7] <= 1:
        return "TTL exceeded: the stack answers with ICMP time exceeded"
    if len(packet) > mtu_bytes and (not ipv4 or packet[6] & _DONT_FRAGMENT):
        return f"larger than {mtu_bytes} bytes: the stack answers with ICMP packet too big"
    return ""
