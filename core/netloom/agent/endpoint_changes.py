"""What may be changed of an endpoint that stands: its labels, and the names of its ports. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from netloom.agent.decoding import decoded
from netloom.model.endpoint import Endpoint
from netloom.model.errors import Invalid
from netloom.model.labels import MAX_LABELS, NAMESPACE_KEY, Label, Labels, label_set
from netloom.model.ports import NamedPort

KEPT_SOURCES = ("reserved", "cidr", "fqdn")
"""Of labels that say what a peer is, not what somebody calls it: a workload that bore one would pass for that."""


class EndpointPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of ``PATCH /v1/endpoints/{id}``; what is left out stays as it is."""

    add_labels: tuple[str, ...] = ()
    """``source:key=value``, each in the place of the one with its source and key."""
    delete_labels: tuple[str, ...] = ()
    """``source:key``, or with a value: deleted only if it has that value."""
    ports: tuple[str, ...] | None = None
    """All named ports it shall have: ``NAME:PROTOCOL:PORT``."""


def read_patch(body: bytes) -> EndpointPatch:
    """Raises Invalid."""
    return decoded(body, EndpointPatch, "a change of an endpoint")


def labels_after(endpoint: Endpoint, patch: EndpointPatch) -> Labels:
    """Raises Invalid for a label that is malformed, that no workload may have, or that is not there to be deleted."""
    labels = set(endpoint.labels)
    for text in patch.delete_labels:
        labels -= _deleted(endpoint, text)
    added = label_set(patch.add_labels)
    check_sources(added)
    if any(_is_namespace(label) for label in (*added, *(endpoint.labels - labels))):
        raise Invalid(f'label "k8s:{NAMESPACE_KEY}" stands for the pod\'s namespace, which cannot be changed')
    taken = {(label.source, label.key) for label in added}
    after = frozenset(label for label in labels if (label.source, label.key) not in taken) | added
    if len(after) > MAX_LABELS:
        raise Invalid(f"endpoint {endpoint.id} would have {len(after)} labels, at most {MAX_LABELS} are allowed")
    return after


def ports_after(endpoint: Endpoint, patch: EndpointPatch) -> tuple[NamedPort, ...]:
    """Raises Invalid."""
    return endpoint.ports if patch.ports is None else tuple(map(NamedPort.parse, patch.ports))


def check_sources(labels: Iterable[Label]) -> None:
    """Raises Invalid for a label that no workload may have."""
    if given := sorted(str(label) for label in labels if label.source in KEPT_SOURCES):
        raise Invalid(f'label "{given[0]}" is not for workloads, nor is any other of {", ".join(KEPT_SOURCES)}')


def _is_namespace(label: Label) -> bool:
    return label.source == "k8s" and label.key == NAMESPACE_KEY


def _deleted(endpoint: Endpoint, text: str) -> Labels:
    wanted = Label.parse(text)
    found = frozenset(
        label
        for label in endpoint.labels
        if (label.source, label.key) == (wanted.source, wanted.key) and ("=" not in text or label.value == wanted.value)
    )
    if not found:
        has = ", ".join(sorted(map(str, endpoint.labels))) or "none"
        raise Invalid(f'endpoint {endpoint.id} has no label "{text[:80]}"; it has: {has}')
    return found
