"""Why the data path decided as it did: the rules behind a verdict, as they stand when its event is read.

Policies may be others a moment later, so events are explained at once; and they may come in storms, so an answer is
kept as long as it holds: until the subject has another table.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from netloom.model.errors import NotFound
from netloom.model.flow import Because, RuleHit
from netloom.model.identity import IdentityId
from netloom.model.policy import PolicyName
from netloom.policy.asked import Question
from netloom.policy.explain import isolating
from netloom.policy.repository import Repository
from netloom.policy.table import (
    ALLOW,
    ANY_ALLOW,
    ANY_PEER,
    AUDIT_ALLOW,
    AUDIT_DENY,
    BY_PROXY,
    DENY,
    STATIC_BITS,
    Decision,
    Direction,
    PolicyKey,
    PolicyTable,
    Remote,
    Source,
    Sources,
    Verdict,
)

MAX_ANSWERS = 16384
"""Answers kept, and numbers of addresses; with one more, all are forgotten."""
_PROTOCOL_ONLY: Final = STATIC_BITS + 8
_EFFECTS: Final = {
    Verdict.ALLOWED: ALLOW | AUDIT_ALLOW,
    Verdict.DENIED: DENY,
    Verdict.AUDITED: AUDIT_DENY,
    Verdict.REDIRECTED: ANY_ALLOW | BY_PROXY,
}
_DEFAULTS: Final[Mapping[Verdict | None, int]] = {
    Verdict.DENIED_BY_DEFAULT: DENY,
    Verdict.AUDITED_BY_DEFAULT: AUDIT_DENY,
}
"""With the effect of the rules whose isolation is the cause."""
_Key = tuple[Verdict | None, Direction, Remote, int, int]


class Explainer:
    """Answers questions of one agent's data path."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._revision = repository.revision
        self._numbers: dict[bytes, int] = {}
        self._answers: dict[int, tuple[PolicyTable, dict[_Key, Because]]] = {}
        self._by_default: dict[tuple[Sources, int, Direction], tuple[RuleHit, ...]] = {}
        self._described: dict[tuple[PolicyName, Direction], dict[Source, str]] = {}
        self._kept = 0

    def explain(self, question: Question) -> Because:
        """Who was the cause; names nobody where policies or identities have changed so that nobody is. Never raises."""
        if self._repository.revision != self._revision or max(self._kept, len(self._numbers)) >= MAX_ANSWERS:
            self._forget()
        remote = Remote(question.peer, self._number_of(question.address))
        answers = self._answers_of(question.subject)
        if answers is None:
            return Because(verdict=question.told or "", outdated=question.told is not None)
        key = (question.told, question.direction, remote, question.protocol, question.service)
        found = answers[1].get(key)
        if found is None:
            found = answers[1][key] = self._answer(answers[0], question, remote)
            self._kept += 1
        return found

    def _forget(self) -> None:
        self._revision = self._repository.revision
        self._numbers.clear()
        self._answers.clear()
        self._by_default.clear()
        self._described.clear()
        self._kept = 0

    def _number_of(self, address: bytes) -> int:
        """Number of the prefix that holds an address; a matter of policies alone, so good for one revision."""
        number = self._numbers.get(address)
        if number is None:
            unpacked = IPv4Address(address) if len(address) == 4 else IPv6Address(address)
            number = self._numbers[address] = self._repository.remote(0, unpacked).prefix
        return number

    def _answers_of(self, subject: int) -> tuple[PolicyTable, dict[_Key, Because]] | None:
        """What is kept for a subject's table; None when nobody can say what its table is."""
        kept = self._answers.get(subject)
        table = self._repository.standing(subject) or (kept[0] if kept else self._last_table(subject))
        if table is None:
            return None
        if kept is None or table is not kept[0]:
            self._kept -= len(kept[1]) if kept else 0
            kept = self._answers[subject] = table, {}
        return kept

    def _last_table(self, subject: int) -> PolicyTable | None:
        """Of an endpoint that has just gone: its last events are about an identity that nobody here has any more."""
        try:
            return self._repository.table(IdentityId(subject))
        except NotFound:
            return None

    def _answer(self, table: PolicyTable, question: Question, remote: Remote) -> Because:
        told, direction = question.told, question.direction
        decision = table.decide(direction, remote, question.protocol, question.service)
        outdated = told is not None and decision.verdict is not told
        rules: tuple[RuleHit, ...] = ()
        if told in _DEFAULTS and not outdated:
            rules = self._isolating(table.of(direction).isolating, _DEFAULTS[told], direction)
        elif not outdated:
            rules = self._hits(decision.sources if told else (), direction)
        return Because(
            verdict=told or "",
            match="none" if outdated else match_of(decision),
            rules=rules,
            isolated_by=decision.isolated_by,
            prefix=self._repository.network_of(remote.prefix),
            outdated=outdated,
        )

    def _isolating(self, sources: Sources, effect: int, direction: Direction) -> tuple[RuleHit, ...]:
        """One tuple for all flows that the same rules are the cause of: these may be as many as there are ports."""
        key = sources, effect, direction
        if key not in self._by_default:
            self._by_default[key] = self._hits(isolating(sources, effect), direction)
        return self._by_default[key]

    def _hits(self, sources: tuple[Source, ...], direction: Direction) -> tuple[RuleHit, ...]:
        return tuple(
            RuleHit(policy=source.policy, origin=source.origin, description=self._description(source, direction))
            for source in sources
        )

    def _description(self, source: Source, direction: Direction) -> str:
        """What is written of the rule that an entry, or an isolation, stands in."""
        if source.policy is None:
            return ""
        key = source.policy, direction
        if key not in self._described:
            self._described[key] = {
                one: rule.rule.description
                for rule in self._repository.rules_in(source.policy)
                for one in (
                    *rule.of(direction).isolating,
                    *(one for clause in rule.clauses(direction) for one in clause.sources),
                )
            }
        return self._described[key].get(source, "")


def match_of(decision: Decision) -> str:
    """What the narrowest entry that decided is about, in Cilium's words; ``all`` where nothing isolates."""
    effects = _EFFECTS.get(decision.verdict, 0)
    keys = [key for key, entry in decision.matches.items() if entry.effects & effects]
    if keys:
        return _match(max(keys, key=lambda key: (key.peer != ANY_PEER, key.prefix_bits)))
    return "all" if decision.verdict is Verdict.ALLOWED and not decision.isolated_by else "none"


def _match(key: PolicyKey) -> str:
    if key.prefix_bits <= STATIC_BITS:
        return "all" if key.peer == ANY_PEER else "L3-Only"
    if key.prefix_bits == _PROTOCOL_ONLY:
        return "Proto-Only" if key.peer == ANY_PEER else "L3-Proto"
    return "L4-Only" if key.peer == ANY_PEER else "L3-L4"
