"""What the API shows of policies: plain JSON values. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from netloom.agent.policies import Policies
from netloom.agent.policy_changes import Imported
from netloom.model.identity import IdentityId
from netloom.model.l7 import L7Rule
from netloom.model.policy import CidrPeer, Policy, PolicyName
from netloom.policy.census import Inhabitant
from netloom.policy.describe import criterion_text
from netloom.policy.explain import Advice, RuleTrace, SideTrace
from netloom.policy.l7_trace import RequestTrace
from netloom.policy.matrix import ANY, OTHER, Reach
from netloom.policy.questions import PROTOCOLS
from netloom.policy.repository import Repository
from netloom.policy.selection import Group
from netloom.policy.table import ALLOW, AUDIT_ALLOW, Direction, Isolation, Source

Json = dict[str, Any]

_PROTOCOL_NAMES: Final = {number: name for name, number in PROTOCOLS.items()} | {ANY: "any", OTHER: "other"}
_WORDS: Final = {direction.name.lower(): direction for direction in Direction}
_ALLOWS: Final = ALLOW | AUDIT_ALLOW


def protocol_name(number: int) -> str:
    """As services are written; a number for what has no name."""
    return _PROTOCOL_NAMES.get(number, str(number))


def name_view(name: PolicyName) -> Json:
    """By what a policy is known."""
    return {"kind": str(name.kind), "namespace": name.namespace, "name": name.name}


def policy_view(policy: Policy, repository: Repository, local: Mapping[int, int]) -> Json:
    """One row of ``/v1/policies``; ``local``: endpoints of this node by identity."""
    groups = [rule.subject for rule in repository.rules_in(policy.name)]
    selected = {number for number in local if any(number in group.members for group in groups)}
    return {
        **name_view(policy.name),
        "rules": len(policy.rules),
        "audit": policy.audit,
        "protocols": protocols_in(policy),
        "ingress": any(rule.ingress.isolates for rule in policy.rules),
        "egress": any(rule.egress.isolates for rule in policy.rules),
        "endpoints": sum(local[number] for number in selected),
        "identities": len(set().union(*(group.members for group in groups))),
    }


def protocols_in(policy: Policy) -> list[str]:
    """Application protocols of whose requests a policy says something, sorted."""
    sections = (section for _, section in policy.sections())
    entries = (entry for one in sections for entry in (*(one.allow or ()), *(one.deny or ())))
    return sorted({requests.protocol for entry in entries for requests in entry.requests})


def document_view(policy: Policy, repository: Repository, local: Mapping[int, int]) -> Json:
    """``/v1/policies/{kind}/{namespace}/{name}``: the row, and the object as it can be imported."""
    return {**policy_view(policy, repository, local), "object": json.loads(policy.document)}


def selector_view(group: Group, repository: Repository) -> Json:
    """One row of ``/v1/policies/selectors``."""
    members = sorted(group.members)
    if isinstance(group.criterion, CidrPeer):
        networks = {network for member in members if (network := repository.network_of(member)) is not None}
        return {
            "selector": criterion_text(group.criterion),
            "users": group.users,
            "identities": [],
            "prefixes": sorted(map(str, networks)),
        }
    return {"selector": criterion_text(group.criterion), "users": group.users, "identities": members, "prefixes": []}


def selectors_view(repository: Repository) -> list[Json]:
    """``/v1/policies/selectors``, those with most users first."""
    views = [selector_view(group, repository) for group in repository.groups()]
    return sorted(views, key=lambda view: (-view["users"], view["selector"]))


def import_view(done: Imported) -> Json:
    """Answer to ``PUT /v1/policies``."""
    return {
        "revision": done.revision,
        "policies": [{**name_view(policy.name), "change": str(change)} for policy, change in done.changes],
        "warnings": [
            {"file": one.origin.file, "line": one.origin.line, "path": one.origin.path, "sentence": one.sentence}
            for one in done.warnings
        ],
        "advice": [advice_view(one) for one in done.advice],
    }


def advice_view(one: Advice) -> Json:
    """Something that is to no effect."""
    return {
        **name_view(one.policy),
        "path": one.origin.path,
        "sentence": one.text,
        "by": [str(name) for name in one.by],
    }


def source_view(source: Source) -> Json:
    """An entry or rule that has a part in a verdict."""
    return {
        "policy": str(source.policy) if source.policy else "",
        "path": source.origin.path,
        "effect": "allow" if source.effect & _ALLOWS else "deny",
    }


def side_view(side: SideTrace, isolation: Isolation, closed: Mapping[int, str]) -> Json:
    """A packet at one end that has a table."""
    return {
        "identity": int(side.subject),
        "isolation": str(isolation),
        "isolated_by": [str(name) for name in side.decision.isolated_by],
        "rules": [_rule_view(rule) for rule in side.rules],
        "verdict": str(side.decision.verdict),
        "by_proxy": side.decision.by_proxy,
        "because": [source_view(source) for source in side.decision.sources],
        "closed": closed.get(side.subject, ""),
    }


def request_view(request: RequestTrace) -> Json:
    """What becomes of a request that would be sent."""
    return {
        "request": dict(request.described),
        "verdict": str(request.verdict),
        **{
            name: None if side is None else {"verdict": str(side.verdict), "rule": l7_rule_view(side.rule)}
            for name, side in (("egress", request.egress), ("ingress", request.ingress))
        },
        "answer": dict(request.answer),
    }


def l7_rule_view(rule: L7Rule | None) -> Json | None:
    """A rule about requests, with its place."""
    return None if rule is None else {"policy": rule.policy, "path": rule.origin, "rule": json.loads(rule.rule)}


def _rule_view(rule: RuleTrace) -> Json:
    return {
        "policy": str(rule.policy),
        "path": rule.origin.path,
        "audit": rule.audit,
        "description": rule.description,
        "isolates": rule.isolates,
        "entries": [
            {**source_view(entry.source), "matches": entry.matches, "why": entry.why} for entry in rule.entries
        ],
    }


def reach_view(reach: Reach) -> Json:
    """Services that pass."""
    return {
        "protocol": protocol_name(reach.protocol),
        "first": reach.first,
        "last": reach.last,
        "audited": reach.audited,
        "by_proxy": reach.by_proxy,
    }


def reaches_view(found: Iterable[Reach]) -> list[Json]:
    """All of them."""
    return [reach_view(reach) for reach in found]


def inhabitant_view(one: Inhabitant, pods: Iterable[str]) -> Json:
    """One end of the matrix."""
    return {
        "name": one.name,
        "group": one.group,
        "identity": int(one.end.identity),
        "address": str(one.end.address) if one.end.address is not None else None,
        "labels": sorted(map(str, one.labels)),
        "judged": one.judged,
        "pods": sorted(pods),
    }


def enforcement(policies: Policies, identity: IdentityId) -> dict[str, str]:
    """What policies do to an endpoint, by direction, in Cilium's words; ``Closed`` when nothing new passes at all."""
    if identity in policies.closed:
        return dict.fromkeys(_WORDS, "Closed")
    repository = policies.repository
    if policies.settings.enforcement == "never" or repository.labels_of(identity) is None:
        return dict.fromkeys(_WORDS, "Disabled")
    return {word: _enforced(repository, identity, direction) for word, direction in _WORDS.items()}


