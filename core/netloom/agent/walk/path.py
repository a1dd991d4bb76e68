"""The way of a packet through one node, step by step: programs decide by running, the kernel by being asked.

A packet is at a hook of a device or in the node's stack. Each step adds a hop and gives the next place, until the
packet ends: with a workload, with the node itself, dropped, or on the wire.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from ipaddress import ip_address

from netloom.agent.walk.answers import answered, begun_in
from netloom.agent.walk.calls import tunnel_key
from netloom.agent.walk.ends import enter_pod, onto_wire
from netloom.agent.walk.node import drop_in
from netloom.agent.walk.stack import in_stack, neighbor_mac
from netloom.agent.walk.state import AtHook, Found, InStack, Step, Walk
from netloom.bpf.instrument import TunnelInput
from netloom.bpf.twin import Arrival, Entry, NotedCall, TwinRun
from netloom.datapath import craft
from netloom.datapath.packets import ETHERNET_BYTES
from netloom.datapath.proxy import MARK_FROM_PROXY
from netloom.edge.paths import NoPath, Question
from netloom.model.address import Address
from netloom.model.walk import Drop, Ending, Fate, Place

MAX_HOPS = 32
"""On one node; a packet that goes further goes round in a circle."""
_REDIRECT = 7
_PASSING = (-1, 0)
"""TC_ACT_UNSPEC (TCX_NEXT) and TC_ACT_OK: the packet goes on as if there were no program."""
_INGRESS = 1
_TUNINFO_IPV6 = 1
_REDIRECTS = ("redirect", "redirect_peer", "redirect_neigh")
_U32 = 0xFFFFFFFF
_REDIR_NEIGH = struct.Struct("=I16s")


def walk_on(walk: Walk, step: Step) -> Ending:
    """From a first step to the packet's end on this node."""
    while not isinstance(step, Ending):
        if len(walk.hops) >= MAX_HOPS:
            found = Found(text=f"it goes round in a circle: {MAX_HOPS} hops on one node")
            step = walk.kernel_drops(Place.STACK, found, step.frame)
        elif isinstance(step, InStack):
            step = in_stack(walk, step)
        else:
            step = _at_hook(walk, step)
    return _in_the_end(walk, step)


def _in_the_end(walk: Walk, ending: Ending) -> Ending:
    """A packet that was dropped and answered ends as dropped, whatever became of the answer."""
    if walk.drop is None:
        return ending
    answer = walk.hops[-1].packet if ending.fate is Fate.DELIVERED else ""
    return Ending(fate=Fate.DROPPED, text=walk.drop.text, drop=walk.drop, answer=answer)


def _at_hook(walk: Walk, at: AtHook) -> Step:
    if not at.link.up:
        found = Found(text="the device is down", device=at.link.name, hook=at.hook)
        return walk.kernel_drops(Place.DEVICE, found, at.frame)
    program = walk.around.program_on(at.link, at.hook)
    if program is not None:
        return _run(walk, at, program)
    if at.hook == "egress":
        return _transmit(walk, at, seen=False)
    text = "received; no program here, so it goes up to the stack"
    walk.note(Place.DEVICE, Found(text=text, device=at.link.name, hook="ingress", captured=True), at.frame, at.frame)
    return InStack(link=at.link, frame=at.frame, mark=at.mark)


