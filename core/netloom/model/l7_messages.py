"""What the agent and the node's proxy tell each other: a line of JSON each, through a unix socket. Values alone."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from netloom.model.l7 import L7Table

Verdict = Literal["allowed", "denied", "audited", "error"]
MESSAGE_BYTES_MAX: Final = 1 << 28
"""Of one line; what is longer is no message of ours."""


class Tables(msgspec.Struct, frozen=True, kw_only=True, tag="tables"):
    """Agent to proxy: tables to judge by from now on."""

    revision: int
    """Raised by the agent with each; the proxy answers with it."""
    whole: bool = False
    """Whether these are all; else those of other subjects stay."""
    tables: tuple[L7Table, ...] = ()
    gone: tuple[int, ...] = ()
    """Subjects that have none any more."""


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag="drain"):
    """Agent to proxy: another one takes new connections now; end when the last of yours has ended."""

    timeout_s: float
    """What is open then is reset."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """Proxy to agent, first of all."""

    pid: int
    fingerprint: str
    """Of program, settings and plugins: a proxy with another one is to be replaced."""
    revision: int
    """Of the tables at work; 0 while there are none."""
    protocols: tuple[str, ...]
    """Sorted."""
    ports: tuple[int, ...]
    """It listens at, IPv4 and IPv6."""


class Applied(msgspec.Struct, frozen=True, kw_only=True, tag="applied"):
    """Proxy to agent: connections are judged by this revision."""

    revision: int
    problems: tuple[str, ...] = ()
    """Sentences about entries it cannot read; who would be judged by them is closed."""


class Access(msgspec.Struct, frozen=True, kw_only=True, tag="access", omit_defaults=True):
    """Proxy to agent: one request and what became of it, or how a connection broke."""

    at: float
    """Seconds since the epoch."""
    protocol: str
    verdict: Verdict
    policy: str = ""
    """The rule that decided; empty when none did."""
    origin: str = ""
    source_identity: int
    destination_identity: int
    source: str
    destination: str
    source_port: int
    destination_port: int
    direction: str = ""
    """Whose tables were asked: ``egress`` the source's, ``ingress`` the destination's, ``both``."""
    latency_ns: int = 0
    """From the request to the beginning of its answer; 0 without an answer."""
    request: dict[str, str] = {}
    """What the protocol tells of it."""
    answer: dict[str, str] = {}
    why: str = ""
    """Of an error, or of a request without an answer."""


class Counters(msgspec.Struct, frozen=True, kw_only=True, tag="counters"):
    """Proxy to agent: numbers since the proxy's start, but for the first two."""

    open: int
    """Connections at this moment."""
    waiting: int
    """Records that have not been told."""
    draining: bool = False
    accepted: int = 0
    lost_records: int = 0
    """Told nobody: there was no room."""
    requests: dict[str, dict[str, dict[str, int]]] = {}
    """By protocol, direction and verdict; the direction as in :class:`Access`."""
    closed: dict[str, int] = {}
    """Connections the proxy refused or broke, by reason."""
    faults: dict[str, int] = {}
    """Of parsers, by ``plugin/protocol``."""


ToProxy = Tables | Drain
ToAgent = Hello | Applied | Access | Counters
