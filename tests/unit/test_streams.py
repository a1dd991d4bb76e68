"""What ``/v1/flows`` is asked for, and how flows look as JSON."""

from __future__ import annotations

from dataclasses import replace

import jsonschema
import msgspec
import pytest

from netloom.agent.flow_log import Loss, Where
from netloom.agent.flow_views import flow_view, loss_view, monitor_view
from netloom.agent.openapi import SCHEMAS
from netloom.agent.streams import read_query
from netloom.datapath.flow_filter import DEFAULT_KINDS
from netloom.model.errors import Invalid
from netloom.model.flow import Because, FlowKind, RuleHit
from netloom.model.policy import Origin, PolicyKind, PolicyName
from support.flows import FLOW

NOW_NS = 1_772_359_200_000_000_000
SCHEMA = {**SCHEMAS["Flow"], "components": {"schemas": SCHEMAS}}
NAME = PolicyName(PolicyKind.KUBERNETES, "shop", "web")


def test_without_a_word_all_that_is_kept_is_wanted_and_no_more() -> None:
    query = read_query([], NOW_NS)
    assert (query.last, query.since_ns, query.follow, query.filter.kinds) == (None, 0, False, DEFAULT_KINDS)


def test_how_many_since_when_and_what_are_told_apart_from_conditions() -> None:
    query = read_query([("last", "5"), ("since", "1.5"), ("follow", "true"), ("type", "trace"), ("port", "80")], NOW_NS)
    assert (query.last, query.since_ns, query.follow) == (5, NOW_NS - 1_500_000_000, True)
    assert query.filter.kinds == {FlowKind.TRACE}
    assert query.filter.wants(FLOW)


@pytest.mark.parametrize("since", ["1e30", "inf"])
def test_longer_ago_than_there_was_time_is_everything(since: str) -> None:
    assert read_query([("since", since)], NOW_NS).since_ns == 0


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("last", "-1", 'last "-1" is no number'),
        ("last", "many", 'last "many" is no number'),
        ("since", "-1", 'since "-1" is not a number of seconds'),
        ("since", "nan", 'since "nan" is not a number of seconds'),
        ("since", "yesterday", 'since "yesterday" is not a number of seconds'),
        ("newest", "5", 'filter "newest" is unknown'),
    ],
)
def test_a_query_that_means_nothing_is_refused(name: str, text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_query([(name, text)], NOW_NS)
    assert sentence in str(caught.value)


def test_flows_and_losses_fit_the_document() -> None:
    """With a cause and without one, printed or not."""
    hit = RuleHit(policy=NAME, origin=Origin("shop.yaml", 12, "spec.ingress[0]"), description="for all")
    because = Because(verdict="allowed", match="L3-L4", rules=(hit,), isolated_by=(NAME,))
    for view in (
        flow_view(FLOW),
        flow_view(replace(FLOW, because=because)),
        monitor_view(FLOW),
        loss_view(Loss(where=Where.UNTOLD, count=3, at_ns=5)),
    ):
        jsonschema.validate(msgspec.json.decode(msgspec.json.encode(view)), SCHEMA)
        assert view.keys() <= SCHEMAS["Flow"]["properties"].keys()


def test_a_cause_is_told_whole() -> None:
    hit = RuleHit(policy=NAME, origin=Origin("shop.yaml", 12, "spec.ingress[0]"), description="for all")
    setting = RuleHit(policy=None, origin=Origin("", 0, "allow_host"))
    view = flow_view(replace(FLOW, because=Because(verdict="allowed", match="L3-L4", rules=(setting, hit))))["policy"]
    assert view["policies"] == ["NetworkPolicy/shop/web"]
    assert view["rules"] == [
        {"policy": "", "file": "", "line": 0, "path": "allow_host", "description": ""},
        {
            "policy": "NetworkPolicy/shop/web",
            "file": "shop.yaml",
            "line": 12,
            "path": "spec.ingress[0]",
            "description": "for all",
        },
    ]
    assert view["cause"] == "allowed by policy.allow_host, NetworkPolicy/shop/web (shop.yaml:12: spec.ingress[0])"
