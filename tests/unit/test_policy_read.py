"""Policy files as a whole: documents, lists, JSON, metadata, bounds, and policies as one line."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netloom.config import document
from netloom.config.document import Bounds, compose_all, read_file
from netloom.model.errors import ConfigError
from netloom.model.policy import PolicyKind
from netloom.policy.read import POLICY_FILE, VERSIONS, Import, decode_policy, read_policies
from support.policies import policy, problems, written

SPEC = "endpointSelector: {}\ningress: [{}]\n"
ONE = written(SPEC)
OTHER = written("podSelector: {}\n", PolicyKind.KUBERNETES, "team")
SERVED = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"a": 1}'
    team: blue
  creationTimestamp: "2024-01-01T00:00:00Z"
  generation: 1
  labels: {app.kubernetes.io/part-of: shop}
  managedFields: [{apiVersion: cilium.io/v2, fieldsType: FieldsV1, fieldsV1: {"f:spec": {".": {}}}}]
  name: p
  namespace: shop
  ownerReferences: []
  resourceVersion: "1"
  uid: 00000000-0000-0000-0000-000000000000
spec:
  description: Shops are open.
  endpointSelector: {}
  ingress: [{}]
  labels: [{key: name, source: k8s, value: p}]
status:
  conditions: [{type: Valid, status: "True"}]
"""


def names(text: str) -> list[str]:
    return [str(found.name) for found in read_policies(text, "p.yaml").policies]


def test_a_file_holds_many_documents_and_empty_ones_do_not_count() -> None:
    text = f"---\n# nothing\n---\n{ONE}---\n{OTHER}...\n"
    assert names(text) == ["CiliumNetworkPolicy/default/p", "NetworkPolicy/team/p"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n", "null\n"])
def test_a_file_may_hold_nothing(text: str) -> None:
    assert names(text) == []


def test_a_list_of_objects_is_read_like_its_items() -> None:
    items = [yaml.safe_load(ONE), yaml.safe_load(OTHER)]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
    assert names(text) == ["CiliumNetworkPolicy/default/p", "NetworkPolicy/team/p"]


def test_items_of_a_list_of_one_kind_need_not_say_it() -> None:
    item = yaml.safe_load(OTHER)
    text = json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": [
        {"metadata": item["metadata"], "spec": item["spec"]}
    ]})  # fmt: skip
    assert names(text) == ["NetworkPolicy/team/p"]


def test_a_mistake_in_a_list_is_told_by_its_item() -> None:
    (found,) = problems("{apiVersion: v1, kind: List, items: [{kind: Pod}]}")
    assert found.startswith("p.yaml:1: items[0].kind: ")


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json_is_read_however_it_is_indented(indent: int | str | None) -> None:
    assert policy(json.dumps(yaml.safe_load(ONE), indent=indent)) == policy(ONE)


def test_an_object_as_a_cluster_serves_it_is_read() -> None:
    found = policy(SERVED)
    assert str(found.name) == "CiliumNetworkPolicy/shop/p"
    assert found.rules[0].description == "Shops are open."


def test_a_description_beside_the_spec_stands_for_rules_without_one() -> None:
    """Where Cilium's first examples have it."""
    text = ONE.replace("spec:\n", "description: Of all.\nspec:\n")
    assert policy(text).rules[0].description == "Of all."
    assert decode_policy(policy(text).document) == policy(text)
    assert policy(f"{text}  description: Its own.\n").rules[0].description == "Its own."
    assert problems(text.replace("Of all.", "[]")) == ["p.yaml:5: description: found a list, expected text"]


def test_a_document_keeps_what_the_operator_wrote_and_no_more() -> None:
    assert json.loads(policy(SERVED).document) == {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {
            "annotations": {"team": "blue"},
            "labels": {"app.kubernetes.io/part-of": "shop"},
            "name": "p",
            "namespace": "shop",
        },
        "spec": {
            "description": "Shops are open.",
            "endpointSelector": {},
            "ingress": [{}],
            "labels": [{"key": "name", "source": "k8s", "value": "p"}],
        },
    }


def test_a_document_does_not_depend_on_how_the_object_was_written() -> None:
    loose = json.dumps(yaml.safe_load(ONE), indent=1).replace('"metadata"', '"status": {}, "metadata"')
    assert policy(loose).document == policy(ONE).document


@pytest.mark.parametrize("text", [ONE, OTHER, SERVED])
def test_a_policy_comes_back_from_its_document(text: str) -> None:
    found = policy(text)
    again = decode_policy(found.document)
    assert (again, again.document) == (found, found.document)


