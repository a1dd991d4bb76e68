"""Packet walks: one node's part of the way of a packet that nobody sends.

Twins of the programs are loaded for the first walk, serve until the programs are replaced, and go when nobody has asked
for a while. Walks go one after another, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal

import msgspec
import structlog

from netloom.agent import views
from netloom.agent.decoding import decoded
from netloom.agent.generation import Generation
from netloom.agent.judging import bytes_of
from netloom.agent.walk.ends import from_wire, from_world, leave_host, leave_pod
from netloom.agent.walk.node import NodeFacts, NodeSurroundings
from netloom.agent.walk.path import walk_on
from netloom.agent.walk.proxy import connection_of, judge, leave_proxy, pass_on
from netloom.agent.walk.state import InStack, Step, Walk
from netloom.bpf.maps import MapSet
from netloom.bpf.twin import Twins
from netloom.datapath import craft
from netloom.datapath.packets import ETHERNET_BYTES
from netloom.model.address import Address
from netloom.model.connection import Connection
from netloom.model.errors import Invalid, Unavailable
from netloom.model.walk import Ending, Hop, Part
from netloom.policy.l7_trace import RequestTrace

IDLE_S = 300.0
"""How long twins are kept after a walk: some megabytes of the kernel's memory that nobody may need again."""
MAX_FRAME_BYTES = ETHERNET_BYTES + craft.MAX_PACKET_BYTES + 70
"""A packet with the headers of a tunnel around it."""
_LEAST_FRAME_BYTES = {b"\x08\x00": ETHERNET_BYTES + 20, b"\x86\xdd": ETHERNET_BYTES + 40}
"""By ethertype: the kernel runs no program on an IP packet that is shorter than its header."""
MAX_PORT = 65535
MAX_TTL = 255


class PacketBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent."""

    destination: str
    source: str = ""
    """"" takes the sender's own."""
    protocol: Literal["icmp", "tcp", "udp"] = "icmp"
    port: int = 0
    size_bytes: int | None = None
    ttl: int = craft.DEFAULT_TTL
    dont_fragment: bool = False
    reply: bool = False


class RequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the client says over the connection that the packet begins."""

    protocol: str
    data: str
    """Each character is a byte of its number."""


class WalkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /v1/walk``."""

    start: Literal["endpoint", "host", "world", "wire"]
    endpoint: int = 0
    """Its number, for ``endpoint``."""
    packet: PacketBody | None = None
    """For every start but ``wire``."""
    frame: str = ""
    """For ``wire``: the frame as hexadecimal digits."""
    reply: bool = False
    """For ``wire``: whether it answers a packet, as :attr:`PacketBody.reply` says of others."""
    proxied: bool = False
    """Of an answer: whether this node's proxy has the connection, as it had the packet that is answered."""
    request: RequestBody | None = None
    """Without it, a walk ends where the proxy gets the packet."""


@dataclass(frozen=True, slots=True)
class SaidWords:
    """What a client says: not read yet."""

    protocol: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkRequest:
    """A checked request."""

    start: Literal["endpoint", "host", "world", "wire"]
    endpoint: int
    probe: craft.Probe | None
    """With a source that is to be replaced unless :attr:`source` is given."""
    source: Address | None
    frame: bytes
    is_reply: bool
    is_proxied: bool = False
    request: SaidWords | None = None


def read_walk(raw: bytes) -> WalkRequest:
    """Decode and check; raises Invalid."""
    body = decoded(raw, WalkBody, "the walk")
    request = SaidWords(body.request.protocol, bytes_of(body.request.data)) if body.request else None
    return replace(_read(body), is_proxied=body.proxied, request=request)


def _read(body: WalkBody) -> WalkRequest:
    if body.start == "wire":
        return WalkRequest(
            start="wire", endpoint=0, probe=None, source=None, frame=_frame(body.frame), is_reply=body.reply
        )
    if body.packet is None:
        raise Invalid(f'a walk that starts at "{body.start}" needs a packet')
    probe = _probe(body.packet)
    source = _address(body.packet.source, "source") if body.packet.source else None
    if body.start == "world" and source is None:
        raise Invalid("a packet from the world needs a source address")
    craft.ip_packet(probe)  # raises Invalid for what cannot be a packet
    return WalkRequest(
        start=body.start, endpoint=body.endpoint, probe=probe, source=source, frame=b"", is_reply=probe.reply
    )


Judge = Callable[[Connection, SaidWords], Awaitable[tuple[RequestTrace, ...]]]
"""What the node's proxy would say of each request, by what it knows of the connection and was told of policies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a walker gets what changes: asked at the beginning of every walk."""

    generation: Callable[[], Generation]
    maps: Callable[[], MapSet]
    facts: Callable[[], NodeFacts]
    judge: Judge


