"""What is worth a warning in a policy as a whole; what shows at one place is said where that place is read."""

from __future__ import annotations

from collections.abc import Iterator

from netloom.model.policy import CidrPeer, Entity, EntityPeer, Entry, Icmp, Peer, Policy
from netloom.policy.fields import Notes, PolicyWarning
from netloom.policy.shadowing import comparisons, shadowed

_NAMES = {4: "ICMP", 6: "ICMPv6"}


def warn(policy: Policy, notes: Notes) -> None:
    """Note the entries of a policy that are dead for what stands elsewhere in it."""
    found = notes.warnings
    for rule in policy.rules:
        notes.comparisons -= comparisons(rule, rule)
        if notes.comparisons < 0:
            found.append(
                PolicyWarning(rule.origin, "not looked through for allows that are denied: the file is too large")
            )
            break
        for entry, cover in shadowed(rule, rule):
            sentence = f"everything this allows is denied by {cover.origin.path}, and deny goes before allow"
            found.append(PolicyWarning(entry.origin, sentence))
    for _, section in policy.sections():
        for entry in (*(section.allow or ()), *(section.deny or ())):
            found += [PolicyWarning(entry.origin, sentence) for sentence in _strange_families(entry)]


def _strange_families(entry: Entry) -> Iterator[str]:
    """ICMP belongs to one family; against peers of the other alone it never matches."""
    if not entry.peers or not entry.services:
        return
    families = {_family(peer) for peer in entry.peers}
    if 0 in families:
        return
    for family in sorted({service.family for service in entry.services if isinstance(service, Icmp)} - families):
        yield f"types of {_NAMES[family]} never match: the peers of this entry have addresses of the other family alone"


def _family(peer: Peer) -> int:
    """The family of a peer's addresses; 0 when both are possible."""
    if isinstance(peer, CidrPeer):
        return peer.network.version
    return {EntityPeer(Entity.WORLD_IPV4): 4, EntityPeer(Entity.WORLD_IPV6): 6}.get(peer, 0)  # type: ignore[arg-type]
