"""Labels: ``source:key[=value]``, and the sets of them that make an identity."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from netloom.model.errors import Invalid

MAX_LABELS = 64
"""Labels one endpoint may carry: a bound on what a runtime can make us store."""

_SOURCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
NAMESPACE_KEY = "io.kubernetes.pod.namespace"


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """One label; ``str()`` gives ``source:key=value``, or ``source:key`` when the value is empty."""

    source: str
    key: str
    value: str = ""

    def __post_init__(self) -> None:
        for name, pattern, text in (
            ("source", _SOURCE, self.source),
            ("key", _KEY, self.key),
            ("value", _VALUE, self.value),
        ):
            if not pattern.fullmatch(text):
                raise Invalid(
                    f'label {name} "{text[:80]}" is not usable: expected letters, digits and . _ - / '
                    "beginning and ending with a letter or digit, in the lengths Kubernetes allows"
                )

    def __str__(self) -> str:
        text = f"{self.source}:{self.key}"
        return f"{text}={self.value}" if self.value else text

    @classmethod
    def parse(cls, text: str, default_source: str = "k8s") -> Label:
        """Read ``[source:]key[=value]``; raises :class:`Invalid`."""
        head, _, value = text.partition("=")
        source, colon, key = head.partition(":")
        return cls(source, key, value) if colon else cls(default_source, head, value)


Labels = frozenset[Label]


def label_set(texts: Iterable[str], default_source: str = "k8s") -> Labels:
    """Parse many labels; raises :class:`Invalid` on a bad one or on more than MAX_LABELS."""
    labels = frozenset(Label.parse(text, default_source) for text in texts)
    if len(labels) > MAX_LABELS:
        raise Invalid(f"{len(labels)} labels on one endpoint, at most {MAX_LABELS} are allowed")
    return labels


def canonical(labels: Labels) -> str:
    """One text per set, whatever the order it was built in: sorted labels, each ending in ``;``."""
    return "".join(f"{label};" for label in sorted(labels))
