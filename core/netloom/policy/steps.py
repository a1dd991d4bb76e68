"""The order in which a table in use is changed, entry by entry.

Programs look things up while entries change, and never may a packet pass that neither the old table nor the new one
lets pass. Nor shall one be dropped that both let pass. The order that does it::

    1. what denies is written
    2. isolation ends where it ends
    3. what allows is written, also in the place of what denied
    4. what allowed and is not wanted any more is deleted
    5. what denied and is not wanted any more is deleted
    6. isolation begins where it begins

A packet that passes in between meets no denial of the old table that step 3 has not replaced, and none of the new one.
If an entry allows it that was in the old table, nothing there denied it either, or what did was replaced by an entry of
the new table that allows it; if one of the new table does, the new table lets it pass. Deleting uncovers wider entries
of the same peer: by the normal form of tables (see ``table.py``) an entry has all effects of those around it, so what
an allowing entry uncovers denies nothing that is not new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netloom.policy.table import DENY, PolicyKey, TableChange


@dataclass(frozen=True, slots=True)
class Steps:
    """A change of a table, in order."""

    denials: tuple[tuple[PolicyKey, int], ...]
    """To write in step 1, with their effects."""
    others: tuple[tuple[PolicyKey, int], ...]
    """To write in step 3."""
    deletes: tuple[PolicyKey, ...]
    """For steps 4 and 5."""

    def __bool__(self) -> bool:
        return bool(self.denials or self.others or self.deletes)


def in_order(change: TableChange, old: Callable[[PolicyKey], int | None]) -> Steps:
    """Put a change in order; ``old`` gives the effects of entries that it deletes."""
    upserts = change.upserts.items()
    return Steps(
        denials=tuple((key, effects) for key, effects in upserts if effects & DENY),
        others=tuple((key, effects) for key, effects in upserts if not effects & DENY),
        deletes=tuple(sorted(change.deletes, key=lambda key: ((old(key) or 0) & DENY, key))),
    )
