"""What a policy file must not hold: each mistake by its line, with what was expected instead."""

from __future__ import annotations

import pytest

from netloom.model.policy import PolicyKind
from netloom.policy.cilium import MAX_PORTS
from netloom.policy.fields import MAX_PROBLEMS
from support.policies import problems, written

TOO_MANY = MAX_PORTS + 1


def ingress(entry: str) -> str:
    return written(f"endpointSelector: {{}}\ningress:\n- {entry}\n")


def egress(entry: str) -> str:
    return written(f"endpointSelector: {{}}\negress:\n- {entry}\n")


def peer(entry: str) -> str:
    return written(f"podSelector: {{}}\ningress:\n- from: [{entry}]\n", PolicyKind.KUBERNETES)


def port(entry: str) -> str:
    return written(f"podSelector: {{}}\ningress:\n- ports: [{entry}]\n", PolicyKind.KUBERNETES)


def ports(entry: str) -> str:
    return ingress(f"toPorts: [{{ports: [{entry}]}}]")


def icmp(entry: str) -> str:
    return ingress(f"icmps: [{{fields: [{entry}]}}]")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (written("endpointSelector: {}\ningress: [{}]\nlog: {value: x}\n"), "log"),
        (written("nodeSelector: {}\ningress: [{}]\n", PolicyKind.CILIUM_CLUSTERWIDE), "nodeSelector"),
        *((ingress(f"{name}: [{{}}]"), name) for name in ("fromNodes", "fromGroups", "fromRequires")),
        (ingress("authentication: {mode: required}"), "authentication"),
        *(
            (egress(f"{name}: [{{}}]"), name)
            for name in ("toServices", "toFQDNs", "toNodes", "toGroups", "toRequires", "authentication")
        ),
        *(
            (ingress(f"toPorts: [{{ports: [{{port: '80'}}], {name}: {{}}}}]"), name)
            for name in ("listener", "serverNames", "terminatingTLS", "originatingTLS")
        ),
        *((ingress(f"fromCIDRSet: [{{cidr: 10.0.0.0/8, {name}: x}}]"), name) for name in ("cidrGroupRef",)),
        (ingress("fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupSelector: {}}]"), "cidrGroupSelector"),
        (ports("{port: '0', protocol: ICMP}"), "ICMP"),
        (written("x").replace("name: p", "generateName: p"), "generateName"),
    ],
)
def test_what_is_not_supported_yet_is_refused_with_a_reason(text: str, field: str) -> None:
    found = [line for line in problems(text) if "is not supported yet: " in line]
    assert [f" found {field}, which is not supported yet: " in line for line in found] == [True]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (
            written("endpointSelector: {}\nendpointSelektor: {}\n"),
            "7: spec.endpointSelektor",
            'did you mean "endpointSelector"?',
        ),
        (ingress("fromEndpoint: []"), "8: spec.ingress[0].fromEndpoint", 'did you mean "fromEndpoints"?'),
        (ingress("{fromEntities: [wrld]}"), "8: spec.ingress[0].fromEntities[0]", 'did you mean "world"?'),
        (ingress("{fromEntities: ['']}"), "8: spec.ingress[0].fromEntities[0]", 'found "", expected one of all'),
        (ingress("{fromEntities: world}"), "8: spec.ingress[0].fromEntities", 'found "world", expected a list'),
        (ingress("{fromEntities: }"), "8: spec.ingress[0].fromEntities", "found nothing, expected a list"),
        (ingress("fromCIDR: [10.0.0.1/8]"), "8: spec.ingress[0].fromCIDR[0]", 'without host bits: "10.0.0.0/8"'),
        (ingress("fromCIDR: ['']"), "8: spec.ingress[0].fromCIDR[0]", 'found "", expected a prefix'),
        (ingress("fromCIDR: [10.0.0.0/33]"), "8: spec.ingress[0].fromCIDR[0]", "expected a prefix"),
        (ingress("fromCIDR: [10.0.0.0/255.0.0.0]"), "8: spec.ingress[0].fromCIDR[0]", "expected a prefix"),
        (ingress("fromCIDR: ['fe80::1%eth0']"), "8: spec.ingress[0].fromCIDR[0]", "expected a prefix"),
        (ingress("fromCIDR: ['::ffff:10.0.0.0/104']"), "8: spec.ingress[0].fromCIDR[0]", 'IPv4 prefix "10.0.0.0/8"'),
        (ingress("fromCIDRSet: [{cidr: 10.0.0.0}]"), "8: spec.ingress[0].fromCIDRSet[0].cidr", '"10.0.0.0/32"'),
        (ingress("fromCIDRSet: [{except: []}]"), "8: spec.ingress[0].fromCIDRSet[0]", "found nothing, expected cidr"),
        (
            ingress("fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]"),
            "8: spec.ingress[0].fromCIDRSet[0].except[0]",
            'found "11.0.0.0/16", expected a prefix inside of 10.0.0.0/8',
        ),
        (
            ingress("fromCIDRSet: [{cidr: 10.0.0.0/8, except: ['fd00::/16']}]"),
            "8: spec.ingress[0].fromCIDRSet[0].except[0]",
            "inside of 10.0.0.0/8",
        ),
        (ports("{port: '65536'}"), "8: spec.ingress[0].toPorts[0].ports[0].port", "a port from 0 to 65535"),
        (ports("{port: '-1'}"), "8: spec.ingress[0].toPorts[0].ports[0].port", "a port from 0 to 65535"),
        (ports("{port: '080'}"), "8: spec.ingress[0].toPorts[0].ports[0].port", "a port from 0 to 65535"),
        (ports("{port: 0x50}"), "8: spec.ingress[0].toPorts[0].ports[0].port", "found the number 0x50"),
        (ports("{port: ''}"), "8: spec.ingress[0].toPorts[0].ports[0].port", 'found "", expected a port'),
        (ports("{port: a--b}"), "8: spec.ingress[0].toPorts[0].ports[0].port", "single -"),
        (ports("{port: abcdefghijklmnop}"), "8: spec.ingress[0].toPorts[0].ports[0].port", "at most 15"),
        (
            ports("{port: '80', protocol: tcp}"),
            "8: spec.ingress[0].toPorts[0].ports[0].protocol",
            "TCP, UDP, SCTP, ANY",
        ),
        (ports("{port: '80', endPort: 79}"), "8: spec.ingress[0].toPorts[0].ports[0].endPort", "not below 80"),
        (ports("{port: '80', endPort: 65536}"), "8: spec.ingress[0].toPorts[0].ports[0].endPort", "1 to 65535"),
        (ports("{port: '80', endPort: '90'}"), "8: spec.ingress[0].toPorts[0].ports[0].endPort", "without quotes"),
        (ports("{port: http, endPort: 90}"), "8: spec.ingress[0].toPorts[0].ports[0].endPort", "a named port"),
        (ports("{endPort: 90}"), "8: spec.ingress[0].toPorts[0].ports[0].endPort", "without port"),
        (ports("{port: '0', endPort: 90}"), "8: spec.ingress[0].toPorts[0].ports[0].endPort", "every port already"),
        (ports("{port: '1'}, " * TOO_MANY), "8: spec.ingress[0].toPorts[0].ports", "found a list of 41 items"),
        (icmp("{type: 8}, " * TOO_MANY), "8: spec.ingress[0].icmps[0].fields", "found a list of 41 items"),
        (icmp("{type: 256}"), "8: spec.ingress[0].icmps[0].fields[0].type", "a number from 0 to 255"),
        (icmp("{type: EchoReqest}"), "8: spec.ingress[0].icmps[0].fields[0].type", 'did you mean "EchoRequest"?'),
        (icmp("{type: PacketTooBig}"), "8: spec.ingress[0].icmps[0].fields[0].type", "name of an ICMP type"),
        (icmp("{family: IPv4}"), "8: spec.ingress[0].icmps[0].fields[0]", "found nothing, expected type"),
        (icmp("{type: 8, family: IPv5}"), "8: spec.ingress[0].icmps[0].fields[0].family", "one of IPv4, IPv6"),
        (ingress("icmps: [{}]"), "8: spec.ingress[0].icmps[0]", "found nothing, expected fields"),
        (
            ingress("{fromEndpoints: [], fromCIDR: []}"),
            "8: spec.ingress[0].fromCIDR",
            "found fromEndpoints and fromCIDR in one entry, expected an entry for each of them",
        ),
        (
            ingress("{toPorts: [], icmps: []}"),
            "8: spec.ingress[0].icmps",
            "found toPorts and icmps in one entry, expected an entry for each of them",
        ),
        (
            ingress("fromEndpoints: [{matchLabels: {'a b': c}}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchLabels.a b",
            'found the key "a b" of source "any", expected a label',
        ),
        (
            ingress("fromEndpoints: [{matchLabels: {'K8S:a': c}}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchLabels.K8S:a",
            'of source "K8S"',
        ),
        (
            ingress("fromEndpoints: [{matchLabels: {a: 'b c'}}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchLabels.a",
            'found "b c", expected a label value',
        ),
        (
            ingress("fromEndpoints: [{matchLabels: {a: true}}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchLabels.a",
            "found the yes-or-no value true, expected text: put it in quotes",
        ),
        (
            ingress("fromEndpoints: [{matchExpressions: [{key: a, operator: Is}]}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchExpressions[0].operator",
            "one of In, NotIn, Exists, DoesNotExist",
        ),
        (
            ingress("fromEndpoints: [{matchExpressions: [{key: a, operator: In}]}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchExpressions[0]",
            "found In without values",
        ),
        (
            ingress("fromEndpoints: [{matchExpressions: [{key: a, operator: Exists, values: [b]}]}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchExpressions[0].values",
            "Exists asks for no value",
        ),
        (
            ingress("fromEndpoints: [{matchExpressions: [{key: a}]}]"),
            "8: spec.ingress[0].fromEndpoints[0].matchExpressions[0]",
            "found an expression without operator",
        ),
        (
            written("endpointSelector: {}\nenableDefaultDeny: {ingress: 1}\n"),
            "7: spec.enableDefaultDeny.ingress",
            "true",
        ),
        (written("endpointSelector: {}\ningress:\n"), "7: spec.ingress", "found nothing, expected a list"),
        (written("ingress: [{}]\n"), "6: spec", "found no endpointSelector"),
        (written("[]\n"), "6: spec", "found a list, expected a mapping"),
        (written("endpointSelector: {}\nendpointSelector: {}\n"), "7: spec.endpointSelector", "first in line 6"),
        (peer("{}"), "8: spec.ingress[0].from[0]", "podSelector, namespaceSelector or ipBlock"),
        (
            peer("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}"),
            "8: spec.ingress[0].from[0].ipBlock",
            "beside a selector",
        ),
        (peer("{ipBlock: {}}"), "8: spec.ingress[0].from[0].ipBlock", "found nothing, expected cidr"),
        (
            peer("{podSelector: {matchLabels: {'k8s:app': web}}}"),
            "8: spec.ingress[0].from[0].podSelector.matchLabels.k8s:app",
            'found the key "k8s:app"',
        ),
        (port("{port: 0}"), "8: spec.ingress[0].ports[0].port", "a port from 1 to 65535"),
        (port("{port: 65536}"), "8: spec.ingress[0].ports[0].port", "a port from 1 to 65535"),
        (port("{port: '80'}"), "8: spec.ingress[0].ports[0].port", "without quotes"),
        (port("{port: HTTP}"), "8: spec.ingress[0].ports[0].port", "lower-case"),
        (port("{port: 80, endPort: 0}"), "8: spec.ingress[0].ports[0].endPort", "1 to 65535"),
        (port("{port: 80, protocol: ANY}"), "8: spec.ingress[0].ports[0].protocol", "one of TCP, UDP, SCTP"),
        (written("ingress: []\n", PolicyKind.KUBERNETES), "6: spec", "found no podSelector"),
        (
            written("podSelector: {}\npolicyTypes: [ingress]\n", PolicyKind.KUBERNETES),
            "7: spec.policyTypes[0]",
            'did you mean "Ingress"?',
        ),
    ],
)
def test_a_mistake_is_told_by_its_place(text: str, where: str, words: str) -> None:
    (found,) = problems(text)
    assert found.startswith(f"p.yaml:{where}: found ")
    assert words in found


def test_a_rule_is_about_endpoints_or_nodes() -> None:
    found = problems(written("endpointSelector: {}\nnodeSelector: {}\ningress: [{}]\n"))
    assert any("found endpointSelector and nodeSelector, expected either of them" in line for line in found)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("spec: {endpointSelector: {}}\nspecs: []\n", "5: specs: found spec and specs, expected either of them"),
        ("", "1: file: found neither spec nor specs, expected spec or specs"),
        ("specs: []\n", "4: specs: found a list, expected at least one rule"),
    ],
)
def test_a_policy_has_a_spec_or_specs(more: str, words: str) -> None:
    (found,) = problems(written("x").partition("\nspec:")[0] + more)
    assert found == f"p.yaml:{words}"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("{}", "metadata: found no name, expected name"),
        ("{name: ''}", 'metadata.name: found "", expected a name'),
        ("{name: A}", 'metadata.name: found "A", expected a name'),
        ("{name: " + "a" * 254 + "}", "metadata.name: found "),
        ("{name: p, namespace: a.b}", 'metadata.namespace: found "a.b", expected a name'),
        ("{name: p, namespace: ''}", 'metadata.namespace: found "", expected a name'),
        ("{name: p, nmespace: x}", 'did you mean "namespace"?'),
        ("{name: p, annotations: {netloom.io/audit: 'yes'}}", 'expected "true" or "false", in quotes'),
        ("{name: p, annotations: {netloom.io/audit: true}}", "found the yes-or-no value true"),
        ("{name: p, labels: {a: 1}}", "metadata.labels.a: found the number 1"),
        ("p", 'metadata: found "p", expected a mapping'),
    ],
)
def test_metadata_is_checked(metadata: str, words: str) -> None:
    (found,) = problems(written("endpointSelector: {}\ningress: [{}]\n").replace("{name: p}", metadata))
    assert words in found


def test_a_clusterwide_policy_has_no_namespace() -> None:
    (found,) = problems(written("endpointSelector: {}", PolicyKind.CILIUM_CLUSTERWIDE, "team"))
    assert "expected no namespace: policies of this kind are for the whole cluster" in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Deployment\napiVersion: apps/v1\n", 'kind: found "Deployment", expected one of CiliumNetworkPolicy'),
        ("kind: NetworkPolcy\n", 'did you mean "NetworkPolicy"?'),
        ("apiVersion: cilium.io/v2\n", "found an object without kind"),
        ("kind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {}}\n", "found an object without apiVersion"),
        (
            "kind: NetworkPolicy\napiVersion: extensions/v1beta1\nmetadata: {name: a}\nspec: {podSelector: {}}\n",
            'apiVersion: found "extensions/v1beta1", expected networking.k8s.io/v1',
        ),
        ("kind: List\napiVersion: v1\n", "found a list without items"),
        ("kind: List\napiVersion: v1\nitems: [{kind: List}]\n", 'items[0].kind: found "List"'),
        ("[]", "file: found a list, expected an object with apiVersion and kind"),
        ("word", 'file: found "word", expected an object with apiVersion and kind'),
    ],
)
def test_what_is_no_policy_is_refused(text: str, words: str) -> None:
    (found,) = problems(text)
    assert words in found


def test_one_name_may_stand_once_in_an_import() -> None:
    text = written("endpointSelector: {}\ningress: [{}]\n")
    (found,) = problems(f"{text}---\n{text}")
    assert found.endswith(
        "found CiliumNetworkPolicy/default/p again (first in p.yaml:1), expected every name once in an import"
    )


def test_a_name_may_stand_once_in_each_kind_and_namespace() -> None:
    spec = "endpointSelector: {}\ningress: [{}]\n"
    texts = [
        written(spec),
        written(spec, namespace="x"),
        written(spec, PolicyKind.CILIUM_CLUSTERWIDE),
        written("y: 1\n"),
    ]
    assert len(problems("---\n".join(texts))) == 3


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = ingress("{fromCIDR: [x], toPorts: [{ports: [{port: '70000'}]}], foo: 1}") + "---\nkind: Pod\n---\n{: "
    lines = [int(line.split(":")[1]) for line in problems(text)]
    assert lines == [8, 8, 8, 10, 12]


def test_no_more_problems_are_told_than_anybody_reads() -> None:
    many = ", ".join(f"x{number}" for number in range(MAX_PROBLEMS * 3))
    assert len(problems(ingress(f"fromEntities: [{many}]"))) == MAX_PROBLEMS