class Walker:
    """Serves the walks of one node."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lock = asyncio.Lock()
        self._twins: Twins | None = None
        self._twins_of: Generation | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def walk(self, request: WalkRequest) -> Part:
        """One packet's way through this node. Not to be cancelled: the thread that walks would go on.

        Raises NotFound for an endpoint that does not exist, Invalid for a packet or request that cannot be, Unavailable
        while programs are replaced or a stranger's is among the stages, Unsupported for programs that cannot be walked.
        """
        async with self._lock:
            self._stay_awake()
            facts = self._sources.facts()
            try:
                twins = await self._current_twins()
                return await self._walked(facts, twins, request)
            finally:
                self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._forget)

    async def _walked(self, facts: NodeFacts, twins: Twins, request: WalkRequest) -> Part:
        walk, ending = await asyncio.to_thread(_walk, facts, twins, request)
        if walk.handed is not None and (request.request is not None or request.is_reply):
            denied = await self._through_proxy(walk, walk.handed, request)
            if denied is None:
                ending = await asyncio.to_thread(_walk_past, facts, twins, walk, walk.handed)
            else:
                ending = denied
        return Part(node=facts.node.name, hops=tuple(walk.hops), ending=ending)

    async def _through_proxy(self, walk: Walk, handed: InStack, request: WalkRequest) -> Ending | None:
        """An ending where it does not let the request go on. Of an answer it asks nothing."""
        if request.request is None:
            pass_on(walk, handed)
            return None
        if walk.connection is None:
            raise Unavailable("what programs have noted of the connection cannot be read; walk again")
        return judge(walk, handed, await self._sources.judge(connection_of(walk.connection), request.request))

    async def close(self) -> None:
        """Let go of the twins once nobody walks. May be called twice."""
        async with self._lock:
            self._stay_awake()
            self._forget()

    async def _current_twins(self) -> Twins:
        generation = self._sources.generation()
        if self._twins is None or self._twins_of is not generation:
            self._forget()
            self._twins = await asyncio.to_thread(Twins, generation.objects, self._sources.maps(), generation.slots())
            self._twins_of = generation
            structlog.get_logger().info("walk.twins_loaded", programs=len(generation.objects))
        self._twins.join(generation.live_slots())
        return self._twins

    def _stay_awake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _forget(self) -> None:
        twins, self._twins, self._twins_of = self._twins, None, None
        if twins is not None:
            twins.close()


def part_view(part: Part) -> views.Json:
    """The answer of ``POST /v1/walk``; frames are hexadecimal digits."""
    return {
        "node": part.node,
        "hops": [_hop_view(hop) for hop in part.hops],
        "ending": views.plain(part.ending) | {"frame": part.ending.frame.hex()},
    }


def _hop_view(hop: Hop) -> views.Json:
    view: views.Json = views.plain(hop)
    return view | {"frame": hop.frame.hex()}


def _walk(facts: NodeFacts, twins: Twins, request: WalkRequest) -> tuple[Walk, Ending]:
    with closing(NodeSurroundings(facts, twins)) as around:
        walk = Walk(around, request.is_reply, request.is_proxied)
        return walk, walk_on(walk, _first_step(walk, request))


def _walk_past(facts: NodeFacts, twins: Twins, walk: Walk, handed: InStack) -> Ending:
    with closing(NodeSurroundings(facts, twins)) as around:
        walk.around = around
        return walk_on(walk, leave_proxy(walk, handed))


def _first_step(walk: Walk, request: WalkRequest) -> Step:
    probe = request.probe
    if probe is None:
        return from_wire(walk, request.frame)
    if request.start == "world":
        return from_world(walk, probe)
    if request.start == "host":
        return leave_host(walk, probe.destination, request.source, lambda source: replace(probe, source=source))
    endpoint = walk.around.endpoint(request.endpoint)
    source = request.source or (endpoint.ipv4 if probe.destination.version == 4 else endpoint.ipv6)
    if source is None:
        raise Invalid(f"endpoint {endpoint.id} has no IPv{probe.destination.version} address to send from")
    return leave_pod(walk, endpoint, replace(probe, source=source), claimed=request.source is not None)


def _probe(body: PacketBody) -> craft.Probe:
    destination = _address(body.destination, "destination")
    source = _address(body.source, "source") if body.source else destination
    for name, found, highest in (("port", body.port, MAX_PORT), ("ttl", body.ttl, MAX_TTL)):
        if not 0 <= found <= highest:
            raise Invalid(f"{name} {found} cannot be walked, expected 0 to {highest}")
    return craft.Probe(
        source=source,
        destination=destination,
        protocol=body.protocol,
        port=body.port,
        size_bytes=body.size_bytes,
        ttl=body.ttl,
        dont_fragment=body.dont_fragment,
        reply=body.reply,
    )


def _address(text: str, name: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise Invalid(f'{name} "{text[:60]}" is no IP address') from None


def _frame(text: str) -> bytes:
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        raise Invalid("the frame is not written in hexadecimal digits") from None
    least = _LEAST_FRAME_BYTES.get(frame[12:ETHERNET_BYTES], ETHERNET_BYTES + 1)
    if not least <= len(frame) <= MAX_FRAME_BYTES:
        raise Invalid(f"a frame of {len(frame)} bytes cannot be walked, expected {least} to {MAX_FRAME_BYTES}")
    return frame
