"""Policy files to policies: many YAML documents, lists of objects, JSON; and policies as documents of one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from netloom.config.document import Bounds, compose_all
from netloom.config.schema import closest
from netloom.model.errors import ConfigError, Problem
from netloom.model.policy import Policy, PolicyKind, PolicyName, Rule
from netloom.policy.cilium import cilium_rules
from netloom.policy.clashes import clashes
from netloom.policy.fields import Notes, Place, PolicyWarning, Protocols, Shape, plain
from netloom.policy.kubernetes import kubernetes_rules
from netloom.policy.remarks import warn

POLICY_FILE = Bounds(kind="a file of policies", max_bytes=32 * 1024 * 1024, max_depth=40, max_nodes=1_000_000)
"""Ten thousand policies of a hundred values."""
DEFAULT_NAMESPACE = "default"
AUDIT = "netloom.io/audit"
"""Annotation of a policy that is to be watched before it is enforced."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Annotation that holds the whole object once more."""

VERSIONS: Mapping[str, str] = {
    PolicyKind.CILIUM: "cilium.io/v2",
    PolicyKind.CILIUM_CLUSTERWIDE: "cilium.io/v2",
    PolicyKind.KUBERNETES: "networking.k8s.io/v1",
}
LISTS: Mapping[str, str] = {"List": "v1", **{f"{kind}List": version for kind, version in VERSIONS.items()}}
_CILIUM = Shape(("apiVersion", "kind", "metadata", "description", "spec", "specs", "status"))
_KUBERNETES = Shape(("apiVersion", "kind", "metadata", "spec", "status"))
_LIST = Shape(("apiVersion", "kind", "metadata", "items"))
_METADATA = Shape(
    (
        "name",
        "namespace",
        "labels",
        "annotations",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "selfLink",
    ),
    {"generateName": "there is nobody to make a name up; write name"},
)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Policies:
    """What a file holds."""

    policies: tuple[Policy, ...]
    """In the order of the file."""
    warnings: tuple[PolicyWarning, ...]


class Import:
    """Files that are read together: no two policies in them have one name."""

    def __init__(self, protocols: Protocols | None = None) -> None:
        """``protocols``: those that rules about requests may be of; None: any, and nobody looks at the rules."""
        self._protocols = protocols
        self._names: dict[PolicyName, str] = {}
        self._asking: list[Policy] = []

    def read(self, text: str, file: str) -> Policies:
        """Read one more; ``file`` names it in messages. Raises ConfigError with all problems of this file."""
        return self._read(compose_all(_untabbed(text), file, POLICY_FILE), file)

    def _read(self, documents: Iterator[yaml.Node], file: str) -> Policies:
        notes = Notes(file, self._protocols)
        policies = []
        try:
            for node in documents:
                policies += [self._policy(place, kind) for place, kind in _objects(Place(notes, node, ""))]
                if notes.full:
                    break
        except ConfigError as error:
            notes.add(error)
        asking = [policy for policy in policies if policy and policy.asks]
        if problems := tuple(clashes(asking, self._asking)):
            notes.add(ConfigError(problems))
        self._asking += asking
        notes.finish()
        return Policies(tuple(policy for policy in policies if policy), tuple(sorted(notes.warnings, key=_where)))

    def _policy(self, place: Place, kind: PolicyKind) -> Policy | None:
        fields = place.fields(_KUBERNETES if kind is PolicyKind.KUBERNETES else _CILIUM)
        name, audit, metadata = _metadata(place, fields.get("metadata"), kind)
        rules = _rules(place, fields, name)
        if name.name and name in self._names:
            place.refuse("every name once in an import", f"{name} again (first in {self._names[name]})")
        self._names.setdefault(name, f"{place.notes.file}:{place.line}")
        if place.notes.full:
            return None
        document = {"apiVersion": VERSIONS[kind], "kind": str(kind), "metadata": metadata}
        document |= {key: plain(fields[key].node) for key in ("description", "spec", "specs") if key in fields}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        policy = Policy(name, rules, audit, text)
        warn(policy, place.notes)
        return policy


def read_policies(text: str, file: str, protocols: Protocols | None = None) -> Policies:
    """Policies of one file. Raises ConfigError with everything that is wrong with it."""
    return Import(protocols).read(text, file)


def decode_policy(document: str) -> Policy:
    """The policy of which this is the document. Raises ConfigError.

    Rules about requests were read by whoever imported it; a node that does not know their protocol closes its ports.
    """
    try:
        node = _node(json.loads(document))
    except (ValueError, RecursionError) as error:
        raise ConfigError((Problem("", 0, "policy", str(error), "the document of a policy"),)) from error
    policies = Import()._read(iter((node,)), "").policies  # noqa: SLF001
    if len(policies) != 1:
        raise ConfigError((Problem("", 0, "policy", f"{len(policies)} policies", "one policy"),))
    return policies[0]


