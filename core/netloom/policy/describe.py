"""Selectors and peers in words, as ``netctl policy selectors`` lists them."""

from __future__ import annotations

from netloom.model.policy import ANY_SOURCE, CidrPeer, Entity, Operator, Requirement, Selector

EVERYTHING = "{}"


def criterion_text(criterion: Selector | Entity | CidrPeer | None) -> str:
    """Who a group is: ``k8s:app=web, k8s:tier in (a, b)``, ``entity host``, ``10.0.0.0/8 except 10.1.0.0/16``."""
    match criterion:
        case Selector():
            return ", ".join(map(_requirement, criterion.requirements)) or EVERYTHING
        case CidrPeer():
            excepts = f" except {', '.join(map(str, criterion.excepts))}" if criterion.excepts else ""
            return f"{criterion.network}{excepts}{' with endpoints' if criterion.with_endpoints else ''}"
        case Entity():
            return f"entity {criterion}"
        case None:
            return "any peer"


def _requirement(one: Requirement) -> str:
    key = one.key if one.source == ANY_SOURCE else f"{one.source}:{one.key}"
    match one.operator:
        case Operator.EXISTS:
            return key
        case Operator.DOES_NOT_EXIST:
            return f"!{key}"
        case Operator.IN if len(one.values) == 1:
            return f"{key}={one.values[0]}" if one.values[0] else f'{key}=""'
        case Operator.IN:
            return f"{key} in ({', '.join(one.values)})"
        case Operator.NOT_IN if len(one.values) == 1:
            return f"{key}!={one.values[0]}"
        case Operator.NOT_IN:
            return f"{key} not in ({', '.join(one.values)})"
