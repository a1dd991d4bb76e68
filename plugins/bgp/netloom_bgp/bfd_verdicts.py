"""What BFD's word about a peer means for its BGP session. Pure.

Only a session that was up and goes down cuts a peer off. One that never came up says nothing: the peer may not speak
BFD. One that the peer switched off says nothing either (RFC 5882, section 4.2: AdminDown is not a failure).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

_SIGNALED = 3
"""Diagnostic "neighbour signalled session down" (RFC 5880, section 4.1)."""
_NO_FAILURE = (0, 7)
"""What the peer gives as its own reason when it was told to stop: none, as FRR 8.4 does, or "administratively down"."""
_DIAGNOSTICS = {
    1: "BFD has not heard the peer within the detection time",
    2: "BFD's echo failed",
    3: "the peer says by BFD that it does not hear this node",
    4: "BFD says that the forwarding plane was reset",
    5: "BFD says that the path is down",
    6: "BFD says that a path behind is down",
    8: "BFD says that a path back is down",
}


class Turn(Enum):
    """What a word changes."""

    NOTHING = auto()
    UP = auto()
    DOWN = auto()
    """The peer is cut off."""
    OFF = auto()
    """The peer speaks BFD no more, on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of a peer by BFD."""

    state: str = "down"
    """``up``, ``init``, ``down`` or ``off``, as shown."""
    turn: Turn = Turn.NOTHING
    why: str = ""
    """Of a DOWN: a clause without a full stop."""

    def heard(self, state: str, diagnostic: int, remote_diagnostic: int) -> Verdict:
        """After bfdd told a state of the session."""
        if state == "up":
            return Verdict(state="up", turn=Turn.NOTHING if self.state == "up" else Turn.UP)
        signaled_off = diagnostic == _SIGNALED and remote_diagnostic in _NO_FAILURE
        if state == "adm-down" or (state == "down" and signaled_off):
            return Verdict(state="off", turn=Turn.OFF if self.state == "up" else Turn.NOTHING)
        shown = state if state in ("init", "down") else "down"
        if self.state != "up":
            return Verdict(state="off" if self.state == "off" and shown == "down" else shown)
        return Verdict(state=shown, turn=Turn.DOWN, why=_DIAGNOSTICS.get(diagnostic, "BFD says that the peer is down"))
