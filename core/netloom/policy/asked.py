"""What policies were asked, read from an event of the data path.

Policies are asked about connections, and events are about packets. A packet that goes against its connection, a reply,
has the connection's source as its destination; the direction in a verdict, and in a drop by policies, is the
connection's already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from netloom.datapath import reasons
from netloom.datapath.connections import Tracking
from netloom.datapath.events import Head
from netloom.datapath.packets import Ends
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import EventType, PolicyVerdict
from netloom.policy.table import Direction, Verdict

_TOLD: Final[Mapping[tuple[int, int], Verdict | None]] = {
    (EventType.POLICY_VERDICT, PolicyVerdict.ALLOWED): Verdict.ALLOWED,
    (EventType.POLICY_VERDICT, PolicyVerdict.AUDITED): Verdict.AUDITED,
    (EventType.POLICY_VERDICT, PolicyVerdict.AUDITED_BY_DEFAULT): Verdict.AUDITED_BY_DEFAULT,
    (EventType.POLICY_VERDICT, PolicyVerdict.REDIRECTED): Verdict.REDIRECTED,
    (EventType.DROP, DropReason.POLICY): Verdict.DENIED_BY_DEFAULT,
    (EventType.DROP, DropReason.POLICY_UNKNOWN_PEER): Verdict.DENIED_BY_DEFAULT,
    (EventType.DROP, DropReason.POLICY_DENY): Verdict.DENIED,
    (EventType.DROP, DropReason.NO_POLICY): None,
    (EventType.DROP, DropReason.POLICY_INCOMPLETE): None,
}
"""None: policies were to be asked, and could not be."""


class Question(NamedTuple):
    """One end's question, with the answer the data path found."""

    told: Verdict | None
    direction: Direction
    subject: int
    """Identity of the local end."""
    peer: int
    """Identity of the other."""
    address: bytes
    """Of the other end: 4 or 16 bytes in network order."""
    protocol: int
    service: int


def question_of(head: Head, ends: Ends | None) -> Question | None:
    """What was asked when an event came about; None for events that are not about policies. Never raises."""
    verdict = (head.type, head.code)
    if verdict not in _TOLD or ends is None:
        return None
    forward = head.tracking != Tracking.REPLY
    egress = head.direction == reasons.Direction.EGRESS
    # The subject is the connection's source on egress, and that is the packet's source unless it is a reply.
    local_is_source = egress == forward
    return Question(
        _TOLD[verdict],
        Direction.EGRESS if egress else Direction.INGRESS,
        head.source_identity if local_is_source else head.destination_identity,
        head.destination_identity if local_is_source else head.source_identity,
        ends.destination if local_is_source else ends.source,
        ends.protocol,
        int.from_bytes(head.service, "big"),
    )