def _run(walk: Walk, at: AtHook, program: str) -> Step:
    entries = _remembered(walk, at)
    arrival = Arrival(frame=at.frame, ifindex=at.link.ifindex, mark=at.mark, tunnel=at.tunnel, entries=entries)
    run = walk.around.run(program, arrival)
    walk.connection = begun_in(run.calls) or walk.connection
    reported = drop_in(run)
    passes, redirects = run.verdict in _PASSING, run.verdict == _REDIRECT
    drop = reported if passes or redirects else (reported or _silent_drop(program, run))
    last = next((call for call in reversed(run.calls) if call.helper.name in _REDIRECTS), None)
    found = Found(
        text=_verdict_text(walk, run, drop, last),
        device=at.link.name,
        hook=at.hook,
        captured=at.hook == "ingress" or passes,
        program=program,
        stages=walk.around.stages(run.calls),
        drop=drop,
        notes=_notes(run),
    )
    walk.drop = walk.drop or drop
    if redirects and last is not None and last.helper.name == "redirect_neigh":
        return _by_neighbor(walk, at, run, found)
    walk.note(Place.PROGRAM, found, at.frame, run.frame)
    if redirects and last is not None:
        return _redirected(walk, at, run, last)
    if not passes:
        return Ending(fate=Fate.DROPPED, text=drop.text if drop else "", drop=drop)
    if at.hook == "ingress":
        return InStack(link=at.link, frame=run.frame, mark=run.mark)
    after = AtHook(link=at.link, hook="egress", frame=run.frame, mark=run.mark, tunnel=at.tunnel)
    return _transmit(walk, after, seen=True)


def _remembered(walk: Walk, at: AtHook) -> tuple[Entry, ...]:
    """What connection maps hold of the packet: what it answers in, or what the proxy has taken over."""
    if at.mark == MARK_FROM_PROXY:
        return (walk.connection,) if walk.connection else ()
    return answered(at.frame, walk.tunnel_port, is_proxied=walk.is_proxied) if walk.is_reply else ()


def _verdict_text(walk: Walk, run: TwinRun, drop: Drop | None, redirect: NotedCall | None) -> str:
    if drop is not None:
        return f"dropped: {drop.text}" + (", and answered" if run.verdict == _REDIRECT else "")
    if run.verdict == _REDIRECT and redirect is not None:
        return next(call.text for stage in walk.around.stages((redirect,)) for call in stage.calls)
    return "passed on unredirected"


def _silent_drop(program: str, run: TwinRun) -> Drop:
    text = f"program {program} ended with verdict {run.verdict} and gave no reason"
    return Drop(reason=0, name="UNREPORTED", text=text)


def _notes(run: TwinRun) -> tuple[str, ...]:
    if run.compared:
        return ()
    return ("walked without comparing: a program here calls helpers that reach beyond the packet",)


def _redirected(walk: Walk, at: AtHook, run: TwinRun, call: NotedCall) -> Step:
    """To where the last redirect says; that is the only one that counts."""
    ifindex = call.arguments[0] & _U32
    link = walk.around.link(ifindex)
    if link is None:
        found = Found(text=f"redirected to device {ifindex}, which does not exist", device=at.link.name, hook=at.hook)
        return walk.kernel_drops(Place.DEVICE, found, run.frame)
    if call.helper.name == "redirect_peer":
        return enter_pod(walk, link, run.frame)
    if call.arguments[1] & _INGRESS:
        return AtHook(link=link, hook="ingress", frame=run.frame, mark=run.mark)
    return AtHook(link=link, hook="egress", frame=run.frame, mark=run.mark, tunnel=_set_tunnel(run))


def _set_tunnel(run: TwinRun) -> TunnelInput | None:
    """The tunnel key a program has set, for the tunnel device it redirects to."""
    calls = [call for call in run.calls if call.helper.name == "skb_set_tunnel_key" and not call.result]
    if not calls:
        return None
    is_ipv6 = bool(calls[-1].arguments[3] & _TUNINFO_IPV6)
    return TunnelInput(1, int(is_ipv6), calls[-1].before.ljust(44, b"\0"))


