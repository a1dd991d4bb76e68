"""The last things that happened, for people: a bounded list, and a line in the agent's log for each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from netloom_bgp.model import EventView

KEPT: Final = 500
_BAD: Final = frozenset(
    {"session.down", "session.failed", "speaker.died", "speaker.failed", "prefix.limit", "peer.refused"}
)


def now_iso() -> str:
    """The time, to the millisecond, as shown."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Happenings:
    """What happened, oldest first."""

    def __init__(self, clock: Callable[[], str] = now_iso) -> None:
        self._events: deque[EventView] = deque(maxlen=KEPT)
        self._clock = clock
        self._log = structlog.get_logger()
        self.counts: dict[str, int] = {}
        """How often, by kind, since the agent started."""

    def tell(self, kind: str, text: str, peer: str = "") -> EventView:
        """Note that something happened; ``text`` is a sentence without full stop."""
        event = EventView(at=self._clock(), kind=kind, peer=peer, text=text)
        self._events.append(event)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        write = self._log.warning if kind in _BAD else self._log.info
        write(f"bgp.{kind}", peer=peer, text=text)
        return event

    def all(self) -> tuple[EventView, ...]:
        """Those that are kept."""
        return tuple(self._events)
