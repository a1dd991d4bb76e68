"""Policies as people call them: ``KIND/NAMESPACE/NAME``, ``NAMESPACE/NAME`` or ``NAME``, as far as that is clear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from netloom.model.errors import Invalid, NotFound
from netloom.model.policy import PolicyKind, PolicyName

FORMS: Final = "NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME (KIND/NAME for one of the whole cluster)"
CLUSTERWIDE: Final = "-"
"""In the place of a namespace; no namespace has that name."""
_KINDS: Final[Mapping[str, PolicyKind]] = {
    alias: kind
    for kind, aliases in {
        PolicyKind.CILIUM: ("cnp", "ciliumnetworkpolicies"),
        PolicyKind.CILIUM_CLUSTERWIDE: ("ccnp", "ciliumclusterwidenetworkpolicies"),
        PolicyKind.KUBERNETES: ("netpol", "networkpolicies"),
    }.items()
    for alias in (kind.lower(), *aliases)
}
"""As ``kubectl`` takes them."""


def find_policy(text: str, known: Iterable[PolicyName]) -> PolicyName:
    """The one policy meant. Raises NotFound when there is none, Invalid when it could be several, or is no name."""
    wanted = _wanted(text)
    found = sorted(name for name in known if all(_fits(name, part) for part in wanted))
    if not found:
        raise NotFound(f'policy "{text[:300]}" does not exist; see `netctl policy list`')
    if len(found) > 1:
        raise Invalid(f'policy "{text[:300]}" could be {" or ".join(map(str, found))}; name it by kind and namespace')
    return found[0]


def find_policies(texts: Iterable[str], known: Iterable[PolicyName]) -> tuple[PolicyName, ...]:
    """The policies meant, each once. Raises as :func:`find_policy`, for the first that is not clear."""
    known = tuple(known)
    return tuple(dict.fromkeys(find_policy(text, known) for text in texts))


def _wanted(text: str) -> tuple[tuple[str, str | PolicyKind], ...]:
    """What of a name must be what."""
    match text.split("/"):
        case [name] if name:
            return (("name", name),)
        case [kind, name] if kind.lower() in _KINDS and name:
            return ("kind", _KINDS[kind.lower()]), ("name", name)
        case [namespace, name] if namespace and name:
            return ("namespace", namespace), ("name", name)
        case [kind, namespace, name] if kind.lower() in _KINDS and namespace and name:
            place = "" if namespace == CLUSTERWIDE else namespace
            return ("kind", _KINDS[kind.lower()]), ("namespace", place), ("name", name)
    raise Invalid(f'"{text[:300]}" is no name of a policy; expected {FORMS}, with a kind of {", ".join(PolicyKind)}')


def _fits(name: PolicyName, part: tuple[str, str | PolicyKind]) -> bool:
    return bool(getattr(name, part[0]) == part[1])
