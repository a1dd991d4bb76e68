"""What plugins tell people: answers to questions, and numbers, whatever the plugin does."""

from __future__ import annotations

import re

import pytest

from netloom.agent.metrics import of_plugin
from netloom.model.errors import Invalid, NotFound
from netloom.plugins import accept_answers
from netloom.plugins.capabilities import capabilities
from netloom.plugins.guard import PluginFailure
from netloom.plugins.guarded_query import GuardedQuery
from support.plugins import Workshop, activate, hook, plugin
from support.turns import turns_during


async def query_of(shop: Workshop, body: str) -> GuardedQuery:
    """The only query of a plugin that answers with ``body``; it knows parameter ``peer``."""
    keyword = "async def" if "await " in body else "def"
    methods = f"    {keyword} answer(self, parameters):\n        {body}\n"
    made = 'return [Query(name="peers", summary="Peers.", answer=self.answer, parameters=("peer",))]'
    shop.install("asked", plugin("asked", hook("netloom_queries", made)) + methods)
    (query,) = (await activate(shop.discover())).queries["asked"]
    return query


async def test_a_query_is_given_its_parameters(shop: Workshop) -> None:
    query = await query_of(shop, 'return {"for": parameters["peer"], "routes": [1, 2.5, None, True]}')
    assert await query.answer([("peer", "10.0.0.1")]) == {"for": "10.0.0.1", "routes": [1, 2.5, None, True]}


async def test_an_answer_may_take_its_time(shop: Workshop) -> None:
    query = await query_of(shop, "return await asyncio.sleep(0.01, ['late'])")
    assert await query.answer([]) == ["late"]


async def test_others_in_a_plugins_loop_have_their_turn_while_a_large_answer_is_checked() -> None:
    """And the check ends no later for it."""
    large = {"routes": [{"prefix": "10.0.0.0/8"}] * 10 * accept_answers.AT_ONCE}
    assert await turns_during(accept_answers.answer_by_turns(large)) >= 20


async def test_a_large_answer_that_was_checked_is_the_same() -> None:
    large = {"routes": [{"prefix": "10.0.0.0/8"}] * 10 * accept_answers.AT_ONCE}
    assert await accept_answers.answer_by_turns(large) is large


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ([("pear", "1")], 'query "peers" has no parameter "pear", known are: peer'),
        ([("peer", "1"), ("peer", "2")], 'query "peers" is given parameter "peer" twice, expected it once'),
    ],
)
async def test_parameters_that_are_not_known_are_refused(
    shop: Workshop, parameters: list[tuple[str, str]], words: str
) -> None:
    query = await query_of(shop, "return []")
    with pytest.raises(Invalid, match=words):
        await query.answer(parameters)


async def test_what_a_plugin_raises_on_purpose_reaches_who_asks(shop: Workshop) -> None:
    query = await query_of(shop, "from netloom.model.errors import NotFound; raise NotFound('no peer 10.0.0.9')")
    with pytest.raises(NotFound, match=r"no peer 10\.0\.0\.9"):
        await query.answer([])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('peer')", "raised KeyError"),
        ("await asyncio.sleep(60)", "took longer than"),
        ("return object()", "returned a object, expected what JSON can hold"),
        ("return {1: 2}", "a key of type int, expected text"),
        ("return [float('nan')]", "returned nan, which JSON cannot hold"),
        (r"return ['\udc80']", r"returned text '\udc80', which UTF-8 cannot hold"),
        (r"return {'\udc80': 1}", r"returned text '\udc80', which UTF-8 cannot hold"),
        ("return [0] * 1_000_001", "more than 1000000 values"),
        ("x = []; x.append(x); return x", "more than 32 levels deep"),
    ],
)
async def test_an_answer_that_cannot_be_fails_the_request_alone(shop: Workshop, body: str, words: str) -> None:
    query = await query_of(shop, body)
    with pytest.raises(PluginFailure, match=re.escape(words)):
        await query.answer([])
    assert words in shop.record("asked", shop.managers[0]).error


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ('Query(name="Peers", summary="", answer=print)', "expected up to 32 of a-z, 0-9 and hyphens"),
        ('Query(name="peers", summary=3, answer=print)', "whose summary is int"),
        ('Query(name="peers", summary="", answer=3)', "whose answer cannot be called"),
        ('Query(name="peers", summary="", answer=print, parameters=("a b",))', "with a parameter named 'a b'"),
        ('*[Query(name="peers", summary="", answer=print)] * 2', "expected each once"),
    ],
)
async def test_a_query_that_cannot_be_is_left_out(shop: Workshop, made: str, words: str) -> None:
    shop.install("bad", plugin("bad", hook("netloom_queries", f"return [{made}]")))
    manager = shop.discover()
    assert (await activate(manager)).queries["bad"] == ()
    assert words in shop.record("bad", manager).error


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ('Sample(name="Up", help="", value=1)', "expected up to 64 of a-z, 0-9 and _"),
        ('Sample(name="up", help="", value="1")', "with '1'"),
        ('Sample(name="up", help="", value=1, kind="sum")', "of kind 'sum'"),
        ('Sample(name="up", help="", value=1, labels={"peer": 1})', "expected texts"),
        (
            '*(Sample(name="up", help="", value=1, labels=each) for each in ({}, {"peer": "a"}))',
            "several sets of labels",
        ),
    ],
)
async def test_numbers_that_cannot_be_are_left_out(shop: Workshop, made: str, words: str) -> None:
    shop.install("bad", plugin("bad", hook("netloom_metrics", f"return [{made}]")))
    manager = shop.discover()
    await activate(manager)
    assert await manager.samples() == {}
    assert words in shop.record("bad", manager).error


async def test_numbers_of_a_plugin_carry_its_name(shop: Workshop) -> None:
    made = (
        'return [Sample(name="session_up", help="Up.", value=1, labels={"peer": each}) for each in ("a", "b")]'
        ' + [Sample(name="flaps", help="Flaps.", value=3, kind="counter")]'
    )
    shop.install("my-bgp", plugin("my-bgp", hook("netloom_metrics", made)))
    manager = shop.discover()
    await activate(manager)
    found = [
        (sample.name, sample.labels, sample.value)
        for family in of_plugin("my-bgp", (await manager.samples())["my-bgp"])
        for sample in family.samples
    ]
    assert found == [
        ("netloom_my_bgp_session_up", {"peer": "a"}, 1),
        ("netloom_my_bgp_session_up", {"peer": "b"}, 1),
        ("netloom_my_bgp_flaps_total", {}, 3),
    ]


def test_capabilities_are_told_in_the_order_of_the_contract() -> None:
    hooks = ("netloom_flows", "netloom_queries", "netloom_node_changed", "netloom_routers")
    assert capabilities(hooks, ["peers", "routes"]) == ("routes", "queries: peers, routes", "hears of nodes, flows")
