"""What a repository knows of one subject: the clauses about it, and which of its slices must be worked out anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from netloom.model.identity import IdentityId, Reserved
from netloom.policy.resolve import Clause, ResolvedRule
from netloom.policy.selection import Group
from netloom.policy.table import Direction, PolicyTable


@dataclass(slots=True)
class Half:
    """One direction of a subject's state."""

    clauses: dict[Group, dict[Clause, None]] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    asked: dict[Clause, None] = field(default_factory=dict)
    """Those of ``clauses`` that are about requests."""


@dataclass(slots=True, eq=False)
class Subject:
    """A subject's state."""

    identity: IdentityId
    halves: tuple[Half, Half] = field(default_factory=lambda: (Half(), Half()))
    rules: dict[ResolvedRule, None] = field(default_factory=dict)
    visible: tuple[tuple[Direction, Clause], ...] = ()
    """Clauses that no rule gave, but the wish to see requests."""
    touched: bool = True
    asks: bool = False
    """Whether anything was said of its requests when it was last renewed."""
    table: PolicyTable | None = None


def attach(subject: Subject, rule: ResolvedRule) -> None:
    """A rule selects a subject now."""
    subject.rules[rule] = None
    subject.touched = True
    for direction, half in zip(Direction, subject.halves, strict=True):
        for clause in rule.clauses(direction):
            half.clauses.setdefault(clause.group, {})[clause] = None
            if clause.asked:
                half.asked[clause] = None
            half.dirty |= clause.group.members
    _touch_host(subject, rule)


def detach(subject: Subject, rule: ResolvedRule) -> None:
    """A rule does not select a subject any more."""
    del subject.rules[rule]
    subject.touched = True
    for direction, half in zip(Direction, subject.halves, strict=True):
        for clause in rule.clauses(direction):
            half.dirty |= clause.group.members
            half.asked.pop(clause, None)
            del half.clauses[clause.group][clause]
            if not half.clauses[clause.group]:
                del half.clauses[clause.group]
    _touch_host(subject, rule)


def _touch_host(subject: Subject, rule: ResolvedRule) -> None:
    """Whether the host is allowed by itself depends on whether anything isolates, or asks about requests."""
    if rule.ingress.isolating or any(clause.asked for clause in rule.clauses(Direction.INGRESS)):
        subject.halves[Direction.INGRESS].dirty.add(Reserved.HOST)


def see(subject: Subject, visible: tuple[tuple[Direction, Clause], ...]) -> None:
    """Requests that are to be seen are these now."""
    for direction, clause in subject.visible:
        half = subject.halves[direction]
        del half.clauses[clause.group][clause], half.asked[clause]
        if not half.clauses[clause.group]:
            del half.clauses[clause.group]
    for direction, clause in visible:
        half = subject.halves[direction]
        half.clauses.setdefault(clause.group, {})[clause] = None
        half.asked[clause] = None
    for direction, clause in (*subject.visible, *visible):
        subject.halves[direction].dirty |= clause.group.members
    subject.halves[Direction.INGRESS].dirty.add(Reserved.HOST)
    subject.visible = visible