def _enforced(repository: Repository, identity: IdentityId, direction: Direction) -> str:
    """Whether anything can be denied, by default or by an entry."""
    isolation = repository.table(identity).of(direction).isolation
    denying = {
        rule.policy.audit
        for rule in repository.rules_of(identity)
        for entry in rule.of(direction).entries
        if not entry.source.effect & _ALLOWS
    }
    if isolation is Isolation.ENFORCED or False in denying:
        return "Enabled"
    return "Disabled (Audit)" if isolation is Isolation.AUDITED or denying else "Disabled"


def status_view(policies: Policies) -> Json:
    """``policy`` of ``/v1/status``."""
    settings = policies.settings
    return {
        "policies": len(policies.repository.policies),
        "revision": policies.revision,
        "enforced_revision": policies.written,
        "enforcement": settings.enforcement,
        "audit": settings.audit,
        "closed": closed_view(policies),
        "unreadable": dict(sorted(policies.unreadable.items())),
    }


def closed_view(policies: Policies) -> list[Json]:
    """Identities of this node that nothing new passes from or to, with the reasons."""
    return [{"identity": number, "reason": reason} for number, reason in sorted(policies.closed.items())]


def usage_view(policies: Policies) -> Json:
    """How full the tables of this node's identities are."""
    return {"room": policies.room, "entries": dict(policies.usage())}
