"""Writes down, for each event as it is read, what is known then: who its ends are, and why policies decided so.

Pods come and go, and policies change: a moment later the answers could be others.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from netloom.agent.flow_log import Record, RequestRecord
from netloom.agent.residents import Resident
from netloom.config.settings import PolicySettings
from netloom.datapath.events import frame_of, read_head
from netloom.datapath.packets import read_ends
from netloom.model.l7_messages import Access
from netloom.model.labels import Labels
from netloom.policy.asked import Question, question_of
from netloom.policy.because import Explainer
from netloom.policy.repository import Repository

NOBODY: Final = Resident("")
NO_LABELS: Final[Labels] = frozenset()
Residents = Callable[[bytes], Resident | None]
"""Who has an address, given as 4 or 16 bytes in network order."""


class Witness:
    """One agent's."""

    def __init__(self, repository: Repository, residents: Residents, *, explains: bool = True) -> None:
        self._repository = repository
        self._residents = residents
        self._explainer = Explainer(repository) if explains else None

    def note(self, raw: bytes, at_ns: int) -> Record:
        """An event with what is known of it. Never raises, whatever the bytes."""
        head = read_head(raw)
        if head is None:
            return Record(raw=raw, at_ns=at_ns)
        record = Record(
            raw=raw,
            at_ns=at_ns,
            source_labels=self._labels(head.source_identity),
            destination_labels=self._labels(head.destination_identity),
        )
        ends = read_ends(frame_of(raw, head.captured_bytes))
        if ends is None:
            return record
        source, destination = self._residents(ends.source) or NOBODY, self._residents(ends.destination) or NOBODY
        record.source_pod, record.destination_pod = source.pod, destination.pod
        if question := question_of(head, ends):
            record.because = self._explainer.explain(question) if self._explainer else None
            record.endpoint_id = _subject(question, ends.destination, source, destination).endpoint_id
        return record

    def note_request(self, access: Access) -> RequestRecord:
        """A request the proxy tells of, with what is known of its ends."""
        source = self._residents(ip_address(access.source).packed) or NOBODY
        destination = self._residents(ip_address(access.destination).packed) or NOBODY
        return RequestRecord(
            access=access,
            source_labels=self._labels(access.source_identity),
            destination_labels=self._labels(access.destination_identity),
            source_pod=source.pod,
            destination_pod=destination.pod,
            endpoint_id=(source if access.direction == "egress" else destination).endpoint_id,
        )

    def _labels(self, identity: int) -> Labels:
        return self._repository.labels_of(identity) or NO_LABELS


def witness_of(repository: Repository, residents: Residents, settings: PolicySettings) -> Witness:
    """An agent's witness: what is never enforced is never the cause of anything."""
    return Witness(repository, residents, explains=settings.enforcement != "never")


def _subject(question: Question, destination: bytes, source_is: Resident, destination_is: Resident) -> Resident:
    """The end whose policies were asked: the one that is not the peer."""
    return source_is if question.address == destination else destination_is
