"""The order in which a table in use is changed, entry by entry.

Programs look things up while entries change, and never may a packet pass that neither the old table nor the new one
lets pass, nor go past the proxy if both have it go there. Nor shall one be dropped that both let pass. The order that
does it::

    1. what denies is written, and what would hide it is deleted; INSPECT is put where it is to be, and REDIRECT
       where nothing was, since it is what keeps a direction closed that is open otherwise
    2. isolation ends where it ends
    3. what allows is written, also in the place of what denied, ALLOW first, INSPECT being left where it was; then all
       is changed where nothing denied or allowed
    4. isolation begins where it begins
    5. all else is written and deleted: first where nothing was denied, then where something was; INSPECT goes last

After step 1 whatever the new table denies is denied. From then on a packet that passes meets no denial of the old table
either, unless the new one has put an entry that allows in its place (step 3) or has begun to isolate (step 5). So if an
old entry allows it, nothing of the old table denied it, and if a new one does, the new table lets it pass. Deleting
uncovers wider entries of the same peer: by the normal form of tables (see ``table.py``) an entry has all effects of
those around it, so what is uncovered denies nothing that is not new. INSPECT is as strict as DENY, of packets that
pass: until the end there is all of it that both tables have. Tests try every moment of random changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from netloom.policy.ports import PROTOCOL_BITS, wider
from netloom.policy.table import (
    ALLOW,
    ALLOWS,
    DENY,
    INSPECT,
    REDIRECT,
    PolicyKey,
    PolicyTable,
    TableChange,
    key_of,
    service_of,
)

Change = tuple[PolicyKey, int | None]
"""A key with its new effects; None: it is deleted."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A change of a table, in order."""

    denials: tuple[Change, ...]
    """For step 1."""
    allowances: tuple[Change, ...]
    """For step 3."""
    rest: tuple[Change, ...]
    """For step 5."""

    def __len__(self) -> int:
        return len(self.denials) + len(self.allowances) + len(self.rest)


def in_order(change: TableChange, old: Callable[[PolicyKey], int], new: PolicyTable) -> Steps:
    """Put a change in order.

    ``old`` gives the effects of a key's longest match as it is, 0 without one; ``new`` is what the change leads to.
    """
    hiding = {key for key in change.deletes if new.effects_for(key) & DENY}
    upserts, deletes = tuple(change.upserts.items()), change.deletes - hiding
    before = {key: old(key) for key in (*change.upserts, *deletes)}
    allowing = [item for item in upserts if item[1] & ALLOWS]
    others: list[Change] = [item for item in upserts if not item[1] & (DENY | ALLOWS)]
    others += [(key, None) for key in deletes]
    idle = [item for item in others if not before[item[0]] & (DENY | ALLOWS | INSPECT)]
    rest = [item for item in others if before[item[0]] & (DENY | ALLOWS | INSPECT)]
    kept = [(key, _for_now(effects, before[key])) for key, effects in allowing]
    early = [item for item in kept if item[1] & ALLOWS == REDIRECT and not before[item[0]] & (DENY | ALLOW)]
    later = [item for item in kept if item not in early]
    return Steps(
        denials=(
            *(item for item in upserts if item[1] & DENY),
            *((key, None) for key in sorted(hiding)),
            *_inspecting(change, before, new),
            *early,
        ),
        allowances=(*sorted(later, key=lambda item: not item[1] & ALLOW), *idle),
        rest=(
            *sorted(rest, key=lambda item: (*_lateness(before[item[0]], item[1] or 0), item[0])),
            *(item for item, first in zip(allowing, kept, strict=True) if item != first),
        ),
    )


def _inspecting(change: TableChange, before: Mapping[PolicyKey, int], new: PolicyTable) -> Iterator[Change]:
    """INSPECT where it is to be, or where something would hide it, beside what is there."""
    for key, effects in before.items():
        wanted = change.upserts[key] if key in change.upserts else new.effects_for(key)
        if wanted & INSPECT and not effects & (DENY | INSPECT):
            yield key, effects | INSPECT


def _for_now(effects: int, before: int) -> int:
    """What is written in step 3: no way past the proxy opens where there was none, while old entries still allow."""
    return effects | INSPECT if before & INSPECT or (before & DENY and not effects & ALLOW) else effects


def _lateness(effects: int, new: int) -> tuple[int, int, bool, int]:
    """INSPECT comes before a denial goes that stood in its place; what only redirects goes before what allows."""
    return effects & DENY, effects & INSPECT, not new & INSPECT, effects & ALLOW


def longest_match(entries: Mapping[PolicyKey, int], key: PolicyKey) -> int:
    """The ``old`` of :func:`in_order` for entries that were read from the kernel."""
    service = service_of(key)
    for bits in (*range(service.bits, PROTOCOL_BITS - 1, -1), 0):
        effects = entries.get(key_of(key.peer, key.direction, wider(service, bits)))
        if effects is not None:
            return effects
    return 0
