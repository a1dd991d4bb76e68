"""How long to wait between two sweeps of a table for what has expired in it. Pure; figures as in Cilium.

Little to remove means that sweeps come too often, much that they come too late: so the pause grows by half where less
than a twentieth was removed, and shrinks the more the more was.
"""

from __future__ import annotations

from typing import Final

FIRST_PAUSE_S: Final = 300.0
LEAST_PAUSE_S: Final = 10.0
MOST_PAUSE_S: Final = 12 * 3600.0
"""A table that forgets finds room by itself."""
FEW: Final = 0.05
MANY: Final = 0.25
_MOST_COUNTED: Final = 0.9
_GROWTH: Final = 1.5


def next_pause_s(pause_s: float, removed_share: float) -> float:
    """The pause after a sweep that came after ``pause_s`` and removed this share, 0 to 1, of what it found."""
    if removed_share > MANY:
        return max(LEAST_PAUSE_S, pause_s * (1 - min(removed_share, _MOST_COUNTED)))
    if removed_share < FEW:
        return min(MOST_PAUSE_S, pause_s * _GROWTH)
    return pause_s
