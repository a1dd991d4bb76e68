"""The control socket of FRR's bfdd: frames of JSON, read and made. Pure.

A frame is eight bytes of header and a payload. Its kinds and keys are those of FRR's ``bfdd/bfdctl.h``, and have been
the same since FRR 5. bfdd answers each request with its number, and tells of sessions in frames of number 0.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from typing import Any, Final

from netloom.model.address import Address

HEADER: Final = struct.Struct("!IHBB")
"""Bytes of payload, number of the request, kind, version of the protocol."""
MAX_PAYLOAD_BYTES: Final = 1 << 16
"""bfdd's are some hundred bytes long; whoever sends more is no bfdd."""
_VERSION = 1
_EVERY_SESSION = struct.pack("=Q", 0b11)
"""States and settings of all sessions, a mask in the machine's own byte order."""


class Kind(IntEnum):
    """Of a frame."""

    RESPONSE = 1
    ADD = 2
    DELETE = 3
    NOTIFY = 4
    """A notice from bfdd; to bfdd, which notices are wanted."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What tells one session of bfdd from another."""

    peer: Address
    local: Address | None = None
    """None: whichever the kernel takes."""
    multihop: bool = False
    """Whether routers may stand in between; such a session has a local address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Of one session, as this node asks for them."""

    interval_ms: int
    """Between two packets, either way, at least."""
    multiplier: int
    """Packets that must be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What bfdd tells of a session."""

    op: str
    """``status``, ``add``, ``update`` or ``delete``."""
    key: SessionKey
    state: str = ""
    """``up``, ``init``, ``down`` or ``adm-down`` in a ``status``."""
    diagnostic: int = 0
    """Why the session went down, as this node sees it (RFC 5880, section 4.1)."""
    remote_diagnostic: int = 0
    """Why it did, as the peer says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer to a request."""

    number: int
    error: str
    """"" when it was done."""


class Junk(ValueError):
    """The bytes are not what bfdd sends."""


def subscribe_frame(number: int) -> bytes:
    """Ask for notices of every session, those there are first."""
    return _frame(Kind.NOTIFY, number, _EVERY_SESSION)


def add_frame(number: int, key: SessionKey, timers: Timers) -> bytes:
    """Ask for a session, or for other timers of one that is there."""
    session = _of_key(key) | {
        "detect-multiplier": timers.multiplier,
        "receive-interval": timers.interval_ms,
        "transmit-interval": timers.interval_ms,
    }
    return _request(Kind.ADD, number, session, key)


def delete_frame(number: int, key: SessionKey) -> bytes:
    """Ask for the end of a session; the peer is told."""
    return _request(Kind.DELETE, number, _of_key(key), key)


def payload_length(header: bytes) -> int:
    """Bytes that follow a header. Raises Junk."""
    length, _, _, version = HEADER.unpack(header)
    if version != _VERSION or length > MAX_PAYLOAD_BYTES:
        raise Junk(f"a frame of version {version} with {length} bytes, expected version {_VERSION}")
    return int(length)


def read_frame(header: bytes, payload: bytes) -> Notice | Response | None:
    """The meaning of a frame; None for a kind, or a session, that is none of ours. Raises Junk."""
    _, number, kind, _ = HEADER.unpack(header)
    try:
        body = json.loads(payload)
        if kind == Kind.RESPONSE:
            return Response(number=number, error="" if body["status"] == "ok" else str(body.get("error", "refused")))
        return _notice(body) if kind == Kind.NOTIFY else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Junk(f"a frame that cannot be read: {type(error).__name__}: {error}") from error


def _notice(body: dict[str, Any]) -> Notice:
    local = body.get("local-address")
    key = SessionKey(
        peer=ip_address(body["peer-address"]),
        local=ip_address(local) if local else None,
        multihop=bool(body.get("multihop", False)),
    )
    return Notice(
        op=str(body["op"]),
        key=key,
        state=str(body.get("state", "")),
        diagnostic=int(body.get("diagnostics", 0)),
        remote_diagnostic=int(body.get("remote-diagnostics", 0)),
    )


def _of_key(key: SessionKey) -> dict[str, object]:
    local = {"local-address": str(key.local)} if key.local else {}
    return {"peer-address": str(key.peer), "multihop": key.multihop} | local


def _request(kind: Kind, number: int, session: dict[str, object], key: SessionKey) -> bytes:
    return _frame(kind, number, json.dumps({f"ipv{key.peer.version}": [session]}).encode())


def _frame(kind: Kind, number: int, payload: bytes) -> bytes:
    return HEADER.pack(len(payload), number, kind, _VERSION) + payload
