"""What is allowed in a policy and yet hardly meant."""

from __future__ import annotations

import pytest

from netloom.model.policy import PolicyKind
from netloom.policy import fields
from support.policies import warnings, written

QUIET = """\
endpointSelector: {matchLabels: {app: web}}
ingress:
- {}
- fromEndpoints: [{matchLabels: {app: a}, matchExpressions: [{key: b, operator: NotIn, values: [c]}]}]
  toPorts: [{ports: [{port: "80"}]}]
- fromCIDR: [10.0.0.0/8, fd00::/8]
  icmps: [{fields: [{type: 8}, {type: 128, family: IPv6}]}]
- fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.0.0.0/9]}]
ingressDeny:
- fromEntities: [world]
  toPorts: [{ports: [{port: "22"}]}]
"""


def entry(text: str) -> str:
    return written(f"endpointSelector: {{}}\ningress:\n- {text}\n")


def test_a_policy_that_makes_sense_is_read_without_a_word() -> None:
    assert warnings(written(QUIET)) == []


def contradiction(first: str, second: str) -> str:
    return entry(f"fromEndpoints: [{{matchExpressions: [{first}, {second}]}}]")


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (written("endpointSelector: {}\n"), "6: spec", "neither ingress nor egress"),
        (written("endpointSelector: {}\ningress: []\n"), "7: spec.ingress", "says nothing of this direction"),
        (entry("fromEndpoints: []"), "8: spec.ingress[0].fromEndpoints", "an empty list never matches"),
        (entry("toPorts: []"), "8: spec.ingress[0].toPorts", "an empty list never matches"),
        (entry("toPorts: [{ports: []}]"), "8: spec.ingress[0].toPorts[0].ports", "an empty list never matches"),
        (entry("icmps: [{fields: []}]"), "8: spec.ingress[0].icmps[0].fields", "an empty list never matches"),
        (entry("fromEntities: [none]"), "8: spec.ingress[0].fromEntities[0]", '"none" never matches'),
        (
            entry("fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.0.0.0/9, 10.128.0.0/9]}]"),
            "8: spec.ingress[0].fromCIDRSet[0]",
            "nothing of 10.0.0.0/8 is left",
        ),
        (
            entry("{fromCIDR: [10.0.0.0/8], icmps: [{fields: [{type: 128, family: IPv6}]}]}"),
            "8: spec.ingress[0]",
            "types of ICMPv6 never match",
        ),
        (
            entry("{fromEntities: [world-ipv6], icmps: [{fields: [{type: 8}, {type: 128, family: IPv6}]}]}"),
            "8: spec.ingress[0]",
            "types of ICMP never match",
        ),
        (
            contradiction("{key: a, operator: In, values: [x, y]}", "{key: a, operator: NotIn, values: [y, x]}"),
            "8: spec.ingress[0].fromEndpoints[0]",
            'never selects anything: no value of the label "a" is left',
        ),
        (
            contradiction("{key: 'k8s:a', operator: In, values: [x]}", "{key: a, operator: NotIn, values: [x]}"),
            "8: spec.ingress[0].fromEndpoints[0]",
            'no value of the label "a" is left',
        ),
        (
            contradiction("{key: 'k8s:a', operator: In, values: [x]}", "{key: 'k8s:a', operator: In, values: [y]}"),
            "8: spec.ingress[0].fromEndpoints[0]",
            'no value of the label "a" is left',
        ),
        (
            contradiction("{key: a, operator: Exists}", "{key: a, operator: DoesNotExist}"),
            "8: spec.ingress[0].fromEndpoints[0]",
            'the label "a" must exist and must not',
        ),
        (
            written('endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": x}}\ningress: [{}]\n'),
            "6: spec.endpointSelector",
            '"default" is taken instead',
        ),
        (
            entry('fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", '
                  "operator: NotIn, values: [x]}]}]"),
            "8: spec.ingress[0].fromEndpoints[0]",
            "nodes and the world, which have none, are selected too",
        ),
        (
            written("podSelector: {}\npolicyTypes: [Egress]\ningress: [{}]\n", PolicyKind.KUBERNETES),
            "8: spec.ingress",
            "policyTypes does not name this direction",
        ),
        (
            written("podSelector: {}\negress: []\n", PolicyKind.KUBERNETES),
            "7: spec.egress",
            "write policyTypes to make that plain",
        ),
        (
            entry("fromEntities: [host]").replace("  ingress:", "  ingressDeny: [{fromEntities: [all]}]\n  ingress:"),
            "9: spec.ingress[0]",
            "everything this allows is denied by spec.ingressDeny[0]",
        ),
    ],
)  # fmt: skip
def test_what_says_nothing_is_told_by_its_place(text: str, where: str, words: str) -> None:
    (found,) = warnings(text)
    assert found.startswith(f"p.yaml:{where}: ")
    assert words in found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{key: a, operator: In, values: [x, y]}", "{key: a, operator: NotIn, values: [x]}"),
        ("{key: 'k8s:a', operator: DoesNotExist}", "{key: a, operator: Exists}"),
        ("{key: a, operator: In, values: [x]}", "{key: a, operator: In, values: [y]}"),
        ("{key: a, operator: In, values: [x]}", "{key: b, operator: NotIn, values: [x]}"),
        ("{key: a, operator: NotIn, values: [x]}", "{key: a, operator: DoesNotExist}"),
    ],
)
def test_requirements_that_some_labels_meet_are_no_contradiction(first: str, second: str) -> None:
    """A label of any source may come from two sources, with two values."""
    assert warnings(contradiction(first, second)) == []


def test_a_file_that_would_take_long_to_look_through_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "MAX_COMPARISONS", 3)
    text = entry("fromEntities: [host]").replace("  ingress:", "  ingressDeny: [{fromEntities: [all]}]\n  ingress:")
    (found,) = warnings(text)
    assert found == "p.yaml:6: spec: not looked through for allows that are denied: the file is too large"


def test_warnings_come_in_the_order_of_the_file() -> None:
    text = written(
        "endpointSelector: {}\ningress:\n- fromEntities: [host]\n- fromCIDR: []\ningressDeny: [{fromEntities: [all]}]\n"
    )
    assert [line.split(":")[1] for line in warnings(text)] == ["8", "9"]
