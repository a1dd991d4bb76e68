"""Filters of flows: what each condition means, and how they add up."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from netloom.datapath.flow_filter import CONDITIONS, DEFAULT_KINDS, read_filter
from netloom.datapath.reasons import DropReason
from netloom.model.errors import Invalid
from netloom.model.flow import Because, Flow, FlowKind, RuleHit
from netloom.model.identity import Reserved
from netloom.model.policy import Origin, PolicyKind, PolicyName
from support.flows import FLOW, TRACE, VERDICT, event

WEB, DENY = (PolicyName(PolicyKind.CILIUM, "web", name) for name in ("web", "deny-all"))
ALLOWED = replace(
    FLOW,
    because=Because(
        verdict="allowed", rules=(RuleHit(policy=WEB, origin=Origin("", 0, "spec")),), isolated_by=(WEB, DENY)
    ),
)
TO_WORLD = replace(
    FLOW,
    kind=FlowKind.DROP,
    code=DropReason.POLICY,
    destination_identity=int(Reserved.WORLD),
    destination_labels=frozenset({Reserved.WORLD.label}),
    destination_pod="",
    packet=replace(FLOW.packet, protocol="udp", destination=ip_address("2001:db8::1"), destination_port=53),
)
AUDITED = replace(FLOW, code=1)
ALL = {"allowed": ALLOWED, "to world": TO_WORLD, "audited": AUDITED}


def shown(*conditions: tuple[str, str]) -> set[str]:
    wanted = read_filter(conditions)
    return {name for name, flow in ALL.items() if wanted.wants(flow)}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pod", "shop/client-1", {"allowed", "to world", "audited"}),
        ("pod", "web-1", {"allowed", "audited"}),
        ("pod", "web/", {"allowed", "audited"}),
        ("pod", "shop/client-*", {"allowed", "to world", "audited"}),
        ("pod", "web/client-1", set()),
        ("from-pod", "web-1", set()),
        ("to-pod", "web-1", {"allowed", "audited"}),
        ("label", "app=web", {"allowed", "audited"}),
        ("label", "k8s:app=web,any:tier=front", {"allowed", "audited"}),
        ("label", "app=web,app=client", set()),
        ("label", "tier", {"allowed", "audited"}),
        ("label", "any:app=web", {"allowed", "audited"}),
        ("label", "container:app=web", set()),
        ("label", "reserved:world", {"to world"}),
        ("from-label", "app=web", set()),
        ("identity", "256", {"allowed", "audited"}),
        ("identity", "world", {"to world"}),
        ("from-identity", "257", set(ALL)),
        ("ip", "10.244.2.3", {"allowed", "audited"}),
        ("ip", "10.0.0.0/8", set(ALL)),
        ("ip", "2001:db8::/32", {"to world"}),
        ("to-ip", "10.244.1.2", set()),
        ("port", "80", {"allowed", "audited"}),
        ("to-port", "40000", set()),
        ("verdict", "forwarded", {"allowed"}),
        ("verdict", "dropped", {"to world"}),
        ("verdict", "AUDIT", {"audited"}),
        ("protocol", "UDP", {"to world"}),
        ("protocol", "6", {"allowed", "audited"}),
        ("policy", "web", {"allowed"}),
        ("policy", "deny-all", {"allowed"}),
        ("policy", "web/deny-all", {"allowed"}),
        ("policy", "CiliumNetworkPolicy/web/web", {"allowed"}),
        ("policy", "shop/web", set()),
    ],
)
def test_a_condition_holds_for_those_flows_it_names(name: str, text: str, expected: set[str]) -> None:
    assert shown((name, text)) == expected


def test_conditions_of_one_name_are_alternatives_and_those_of_different_names_must_all_hold() -> None:
    assert shown(("port", "80"), ("port", "53")) == set(ALL)
    assert shown(("port", "80"), ("port", "53"), ("verdict", "dropped")) == {"to world"}


def test_what_not_names_is_left_out() -> None:
    assert shown(("not", "port=53"), ("not", "verdict=audit")) == {"allowed"}
    assert shown(("not", "label=app=web")) == {"to world"}


def test_both_ends_need_not_be_those_of_one_condition() -> None:
    """An end is one end: its labels and its address are of the same one only within one condition."""
    assert shown(("from-label", "app=client"), ("to-pod", "web-1")) == {"allowed", "audited"}


@pytest.mark.parametrize(
    ("kinds", "raw", "wanted"),
    [
        ("drop", event(), True),
        ("drop", event(**VERDICT), False),
        ("policy-verdict", event(), True),
        ("policy-verdict", event(code=DropReason.TTL_EXCEEDED), False),
        ("trace", event(**TRACE), True),
        ("drop,policy-verdict", event(**TRACE), False),
    ],
)
def test_the_kind_is_known_before_anything_is_decoded(kinds: str, raw: bytes, wanted: bool) -> None:
    """A drop by policies is a verdict too."""
    assert read_filter([("type", kinds)]).may_want(raw) is wanted


def test_without_a_type_traces_are_not_wanted() -> None:
    assert read_filter([]).kinds == DEFAULT_KINDS == {FlowKind.DROP, FlowKind.VERDICT, FlowKind.L7}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("colour", "red", 'filter "colour" is unknown; expected from-identity,'),
        ("to-policy", "web", 'filter "to-policy" is unknown'),
        ("not", "colour=red", 'filter "colour" is unknown'),
        ("not", "53", 'not "53": expected a condition, as in not port=53'),
        ("not", "type=drop", 'filter "type" is unknown'),
        ("type", "nonsense", 'type "nonsense" is unknown; expected drop, trace, policy-verdict'),
        ("pod", "/", 'pod "/" names nobody'),
        ("label", "=x", 'label "=x" names none; expected [source:]key[=value]'),
        ("label", ":app", 'label ":app" names none'),
        ("identity", "wrld", 'identity "wrld": expected a number, or a reserved one'),
        ("identity", "4294967296", 'identity "4294967296": expected'),
        ("ip", "10.0.0.256", 'ip "10.0.0.256" is neither an address nor a prefix'),
        ("port", "65536", 'port "65536": expected a number from 0 to 65535'),
        ("port", "-1", 'port "-1": expected'),
        ("port", "\u0661", 'port "\u0661": expected'),
        ("verdict", "dropt", 'verdict "dropt" is unknown; expected forwarded, dropped, audit'),
    ],
)
def test_what_means_nothing_is_refused_with_a_sentence(name: str, text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_filter([(name, text)])
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_can_be_asked_of_a_flow_of_which_nothing_is_known(name: str) -> None:
    """No pods, no addresses, no cause."""
    bare = Flow(
        kind=FlowKind.DROP,
        at_ns=0,
        code=0,
        text="",
        direction="",
        source_identity=0,
        destination_identity=0,
        endpoint_id=0,
        ifindex=0,
        hash=0,
        packet_bytes=0,
        packet=replace(FLOW.packet, source=None, destination=None, source_port=None, destination_port=None),
        line=0,
    )
    text = {"verdict": "audit", "ip": "::/0", "protocol": "arp"}.get(name.rpartition("-")[2], "77")
    assert not read_filter([(name, text)]).wants(bare)