@pytest.mark.parametrize("document", ["", "{", "[]", "3", '"a"', "null", "[" * 100_000, '{"kind": "Pod"}'])
def test_what_is_no_document_of_a_policy_is_refused(document: str) -> None:
    with pytest.raises(ConfigError):
        decode_policy(document)


@pytest.mark.parametrize(("value", "audit"), [('"true"', True), ('"false"', False)])
def test_an_annotation_asks_for_audit(value: str, audit: bool) -> None:
    text = ONE.replace("{name: p}", f"{{name: p, annotations: {{netloom.io/audit: {value}}}}}")
    assert policy(text).audit is audit


def test_a_policy_is_enforced_unless_audit_is_asked_for() -> None:
    assert policy(ONE).audit is False


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_metadata_that_a_template_left_empty_is_none(where: str) -> None:
    assert policy(ONE.replace("{name: p}", f"{{name: p, {where}: , creationTimestamp: null}}")) == policy(ONE)


def test_the_namespace_is_default_when_none_is_written() -> None:
    assert policy(ONE).name.namespace == "default"
    assert policy(written(SPEC, PolicyKind.CILIUM_CLUSTERWIDE)).name.namespace == ""


def test_files_of_one_import_hold_no_name_twice() -> None:
    together = Import()
    together.read(ONE, "a.yaml")
    with pytest.raises(ConfigError, match=r"^b\.yaml:1: file: found .* again \(first in a\.yaml:1\)"):
        together.read(ONE, "b.yaml")


def test_a_name_twice_in_one_line_is_seen() -> None:
    item = json.dumps(yaml.safe_load(ONE))
    (found,) = problems(f'{{"apiVersion": "v1", "kind": "List", "items": [{item}, {item}]}}')
    assert "items[1]: found CiliumNetworkPolicy/default/p again" in found


def test_an_alias_stands_for_what_it_names() -> None:
    text = written("endpointSelector: &a {matchLabels: {a: b}}\ningress:\n- fromEndpoints: [*a]\n")
    plain = written("endpointSelector: {matchLabels: {a: b}}\ningress:\n- fromEndpoints: [{matchLabels: {a: b}}]\n")
    assert policy(text) == policy(plain)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#" * (POLICY_FILE.max_bytes + 1), f"more than {POLICY_FILE.max_bytes} bytes"),
        ("[" * 1000, f"more than {POLICY_FILE.max_depth} levels"),
        ("[" * 100_000, "level"),  # libyaml itself may refuse it first
        ("a: &a [*a]", "an alias inside of what it stands for"),
        ("a: &a [x]\n---\na: &a [*a]", "an alias inside of what it stands for"),
        ("a: *b", "undefined alias"),
        ("a: \x07", "expected YAML in printable UTF-8 text"),
    ],
)
def test_a_hostile_text_is_refused_at_its_bound(text: str, words: str) -> None:
    assert words in "\n".join(problems(text))


def bomb(levels: int, width: int) -> str:
    lines = [f"a0: &a0 [{'x, ' * width}]"]
    lines += [f"a{level}: &a{level} [{f'*a{level - 1}, ' * width}]" for level in range(1, levels)]
    return "\n".join(lines)


def test_aliases_cannot_make_a_small_file_large() -> None:
    assert f"more than {POLICY_FILE.max_nodes} values" in "\n".join(problems(bomb(8, 10)))


def test_aliases_cannot_make_a_flat_file_deep() -> None:
    assert f"more than {POLICY_FILE.max_depth} levels" in "\n".join(problems(bomb(POLICY_FILE.max_depth + 2, 1)))


def test_a_value_counts_as_often_as_it_is_used() -> None:
    bounds = Bounds(kind="a test", max_bytes=1000, max_depth=10, max_nodes=10)
    assert len(list(compose_all("[&a [1, 2], *a, *a]", "f", bounds))) == 1
    with pytest.raises(ConfigError, match="more than 10 values"):
        list(compose_all("[&a [1, 2], *a, *a, 1]", "f", bounds))


def test_without_libyaml_everything_is_read_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_policies(f"{SERVED}---\n{OTHER}", "p.yaml")
    monkeypatch.setattr(document, "_FastLoader", document._Loader)
    assert read_policies(f"{SERVED}---\n{OTHER}", "p.yaml") == found
    with pytest.raises(ConfigError, match=f"more than {POLICY_FILE.max_depth} levels"):
        read_policies("[" * 1000, "p.yaml")


def test_a_file_is_read_within_the_same_bounds(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"#" * 101)
    with pytest.raises(ConfigError, match="found more than 100 bytes, expected a test"):
        read_file(path, Bounds(kind="a test", max_bytes=100, max_depth=1, max_nodes=1))


