"""Who reaches whom: what is expected, what was found, and a picture of where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

Pair = tuple[str, str]


@dataclass(frozen=True)
class Reach:
    """Pods by name (``namespace/pod``), and the pairs of which the first reaches the second.

    What a pod says to itself is never looked at.
    """

    pods: tuple[str, ...]
    pairs: frozenset[Pair]

    @classmethod
    def everybody(cls, pods: Sequence[str]) -> Reach:
        """Each reaches all others."""
        return cls(tuple(pods), frozenset(all_pairs(pods)))

    def cut(self, source: str, target: str) -> Reach:
        """Whoever is meant by the first reaches nobody meant by the second: a pod, a namespace, or ``*``."""
        return replace(self, pairs=self.pairs - self._between(source, target))

    def join(self, source: str, target: str) -> Reach:
        """The opposite of :meth:`cut`."""
        return replace(self, pairs=self.pairs | self._between(source, target))

    def _between(self, source: str, target: str) -> frozenset[Pair]:
        found = frozenset(pair for pair in all_pairs(self.pods) if _means(source, pair[0]) and _means(target, pair[1]))
        assert found, f"nobody is meant by {source} to {target}"
        return found

    def picture(self, found: Iterable[Pair]) -> str:
        """A row for each sender, a column for each receiver; ``!`` where found is not what was expected."""
        found = set(found)
        width = max(map(len, self.pods)) + 1
        lines = [" " * width + "".join(pod.rjust(width + 1) for pod in self.pods)]
        for source in self.pods:
            marks = (self._mark((source, target), (source, target) in found) for target in self.pods)
            lines.append(source.ljust(width) + "".join(mark.rjust(width + 1) for mark in marks))
        return "\n".join(lines)

    def _mark(self, pair: Pair, is_found: bool) -> str:
        if pair[0] == pair[1]:
            return "-"
        wrong = "!" if is_found != (pair in self.pairs) else ""
        return wrong + ("yes" if is_found else "no")


def all_pairs(pods: Sequence[str]) -> list[Pair]:
    """Every pod with every other."""
    return [(source, target) for source in pods for target in pods if source != target]


def _means(pattern: str, pod: str) -> bool:
    return pattern in ("*", pod, pod.partition("/")[0])
