"""Answers of the API: the same JSON in parts as at once, with turns for others; queries that are refused by name."""

from __future__ import annotations

import json
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.agent.answers import ROWS_AT_ONCE, large_answer, parts, read_number, read_truth, refuse_others
from netloom.model.errors import Invalid
from netloom.plugins import accept_answers
from support.turns import turns_during

leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5))
rows = st.lists(leaves, max_size=3).map(lambda few: few * ROWS_AT_ONCE)
answers = st.one_of(leaves, rows, st.dictionaries(st.text(max_size=5), st.one_of(leaves, rows), max_size=4))


@given(answers)
def test_the_parts_of_an_answer_are_its_json(value: Any) -> None:
    assert b"".join(parts(value)) == msgspec.json.encode(value)


def test_addresses_are_text_in_answers() -> None:
    assert b"".join(parts([ip_address("10.0.0.1"), ip_address("fd00::1")])) == b'["10.0.0.1","fd00::1"]'


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Share(float):
    pass


@pytest.mark.parametrize("value", [MappingProxyType({"a": 1}), Text("a"), Number(1), Share(0.5)], ids=type)
def test_what_a_plugin_may_answer_with_is_encoded_whatever_its_exact_type(value: Any) -> None:
    """The check of answers lets all of these pass."""
    assert accept_answers.answer([value]) == [value]
    assert json.loads(b"".join(parts([value]))) == [value]


async def test_others_get_their_turns_while_a_large_answer_is_encoded() -> None:
    """One for each part of it, at the least."""
    assert await turns_during(large_answer({"rows": [0] * ROWS_AT_ONCE * 5})) >= 5


def test_an_answer_is_what_its_owner_had_when_it_was_begun() -> None:
    """A plugin may go on with a list that it answered with."""
    live = [0] * ROWS_AT_ONCE * 2
    encoding = parts(live)
    first = next(encoding)
    live.clear()
    assert (first + b"".join(encoding)).count(b"0") == ROWS_AT_ONCE * 2


@pytest.mark.parametrize("text", ["", "-1", "1.0", "many", "²", "1" * 19])
def test_what_is_no_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match=f'^limit "{text}" is no number$'):
        read_number("limit", text)


def test_a_truth_is_true_or_false_and_nothing_else() -> None:
    assert (read_truth("learned", "true"), read_truth("learned", "false")) == (True, False)
    with pytest.raises(Invalid, match='learned "yes" is neither true nor false'):
        read_truth("learned", "yes")


def test_a_name_that_a_query_does_not_know_is_refused() -> None:
    refuse_others({"limit": "1"}, ("limit", "learned"), "routes")
    with pytest.raises(Invalid, match='"colour" is no condition of routes; expected limit, learned'):
        refuse_others({"colour": "red"}, ("limit", "learned"), "routes")
