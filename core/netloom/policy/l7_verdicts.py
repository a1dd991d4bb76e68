"""What becomes of a request, by the entries of an L7 table: the same for the proxy, for traces and for tests. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network

from netloom.model.address import Address
from netloom.model.l7 import L7Entry, L7Prefix, L7Rule
from netloom.policy.table import WORLD


class L7Verdict(StrEnum):
    """What becomes of a request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    AUDITED = "audited"
    """It goes on; an audit policy would deny it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class L7Decision:
    """A verdict with its cause."""

    verdict: L7Verdict
    rule: L7Rule | None
    """The one that holds; None where no rule had to, or where none does, which is why the request is denied."""


def applying(entries: Iterable[L7Entry], peer: int, address: Address | None, port: int) -> tuple[L7Entry, ...]:
    """Entries about a connection with a peer of an identity and address, to a port of TCP.

    They are of one protocol, or else the connection is closed: two policies disagree about what is spoken there.
    """
    return tuple(
        entry
        for entry in entries
        if any(first <= port <= last for first, last in entry.ports) and _is_peer(entry, peer, address)
    )


def _is_peer(entry: L7Entry, peer: int, address: Address | None) -> bool:
    if entry.peers is None or peer in entry.peers:
        return True
    return address is not None and any(_holds(prefix, address, peer) for prefix in entry.prefixes)


def _holds(prefix: L7Prefix, address: Address, peer: int) -> bool:
    if peer not in WORLD and not prefix.with_endpoints:
        return False
    return address in ip_network(prefix.network) and not any(address in ip_network(one) for one in prefix.excepts)


def decide(entries: Iterable[L7Entry], holds: Callable[[L7Rule], bool]) -> L7Decision:
    """The verdict on a request of which ``holds`` knows whether a rule is about it; ``entries`` are those that apply.

    As with packets, audit policies decide nothing: the request goes on if it would without them, and it is told of if
    it would not, were they enforced.
    """
    found = tuple(entries)
    allowed, rule = _in_force([entry for entry in found if not entry.audit], holds)
    if not allowed:
        return L7Decision(verdict=L7Verdict.DENIED, rule=rule)
    if any(entry.audit for entry in found):
        wished, denying = _in_force(found, holds)
        if not wished:
            return L7Decision(verdict=L7Verdict.AUDITED, rule=denying)
    return L7Decision(verdict=L7Verdict.ALLOWED, rule=rule)


def _in_force(entries: Iterable[L7Entry], holds: Callable[[L7Rule], bool]) -> tuple[bool, L7Rule | None]:
    """Whether a request goes on were all these enforced, and the rule that is the cause."""
    known = tuple(entries)
    for rule in (rule for entry in known for rule in entry.rules if rule.denies):
        if holds(rule):
            return False, rule
    allowing = [entry for entry in known if allows(entry)]
    counting = [entry for entry in allowing if not entry.default] or allowing
    if any(not entry.rules for entry in counting):
        return True, None
    for rule in (rule for entry in counting for rule in entry.rules if not rule.denies):
        if holds(rule):
            return True, rule
    return False, None


def allows(entry: L7Entry) -> bool:
    """Whether some request may go on by an entry."""
    return not entry.rules or any(not rule.denies for rule in entry.rules)
