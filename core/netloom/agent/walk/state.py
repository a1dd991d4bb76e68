"""What one walk knows while it goes on: where the packet may be, and the hops so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from netloom.agent.walk.node import NodeSurroundings
from netloom.bpf.instrument import TunnelInput
from netloom.bpf.twin import Entry
from netloom.datapath.event_lines import format_packet
from netloom.datapath.headers import rewrites
from netloom.datapath.packets import read_packet
from netloom.edge.answers import LinkInfo
from netloom.edge.netlink import Direction as Hook
from netloom.model.address import Address
from netloom.model.walk import Drop, Ending, Fate, Hop, Place, Stage

KERNEL_DROP = "KERNEL"
"""Name of the reason when it was the kernel that dropped the packet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHook:
    """At a device, before its hook."""

    link: LinkInfo
    hook: Hook
    frame: bytes
    mark: int = 0
    tunnel: TunnelInput | None = None
    """Metadata that goes with the packet: from a tunnel device on ingress, for one on egress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InStack:
    """In the node's stack, received by a device."""

    link: LinkInfo
    frame: bytes
    mark: int = 0


Step = AtHook | InStack | Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is to be said of a hop, besides where it is and what it did to the frame."""

    text: str
    device: str = ""
    hook: str = ""
    captured: bool = False
    endpoint_id: int = 0
    program: str = ""
    stages: tuple[Stage, ...] = ()
    drop: Drop | None = None
    notes: tuple[str, ...] = ()
    requests: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A neighbour whose MAC address the kernel does not have."""

    address: Address
    silent: bool
    """Whether it has been asked in vain lately."""


@dataclass(slots=True)
class Walk:
    """One walk on one node."""

    around: NodeSurroundings
    is_reply: bool = False
    """Whether the packet answers one that was delivered."""
    is_proxied: bool = False
    """Whether the connection that it answers in goes by way of this node's proxy."""
    hops: list[Hop] = field(default_factory=list)
    drop: Drop | None = None
    """Why the packet was dropped, once it is; what goes on is an answer."""
    unmet: Unmet | None = None
    """The last next hop whose MAC address was asked for and is not known."""
    connection: Entry | None = None
    """What programs have written of the packet's connection, if they have."""
    handed: InStack | None = None
    """What the proxy has got, if it has."""

    @property
    def tunnel_port(self) -> int:
        """UDP port of the overlay; 0 without one."""
        tunnel = self.around.facts.tunnel
        return tunnel.port if tunnel else 0

    def note(self, place: Place, found: Found, before: bytes, after: bytes) -> None:
        """Add a hop that took ``before`` and left ``after``."""
        self.hops.append(
            Hop(
                node=self.around.facts.node.name,
                place=place,
                device=found.device,
                direction=found.hook,
                text=found.text,
                packet=format_packet(read_packet(after)),
                frame=after,
                captured=found.captured,
                endpoint_id=found.endpoint_id,
                program=found.program,
                tag=self.around.tag(found.program) if found.program else "",
                stages=found.stages,
                changes=rewrites(before, after, self.tunnel_port),
                drop=found.drop,
                answer=self.drop is not None and found.drop is None,
                notes=found.notes,
                requests=found.requests,
            )
        )

    def kernel_drops(self, place: Place, found: Found, frame: bytes) -> Ending:
        """Add a hop at which the kernel drops the packet for the reason in ``found.text``."""
        drop = Drop(reason=0, name=KERNEL_DROP, text=found.text)
        self.note(place, replace(found, drop=drop), frame, frame)
        return Ending(fate=Fate.DROPPED, text=found.text, drop=drop)