def test_ten_thousand_policies_are_not_too_many_for_the_bounds() -> None:
    """Counted with one of them, so that the test is quick: bytes and values are what costs."""
    text = written(
        "endpointSelector: {}\ningress:\n" + "- {fromEntities: [all], toPorts: [{ports: [{port: '1'}]}]}\n" * 5
    )
    values = len(list(yaml.parse(text)))  # every value has an event at least
    assert len(text) * 10_000 < POLICY_FILE.max_bytes
    assert values * 10_000 < POLICY_FILE.max_nodes * 1.5


FIELDS = """
    fromEndpoints fromCIDR fromCIDRSet fromEntities toPorts icmps ports port endPort fields type family cidr except
    matchLabels matchExpressions key operator values ingress egress ingressDeny enableDefaultDeny endpointSelector
    podSelector from to ipBlock namespaceSelector policyTypes In Exists world none 10.0.0.0/8 TCP IPv6 80 a rules
"""
WORDS = st.sampled_from(["", *FIELDS.split()])
SCALARS = WORDS | st.integers(-1, 70_000) | st.booleans() | st.none() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=25
)


@given(st.text(alphabet=string.printable + "ü\0\ufeff\ud800\u2028", max_size=200))
def test_any_text_gives_policies_or_problems(text: str) -> None:
    """Nothing else ever comes out."""
    try:
        read_policies(text, "p.yaml")
    except ConfigError as error:
        assert error.problems  # noqa: PT017


@given(st.sampled_from(PolicyKind), TREES, st.booleans())
def test_any_spec_gives_a_policy_or_problems(kind: PolicyKind, spec: object, many: bool) -> None:
    """And the policy comes back from its document."""
    head = {"apiVersion": VERSIONS[kind], "kind": str(kind), "metadata": {"name": "p"}}
    text = json.dumps(head | ({"specs": [spec]} if many else {"spec": spec}))
    try:
        found = policy(text)
    except ConfigError as error:
        assert error.problems  # noqa: PT017
    else:
        assert decode_policy(found.document) == found


PREFIXES = st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"])
LABELS = st.dictionaries(st.sampled_from(["app", "k8s:x", "any:y/z"]), st.sampled_from(["", "a", "b"]))
EXPRESSIONS = st.lists(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(["app", "k8s:io.kubernetes.pod.namespace"]),
        st.sampled_from(["In", "NotIn"]),
        st.lists(st.sampled_from("abc"), min_size=1),
    ),
    max_size=2,
)
SELECTORS = st.fixed_dictionaries({}, optional={"matchLabels": LABELS, "matchExpressions": EXPRESSIONS})
PEERS: st.SearchStrategy[Any] = (
    st.just({})
    | st.fixed_dictionaries({"fromEndpoints": st.lists(SELECTORS, max_size=2)})
    | st.fixed_dictionaries({"fromCIDR": st.lists(PREFIXES, max_size=2)})
    | st.fixed_dictionaries({"fromEntities": st.lists(st.sampled_from(["all", "world", "none"]), max_size=2)})
)
PORTS = st.fixed_dictionaries(
    {"port": st.sampled_from(["0", "80", 443, "http"])}, optional={"protocol": st.sampled_from(["TCP", "ANY"])}
)
SERVICES: st.SearchStrategy[Any] = (
    st.just({})
    | st.fixed_dictionaries({"toPorts": st.lists(st.fixed_dictionaries({"ports": st.lists(PORTS, max_size=3)}))})
    | st.fixed_dictionaries({"icmps": st.just([{"fields": [{"type": "EchoRequest"}, {"type": 1, "family": "IPv6"}]}])})
)
ENTRIES = st.lists(st.builds(lambda peers, services: {**peers, **services}, PEERS, SERVICES), max_size=3)
RULES = st.fixed_dictionaries(
    {"endpointSelector": SELECTORS},
    optional={
        "ingress": ENTRIES,
        "ingressDeny": ENTRIES,
        "enableDefaultDeny": st.fixed_dictionaries({"ingress": st.booleans()}),
        "description": st.text(alphabet=st.characters(exclude_categories=["C", "Z"])),
    },
)


@given(RULES, st.sampled_from(["default", "team"]))
def test_every_good_policy_comes_back_from_its_document(rule: object, namespace: str) -> None:
    head = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "spec": rule}
    found = policy(json.dumps(head | {"metadata": {"name": "p", "namespace": namespace}}, ensure_ascii=False))
    assert decode_policy(found.document) == found
