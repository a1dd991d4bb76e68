"""Rules about requests: how they are read, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from netloom.model.errors import ConfigError, Invalid
from netloom.model.policy import Entry, Ports, Protocol, Requests
from netloom.plugins.protocols import Judge, L7Protocol, Parser
from netloom.policy.clashes import clashes
from netloom.policy.read import decode_policy, read_policies
from netloom.policy.requests import checks_of
from support.policies import FILE, labels, written


@dataclass(frozen=True)
class Rule:
    """A rule of the protocol ``http`` of these tests."""

    method: str = ""
    path: str = ""


def _matcher(rule: Rule) -> Callable[[Mapping[str, str]], bool]:
    if rule.path.startswith("("):
        raise Invalid(f'path "{rule.path}" has no end')
    if rule.path == "boom":
        raise ZeroDivisionError("division by zero")
    return lambda request: request["path"] == rule.path


def _parser(judge: Judge) -> Parser:
    raise NotImplementedError


def _protocol(name: str) -> L7Protocol:
    return L7Protocol(name=name, rule_type=Rule, matcher=_matcher, describe=dict, new_parser=_parser)


KNOWN = checks_of([_protocol("http"), _protocol("memcached")])


def policy_of(port_rule: str, *, section: str = "ingress") -> str:
    return written(f"endpointSelector: {{}}\n{section}:\n- toPorts: [{port_rule}]\n")


def entry(port_rule: str, *, section: str = "ingress") -> Entry:
    (policy,) = read_policies(policy_of(port_rule, section=section), FILE, KNOWN).policies
    (rule,) = policy.rules
    (found,) = (rule.ingress.deny if section.endswith("Deny") else rule.ingress.allow) or ()
    return found


def problems(port_rule: str, *, section: str = "ingress") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_policies(policy_of(port_rule, section=section), FILE, KNOWN)
    return [str(problem) for problem in caught.value.problems]


def requests(port_rule: str, *, section: str = "ingress") -> Requests:
    (found,) = entry(port_rule, section=section).requests
    return found


HTTP = "ports: [{port: '80', protocol: TCP}]"


def test_rules_are_kept_as_json_with_their_places() -> None:
    found = requests(f"{{{HTTP}, rules: {{http: [{{path: /jobs, method: GET}}, {{path: /}}]}}}}")
    assert (found.protocol, found.services) == ("http", (Ports(Protocol.TCP, 80, 80),))
    assert [(rule.text, rule.origin.path) for rule in found.rules] == [
        ('{"method":"GET","path":"/jobs"}', "spec.ingress[0].toPorts[0].rules.http[0]"),
        ('{"path":"/"}', "spec.ingress[0].toPorts[0].rules.http[1]"),
    ]


def test_ports_with_rules_stand_apart_from_those_without() -> None:
    found = entry(f"{{{HTTP}, rules: {{http: []}}}}, {{ports: [{{port: '81', protocol: TCP}}]}}")
    assert found.services == (Ports(Protocol.TCP, 81, 81),)
    assert [one.services for one in found.requests] == [(Ports(Protocol.TCP, 80, 80),)]


@pytest.mark.parametrize("rules", ["http: []", "l7proto: memcached", "l7proto: memcached, l7: []"])
def test_an_empty_list_asks_nothing_of_requests(rules: str) -> None:
    assert requests(f"{{{HTTP}, rules: {{{rules}}}}}").rules == ()


def test_any_protocol_may_be_named_by_l7proto() -> None:
    found = requests(f"{{{HTTP}, rules: {{l7proto: memcached, l7: [{{path: a}}]}}}}")
    assert (found.protocol, [rule.text for rule in found.rules]) == ("memcached", ['{"path":"a"}'])
    assert found.rules[0].origin.path == "spec.ingress[0].toPorts[0].rules.l7[0]"


def test_ports_may_be_named() -> None:
    found = requests("{ports: [{port: web, protocol: TCP}], rules: {http: []}}")
    assert found.services == (Ports(Protocol.TCP, name="web"),)


def test_requests_are_denied_in_sections_that_deny() -> None:
    found = entry(f"{{{HTTP}, rules: {{http: [{{path: /admin}}]}}}}", section="ingressDeny")
    assert (found.services, [one.protocol for one in found.requests]) == ((), ["http"])


@pytest.mark.parametrize(
    ("port_rule", "where", "words"),
    [
        (f"{{{HTTP}, rules: {{kafka: []}}}}", "rules.kafka", 'protocol "kafka", expected the name of a protocol'),
        (
            f"{{{HTTP}, rules: {{kafka: []}}}}",
            "rules.kafka",
            "install one, see `netctl plugins list`; known here: http",
        ),
        (f"{{{HTTP}, rules: {{l7proto: memcache}}}}", "rules.l7proto", 'did you mean "memcached"?'),
        (f"{{{HTTP}, rules: {{http: [{{}}, {{paht: /}}]}}}}", "rules.http[1].paht", 'did you mean "path"?'),
        (f"{{{HTTP}, rules: {{http: [{{path: [x]}}]}}}}", "rules.http[0].path", "found a list, expected text"),
        (f"{{{HTTP}, rules: {{http: [{{path: (}}]}}}}", "rules.http[0]", 'path "(" has no end'),
        (f"{{{HTTP}, rules: {{http: [{{path: boom}}]}}}}", "rules.http[0]", "ZeroDivisionError: division by zero"),
        (f"{{{HTTP}, rules: {{http: [], dns: []}}}}", "rules.dns", "found http and dns, expected one protocol"),
        (f"{{{HTTP}, rules: {{l7: []}}}}", "rules.l7", "found l7 without l7proto"),
        (f"{{{HTTP}, rules: {{}}}}", "rules", "found rules of no protocol, expected one of http"),
        (f"{{{HTTP}, rules: {{http: {{}}}}}}", "rules.http", "found a mapping, expected a list"),
        ("{ports: [{port: '80'}], rules: {http: []}}", "ports", "found protocol ANY, expected protocol: TCP"),
        ("{ports: [{port: '80', protocol: UDP}], rules: {http: []}}", "ports", "found protocol UDP"),
        ("{ports: [{port: '0', protocol: TCP}], rules: {http: []}}", "ports", "found every port"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_place(port_rule: str, where: str, words: str) -> None:
    (problem,) = problems(port_rule)
    assert problem.startswith(f"{FILE}:8: spec.ingress[0].toPorts[0].{where}: ")
    assert words in problem


def test_rules_need_ports() -> None:
    (problem,) = problems("{rules: {http: []}}")
    assert problem.startswith(f"{FILE}:8: spec.ingress[0].toPorts[0]: found protocol ANY")


def test_a_denial_of_no_request_is_refused() -> None:
    (problem,) = problems(f"{{{HTTP}, rules: {{http: []}}}}", section="ingressDeny")
    assert problem.startswith(f"{FILE}:8: spec.ingressDeny[0].toPorts[0].rules.http: found no rules, expected rules")


def test_a_record_of_the_store_is_read_where_its_protocol_is_not_known() -> None:
    (policy,) = read_policies(policy_of(f"{{{HTTP}, rules: {{http: [{{path: /}}]}}}}"), FILE, KNOWN).policies
    assert decode_policy(policy.document).rules == policy.rules


def test_a_denial_of_requests_leaves_something_of_an_allow() -> None:
    text = written(
        "endpointSelector: {}\n"
        f"ingress: [{{toPorts: [{{{HTTP}}}]}}]\n"
        f"ingressDeny: [{{toPorts: [{{{HTTP}, rules: {{http: [{{path: /}}]}}}}]}}]\n"
    )
    assert read_policies(text, FILE, KNOWN).warnings == ()


def test_an_allow_of_requests_of_which_a_denial_leaves_nothing_is_warned_of() -> None:
    text = written(
        "endpointSelector: {}\n"
        f"ingress: [{{toPorts: [{{{HTTP}, rules: {{http: [{{path: /}}]}}}}]}}]\n"
        f"ingressDeny: [{{toPorts: [{{{HTTP}}}]}}]\n"
    )
    (warning,) = read_policies(text, FILE, KNOWN).warnings
    assert "everything this allows is denied by spec.ingressDeny[0]" in str(warning)


# --- two protocols at one port ------------------------------------------------------------------


def two(first: str, second: str, *, subject: str = "{}") -> str:
    """Two policies, of which the second names memcached."""
    http = written(f"endpointSelector: {{}}\ningress: [{{toPorts: [{{{first}, rules: {{http: []}}}}]}}]\n")
    other = f"endpointSelector: {subject}\ningress: [{{toPorts: [{{{second}, rules: {{l7proto: memcached}}}}]}}]\n"
    return http + "---\n" + written(other).replace("name: p", "name: q")


def test_two_protocols_at_one_port_of_an_endpoint_are_refused_with_both_places() -> None:
    with pytest.raises(ConfigError) as caught:
        read_policies(two(HTTP, "ports: [{port: '79', endPort: 90, protocol: TCP}]"), FILE, KNOWN)
    assert str(caught.value) == (
        f"{FILE}:15: spec.ingress[0].toPorts[0].rules: found memcached, where CiliumNetworkPolicy/default/p has http "
        f"at the same port, expected one protocol at each port of an endpoint: see {FILE}:7: "
        "spec.ingress[0].toPorts[0].rules"
    )


@pytest.mark.parametrize("second", ["ports: [{port: '81', protocol: TCP}]", "ports: [{port: web, protocol: TCP}]"])
def test_protocols_may_differ_from_port_to_port(second: str) -> None:
    assert len(read_policies(two(HTTP, second), FILE, KNOWN).policies) == 2


def test_selectors_that_meet_in_a_known_endpoint_clash() -> None:
    one, other = (
        read_policies(
            written(
                f"endpointSelector: {{matchLabels: {{{key}: x}}}}\n"
                f"ingress: [{{toPorts: [{{{HTTP}, rules: {{l7proto: {protocol}}}}}]}}]\n"
            ),
            FILE,
            KNOWN,
        ).policies
        for key, protocol in (("k8s:a", "http"), ("k8s:b", "memcached"))
    )
    namespace = "k8s:io.kubernetes.pod.namespace=default"
    assert not list(clashes(one, other, [labels("k8s:a=x", namespace)]))
    assert list(clashes(one, other, [labels("k8s:a=x", "k8s:b=x", namespace)]))
