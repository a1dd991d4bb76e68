"""What the proxy tells of requests: records that wait for an agent in a bounded queue, and counts that lose nothing.

A record is made into its line at once, of parts that were encoded before: thousands of objects that wait for the
agent would be in the way of those that work.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Final

import msgspec

from netloom.model.l7_messages import Access, Counters, Verdict

_BEGINNING: Final = b'{"type":"%b","at":' % str(Access.__struct_config__.tag).encode()
_encode: Final = msgspec.json.Encoder().encode


def members(**fields: str | int | dict[str, str]) -> bytes:
    """Some fields of an :class:`~netloom.model.l7_messages.Access` as they stand in its line."""
    return _encode(fields)[1:-1]


def line(
    ends: bytes, verdict: bytes, *, latency_ns: int = 0, answer: dict[str, str] | None = None, why: str = ""
) -> bytes:
    """An Access of now as the agent reads it, with the :func:`members` that tell the ends, and those of the verdict."""
    rest = b',"why":%b' % _encode(why) if why else b""
    told = _encode(answer) if answer else b"{}"
    return b'%b%.6f,%b,%b,"latency_ns":%d,"answer":%b%b}\n' % (
        _BEGINNING, time.time(), ends, verdict, latency_ns, told, rest,
    )  # fmt: skip


class AccessLog:
    """Written by connections, emptied by whoever talks to the agent."""

    def __init__(self, records: int) -> None:
        """``records`` are kept at most; those that come then are lost, and counted."""
        self._room = records
        self._records: deque[bytes] = deque()
        self._requests: Counter[tuple[str, str, Verdict]] = Counter()
        self._faults: Counter[str] = Counter()
        self._closed: Counter[str] = Counter()
        self._lost = 0
        self.accepted = 0
        """Connections, refused ones among them."""

    @property
    def has_room(self) -> bool:
        """Whether a record would be kept: one that would not need not be made."""
        return len(self._records) < self._room

    def count(self, protocol: str, direction: str, verdict: Verdict) -> None:
        """One request, or one broken connection."""
        self._requests[protocol, direction, verdict] += 1

    def fault(self, plugin: str, protocol: str) -> None:
        """A parser has broken its contract."""
        self._faults[f"{plugin}/{protocol}"] += 1

    def closed(self, reason: str) -> None:
        """A connection was refused or broken by the proxy."""
        self._closed[reason] += 1

    def closings(self, reason: str) -> int:
        """How many were refused or broken for that reason."""
        return self._closed[reason]

    def put(self, record: bytes) -> None:
        """Keep a :func:`line`."""
        if self.has_room:
            self._records.append(record)
        else:
            self._lost += 1

    def lose(self) -> None:
        """A record was not made for want of room."""
        self._lost += 1

    def take(self, limit: int) -> list[bytes]:
        """The oldest lines, which are kept no longer."""
        return [self._records.popleft() for _ in range(min(limit, len(self._records)))]

    def counters(self, open_connections: int, *, draining: bool) -> Counters:
        """All numbers."""
        requests: dict[str, dict[str, dict[str, int]]] = {}
        for (protocol, direction, verdict), number in self._requests.items():
            requests.setdefault(protocol, {}).setdefault(direction, {})[verdict] = number
        return Counters(
            open=open_connections,
            waiting=len(self._records),
            draining=draining,
            accepted=self.accepted,
            lost_records=self._lost,
            requests=requests,
            closed=dict(self._closed),
            faults=dict(self._faults),
        )