def _untabbed(text: str) -> str:
    """JSON may be indented by tabs, which YAML forbids. No text in JSON goes over a line's end."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return text
    return re.sub(r"(?m)^[ \t]*\t[ \t]*", " ", text)


def _where(warning: PolicyWarning) -> int:
    return warning.origin.line


def _objects(place: Place) -> Iterator[tuple[Place, PolicyKind]]:
    """Every policy of a document; those of a list may leave out what the list says for them."""
    if place.is_null:
        return
    kind = _kind(place, (*VERSIONS, *LISTS), "")
    if kind in LISTS:
        fields = place.fields(_LIST)
        if "items" not in fields:
            place.refuse("items", "a list without items")
            return
        kinds = (kind.removesuffix("List"),) if kind != "List" else tuple(VERSIONS)
        for item in fields["items"].items():
            if found := _kind(item, kinds, kinds[0] if len(kinds) == 1 else ""):
                yield item, PolicyKind(found)
    elif kind:
        yield place, PolicyKind(kind)


def _kind(place: Place, kinds: tuple[str, ...], default: str) -> str:
    """The kind of an object; "" when it is none of ``kinds``, which is noted."""
    if not place.is_mapping:
        place.refuse("an object with apiVersion and kind")
        return ""
    if default and not place.has("kind"):
        return default
    entries = place.entries()
    written = entries.get("kind")
    if written is None:
        place.refuse(f"kind: one of {', '.join(VERSIONS)}", "an object without kind")
        return ""
    kind = written.text()
    if kind not in kinds:
        if kind or not written.is_null:
            written.refuse(f"one of {', '.join(VERSIONS)}{closest(kind[:80], VERSIONS)}")
        return ""
    version = {**VERSIONS, **LISTS}[kind]
    stated = entries.get("apiVersion")
    if stated is None:
        place.refuse(f"apiVersion: {version}", "an object without apiVersion")
    elif stated.text(version) != version:
        stated.refuse(f"{version}, the version of {kind} that is read")
    return kind


def _metadata(place: Place, written: Place | None, kind: PolicyKind) -> tuple[PolicyName, bool, dict[str, Any]]:
    """A policy's name, whether it is audited, and what a document keeps of its metadata."""
    if written is None:
        place.refuse("metadata with a name", "no metadata")
        return PolicyName(kind, "", ""), False, {}
    fields = written.fields(_METADATA)
    name = ""
    if "name" in fields:
        name = fields["name"].matching(_is_name, "a name of at most 253 lower-case letters, digits, - and .")
    elif written.is_mapping and not written.has("generateName"):
        written.refuse("name", "no name")
    namespace = _namespace(fields.get("namespace"), kind)
    kept: dict[str, Any] = {"name": name}
    if namespace:
        kept["namespace"] = namespace
    for key in ("labels", "annotations"):
        texts = _texts(fields.get(key))
        if found := {part: text for part, text in texts.items() if part != LAST_APPLIED}:
            kept[key] = found
    return PolicyName(kind, namespace, name), _audit(fields.get("annotations")), kept


def _is_name(text: str) -> bool:
    return len(text) <= 253 and bool(_NAME.fullmatch(text))


def _namespace(place: Place | None, kind: PolicyKind) -> str:
    if kind is PolicyKind.CILIUM_CLUSTERWIDE:
        if place:
            place.refuse("no namespace: policies of this kind are for the whole cluster")
        return ""
    if place is None:
        return DEFAULT_NAMESPACE
    return place.matching(
        lambda text: bool(_NAMESPACE.fullmatch(text)), "a name of at most 63 lower-case letters, digits and -"
    )


def _texts(place: Place | None) -> dict[str, str]:
    if place is None or place.is_null:
        return {}
    return {key: value.text() for key, value in place.entries().items()}


def _audit(annotations: Place | None) -> bool:
    if annotations is None or not annotations.is_mapping or not annotations.has(AUDIT):
        return False
    place = annotations.entries()[AUDIT]
    return place.matching(lambda text: text in ("true", "false"), '"true" or "false", in quotes') == "true"


def _rules(place: Place, fields: Mapping[str, Place], name: PolicyName) -> tuple[Rule, ...]:
    if name.kind is PolicyKind.KUBERNETES:
        return kubernetes_rules(fields.get("spec"), place, name.namespace)
    rules = cilium_rules(fields.get("spec"), fields.get("specs"), place, name.namespace)
    if "description" not in fields:
        return rules
    # Cilium's first examples have it here, where later ones have it in the spec.
    text = fields["description"].text()
    return tuple(replace(rule, description=rule.description or text) for rule in rules)


_MARK = yaml.Mark("", 0, 0, 0, None, 0)


def _node(value: Any) -> yaml.Node:
    """What the composer would give for a JSON value."""
    if isinstance(value, dict):
        pairs = [(_node(key), _node(item)) for key, item in value.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, _MARK, _MARK)
    if isinstance(value, list):
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [_node(item) for item in value], _MARK, _MARK)
    if value is None:
        return yaml.ScalarNode("tag:yaml.org,2002:null", "null", _MARK, _MARK)
    if isinstance(value, bool):
        return yaml.ScalarNode("tag:yaml.org,2002:bool", "true" if value else "false", _MARK, _MARK)
    kind = "int" if isinstance(value, int) else "float" if isinstance(value, float) else "str"
    return yaml.ScalarNode(f"tag:yaml.org,2002:{kind}", str(value), _MARK, _MARK)
