"""Label selectors: how labels are named in each kind of policy, and which namespace is meant.

In Cilium's kinds a label is ``source:key``, or ``key`` for that of any source. In NetworkPolicy labels of pods are
Kubernetes' own, and labels of a pod's namespace are found among the pod's, under a prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netloom.model.errors import Invalid
from netloom.model.labels import NAMESPACE_KEY, Label
from netloom.model.policy import ANY_SOURCE, Operator, Requirement, Selector
from netloom.policy.fields import Place, Shape

NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."
"""Before the key of a label of the pod's namespace."""
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label of every namespace that holds its name, which runtimes tell also where they tell no labels of it."""
KUBERNETES_SOURCE = "k8s"
RESERVED_SOURCE = "reserved"

Names = Callable[[str], tuple[str, str, str]]
"""A key as it is written, to source, key as the file has it, and key as endpoints carry it."""

_SELECTOR = Shape(("matchLabels", "matchExpressions"))
_EXPRESSION = Shape(("key", "operator", "values"))
_LABEL = (
    "letters, digits and . _ - beginning and ending with a letter or digit, at most 63 of them in a value; "
    "a / too in a key"
)


def cilium_names(text: str) -> tuple[str, str, str]:
    """``source:key``; no source is any source."""
    source, colon, key = text.partition(":")
    if not colon:
        source, key = ANY_SOURCE, text
    by_name = source in (ANY_SOURCE, KUBERNETES_SOURCE) and key == NAMESPACE_LABELS + NAMESPACE_NAME
    return source, key, NAMESPACE_KEY if by_name else key


def pod_names(text: str) -> tuple[str, str, str]:
    """Labels of pods in NetworkPolicy."""
    return KUBERNETES_SOURCE, text, text


def namespace_names(text: str) -> tuple[str, str, str]:
    """Labels of namespaces in NetworkPolicy."""
    return KUBERNETES_SOURCE, text, NAMESPACE_KEY if text == NAMESPACE_NAME else NAMESPACE_LABELS + text


def in_namespace(namespace: str) -> Requirement:
    """That an endpoint belongs to a namespace."""
    return Requirement(KUBERNETES_SOURCE, NAMESPACE_KEY, Operator.IN, (namespace,))


IN_ANY_NAMESPACE = Requirement(KUBERNETES_SOURCE, NAMESPACE_KEY, Operator.EXISTS)
"""What is an endpoint of Kubernetes at all: neither a node nor the world has a namespace."""


def cilium_subject(place: Place, namespace: str) -> Selector:
    """Endpoints a rule is about: of the policy's own namespace alone, if it has one."""
    found = requirements(place, cilium_names)
    if namespace:
        own = in_namespace(namespace)
        others = {
            other
            for other in found
            if (other.source, other.key, other.operator) == (own.source, own.key, Operator.IN) and other != own
        }
        if others:
            place.warn(f'a policy is about its own namespace: "{namespace}" is taken instead of the one written')
        found = (found - others) | {own}
    return selector(place, found)


def cilium_peer(place: Place, namespace: str) -> Selector:
    """Endpoints at the other end: those of the policy's namespace, unless another is written."""
    found = requirements(place, cilium_names)
    written = {item for item in found if item.source in (KUBERNETES_SOURCE, ANY_SOURCE)}
    if not any(item.source == RESERVED_SOURCE for item in found) and not any(
        item.key == NAMESPACE_KEY for item in written
    ):
        if not namespace:
            found.add(IN_ANY_NAMESPACE)
        elif not any(item.key.startswith(NAMESPACE_LABELS) for item in written):
            found.add(in_namespace(namespace))
    if found and not any(item.operator in (Operator.IN, Operator.EXISTS) for item in found):
        place.warn(
            "this selector asks only what labels are not: nodes and the world, which have none, are selected too"
        )
    return selector(place, found)


def selector(place: Place, found: Iterable[Requirement]) -> Selector:
    """A selector of requirements; warns when nothing can meet them all."""
    ordered = tuple(sorted(set(found)))
    if reason := contradiction(ordered):
        place.warn(f"this selector never selects anything: {reason}")
    return Selector(ordered)


def requirements(place: Place, names: Names) -> set[Requirement]:
    """What a label selector asks, without any namespace."""
    fields = place.fields(_SELECTOR)
    found: set[Requirement] = set()
    if labels := fields.get("matchLabels"):
        for key, value in labels.entries().items():
            found |= _requirement(value, names(key), Operator.IN, [value])
    if expressions := fields.get("matchExpressions"):
        for expression in expressions.items():
            found |= _expression(expression, names)
    return found


def _expression(place: Place, names: Names) -> set[Requirement]:
    fields = place.fields(_EXPRESSION)
    key, operator = fields.get("key"), fields.get("operator")
    if key is None or operator is None:
        if place.is_mapping:
            place.refuse("key and operator", "an expression without " + ("key" if key is None else "operator"))
        return set()
    word = operator.word(Operator)
    values = fields["values"].items() if "values" in fields else ()
    text = key.text("the key of a label")
    if word is None or not text:
        return set()
    if word in (Operator.IN, Operator.NOT_IN) and not values:
        place.refuse("values with at least one", f"{word} without values")
    elif word in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and values:
        fields["values"].refuse(f"none: {word} asks for no value")
    return _requirement(key, names(text), word, values)


def _requirement(
    place: Place, names: tuple[str, str, str], operator: Operator, values: Iterable[Place]
) -> set[Requirement]:
    """One requirement whose label is one that endpoints can have."""
    source, written, key = names
    if not _fits(source, written, ""):
        place.refuse(f"a label: {_LABEL}", f'the key "{written[:80]}" of source "{source[:80]}"')
        return set()
    texts = [value.matching(lambda text: _fits(source, written, text), f"a label value: {_LABEL}") for value in values]
    return {Requirement(source, key, operator, tuple(sorted(set(texts))))}


def _fits(source: str, key: str, value: str) -> bool:
    try:
        Label(source, key, value)
    except Invalid:
        return False
    return True


def contradiction(found: Iterable[Requirement]) -> str:
    """Why no labels can meet all of these; "" when some may."""
    groups: dict[tuple[str, str], list[Requirement]] = {}
    for item in found:
        groups.setdefault((item.source, item.key), []).append(item)
    for (source, key), own in groups.items():
        if not any(item.operator in (Operator.IN, Operator.EXISTS) for item in own):
            continue
        related = own if source == ANY_SOURCE else [*own, *groups.get((ANY_SOURCE, key), ())]
        if any(item.operator is Operator.DOES_NOT_EXIST for item in related):
            return f'the label "{key}" must exist and must not'
        excluded = {value for item in related if item.operator is Operator.NOT_IN for value in item.values}
        if not all(choice - excluded for choice in _choices(source, own)):
            return f'no value of the label "{key}" is left'
    return ""


def _choices(source: str, own: Iterable[Requirement]) -> list[set[str]]:
    """Values a label may have, for each label needed. One of any source may come twice, with two values."""
    choices = [set(item.values) for item in own if item.operator is Operator.IN]
    return choices if source == ANY_SOURCE or not choices else [set.intersection(*choices)]
