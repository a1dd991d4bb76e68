"""What is known of peers, routes and happenings. Pure values; as dictionaries they are the answers to queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class SessionState(StrEnum):
    """Of a peer, as in RFC 4271; ``down`` while no gobgpd runs that could have a session."""

    DOWN = "down"
    IDLE = "idle"
    CONNECT = "connect"
    ACTIVE = "active"
    OPENSENT = "opensent"
    OPENCONFIRM = "openconfirm"
    ESTABLISHED = "established"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """One peer, as shown."""

    address: str
    remote_as: int
    local_as: int
    description: str = ""
    state: SessionState = SessionState.IDLE
    uptime_s: int | None = None
    """None without a session."""
    families: tuple[str, ...] = ()
    received: int = 0
    accepted: int = 0
    advertised: int = 0
    flaps: int = 0
    """Sessions that ended since the agent started."""
    last_error: str = ""
    last_error_at: str = ""
    """ISO 8601, UTC."""
    held: str = ""
    """Why the peer is not used, although configured."""
    device: str = ""
    link: str = ""
    bfd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerView:
    """The gobgpd that speaks."""

    state: str
    """``running``, ``starting``, ``restarting`` (it ended, and the next one is being started) or ``down``."""
    own: bool
    version: str = ""
    pid: int | None = None
    restarts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """One route, as shown."""

    prefix: str
    next_hops: tuple[str, ...]
    peer: str
    """"" for one of this node's own."""
    age_s: int
    as_path: str
    origin: str
    local_preference: int | None = None
    med: int | None = None
    communities: tuple[str, ...] = field(default=())
    best: bool = False
    stale: bool = False


def plain(route: RouteView) -> dict[str, Any]:
    """As a dictionary. ``asdict``, which copies what is in it, takes ten times as long."""
    return {name: getattr(route, name) for name in RouteView.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """Something that happened."""

    at: str
    """ISO 8601, UTC."""
    kind: str
    peer: str
    text: str
