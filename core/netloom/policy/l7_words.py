"""What an L7 table says, in words: a line for each rule, with whom it is about."""

from __future__ import annotations

from collections.abc import Iterator

from netloom.model.l7 import L7Entry, L7Table

SHOWN = 5
"""Peers named one by one."""


def words_of(table: L7Table | None) -> Iterator[str]:
    """All that is said; of what is allowed without rules too. None says nothing."""
    if table is None:
        return
    for direction, entries in (("ingress", table.ingress), ("egress", table.egress)):
        for entry in entries:
            for what in _what(entry):
                audit = " (audit)" if entry.audit else ""
                yield f"{direction} {what} at {entry.protocol} {_ports(entry)}, {_peers(entry)}{audit}"


def _what(entry: L7Entry) -> Iterator[str]:
    if not entry.rules:
        yield "allow every request"
    for rule in entry.rules:
        yield f"{'deny' if rule.denies else 'allow'} {rule.rule}"


def _ports(entry: L7Entry) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in entry.ports)


def _peers(entry: L7Entry) -> str:
    if entry.peers is None:
        return "anybody, where nothing isolates" if entry.default else "anybody"
    known = [f"identity {peer}" for peer in entry.peers] + [prefix.network for prefix in entry.prefixes]
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return (", ".join(known[:SHOWN]) or "nobody") + more