def _by_neighbor(walk: Walk, at: AtHook, run: TwinRun, found: Found) -> Step:
    """The kernel writes the Ethernet header anew, for the next hop the program names or the one its routes name."""
    call = next(call for call in reversed(run.calls) if call.helper.name == "redirect_neigh")
    link, packet = walk.around.link(call.arguments[0] & _U32), run.frame[ETHERNET_BYTES:]
    next_hop = _named_next_hop(call.before) or _routed_next_hop(walk, packet)
    if link is None or isinstance(next_hop, NoPath):
        walk.note(Place.PROGRAM, found, at.frame, run.frame)
        why = next_hop.text if isinstance(next_hop, NoPath) else "the device it is redirected to does not exist"
        return walk.kernel_drops(Place.DEVICE, Found(text=why, device=at.link.name, hook="egress"), run.frame)
    mac, notes = neighbor_mac(walk, link, next_hop)
    frame = craft.ethernet(packet, source=link.mac, destination=mac)
    walk.note(Place.PROGRAM, replace(found, notes=(*found.notes, *notes)), at.frame, frame)
    return AtHook(link=link, hook="egress", frame=frame, mark=run.mark)


def _named_next_hop(raw: bytes) -> Address | None:
    """From a ``struct bpf_redir_neigh``: family, then an address of 16 bytes; None when there is none."""
    if len(raw) < _REDIR_NEIGH.size:
        return None
    family, address = _REDIR_NEIGH.unpack_from(raw)
    return ip_address(address[:4] if family == socket.AF_INET else address)


def _routed_next_hop(walk: Walk, packet: bytes) -> Address | NoPath:
    destination = ip_address(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])
    path = walk.around.path(Question(destination=destination))
    return path if isinstance(path, NoPath) else path.via or destination


def _transmit(walk: Walk, at: AtHook, *, seen: bool) -> Step:
    """A device sends the frame; ``seen`` when a program's hop has told so already."""
    facts = walk.around.facts
    if facts.tunnel and at.link.name == facts.tunnel.device:
        return _wrap(walk, at, seen=seen)
    if walk.around.endpoint_behind(at.link.ifindex) is not None:
        _sent(walk, at, "out of the host side of the interface", seen=seen)
        return enter_pod(walk, at.link, at.frame)
    peer = walk.around.link(at.link.peer_ifindex) if at.link.kind == "veth" and at.link.ours else None
    if peer is not None:
        _sent(walk, at, f"out of {at.link.name} into {peer.name}", seen=seen)
        return AtHook(link=peer, hook="ingress", frame=at.frame, mark=at.mark)
    return onto_wire(walk, at)


def _sent(walk: Walk, at: AtHook, text: str, *, seen: bool) -> None:
    if not seen:
        found = Found(text=text, device=at.link.name, hook="egress", captured=True)
        walk.note(Place.DEVICE, found, at.frame, at.frame)


def _wrap(walk: Walk, at: AtHook, *, seen: bool) -> Step:
    """The kernel's tunnel device: outer headers from the tunnel key and from the route to the other node."""
    where = Found(text="", device=at.link.name, hook="egress")
    if at.tunnel is None:
        return walk.kernel_drops(Place.DEVICE, replace(where, text="the tunnel device got no tunnel key"), at.frame)
    vni, remote = tunnel_key(at.tunnel.key, is_ipv6=bool(at.tunnel.is_ipv6))
    path = walk.around.path(Question(destination=remote))
    out = None if isinstance(path, NoPath) else walk.around.link(path.ifindex)
    if isinstance(path, NoPath) or out is None or path.source is None:
        why = path.text if isinstance(path, NoPath) else "no source address"
        return walk.kernel_drops(Place.DEVICE, replace(where, text=f"the tunnel endpoint {remote}: {why}"), at.frame)
    mac, notes = neighbor_mac(walk, out, path.via or remote)
    outer = craft.Outer(
        source=path.source,
        destination=remote,
        source_mac=out.mac,
        destination_mac=mac,
        port=walk.tunnel_port,
        vni=vni,
        ttl=at.tunnel.key[21] or craft.DEFAULT_TTL,
    )
    frame = craft.encapsulate(at.frame, outer)
    found = Found(
        text=f"wrapped for {remote}, VNI {vni}, by {out.name}",
        device=at.link.name,
        hook="egress",
        captured=not seen,
        notes=("the kernel chooses the outer source port by the flow", *notes),
    )
    walk.note(Place.DEVICE, found, at.frame, frame)
    return AtHook(link=out, hook="egress", frame=frame)
