"""The capability ``bandwidth``: every request is limits or a sentence."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom.cni.bandwidth import Limit, Limits, limits_of
from netloom.cni.errors import CniError, Code

MBIT = 1_000_000


def refusal(asked: dict[str, Any]) -> CniError:
    with pytest.raises(CniError) as caught:
        limits_of(asked)
    return caught.value


@pytest.mark.parametrize(
    ("asked", "limits"),
    [
        ({}, Limits()),
        ({"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}, Limits()),
        ({"ingressRate": None, "egressRate": MBIT}, Limits(egress=Limit(MBIT, 0))),
        ({"ingressRate": MBIT}, Limits(ingress=Limit(MBIT, 0))),
        ({"ingressRate": MBIT, "ingressBurst": 5000}, Limits(ingress=Limit(MBIT, 5000))),
        ({"ingressRate": 1000, "egressRate": 10**15}, Limits(Limit(1000, 0), Limit(10**15, 0))),
        ({"egressRate": MBIT, "shapedSubnets": []}, Limits(egress=Limit(MBIT, 0))),
    ],
)
def test_a_rate_is_a_limit_of_its_direction_and_none_is_no_limit(asked: dict[str, Any], limits: Limits) -> None:
    assert limits_of(asked) == limits


@pytest.mark.parametrize("burst", [2**31 - 1, 2**32 - 1, (2**32 - 1) * 8, (2**32 - 1) * 8 - 1])
def test_what_runtimes_send_for_pods_that_name_a_rate_alone_is_no_burst(burst: int) -> None:
    assert limits_of({"egressRate": MBIT, "egressBurst": burst}) == Limits(egress=Limit(MBIT, 0))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("ingressRate", -1, "not negative"),
        ("ingressRate", "1M", "a whole number"),
        ("ingressRate", 1e6, "a whole number"),
        ("ingressRate", True, "a whole number"),
        ("egressRate", [1], "a whole number"),
        ("egressRate", 999, "1000 to"),
        ("egressRate", 10**15 + 1, "1000 to"),
        ("egressBurst", -5, "not negative"),
        ("egressBurst", 5000, "no burst without egressRate"),
    ],
)
def test_what_is_no_limit_is_named_with_what_was_found_and_expected(key: str, value: object, expected: str) -> None:
    error = refusal({key: value})
    assert error.code == Code.INVALID_CONFIG
    assert (f"bandwidth.{key}" in error.message, repr(value) in error.message, expected in error.message) == (True,) * 3


def test_what_is_not_known_is_not_passed_over() -> None:
    """Newer runtimes may limit some prefixes only; to limit all instead would be another thing."""
    error = refusal({"ingressRate": MBIT, "shapedSubnets": ["10.0.0.0/8"]})
    assert (error.code, "shapedSubnets" in error.message) == (Code.UNSUPPORTED_FIELD, True)


KEYS = st.sampled_from(["ingressRate", "ingressBurst", "egressRate", "egressBurst", "more"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.none(), max_size=1)


@given(st.dictionaries(KEYS, VALUES))
def test_whatever_is_asked_for_is_limits_or_an_error(asked: dict[str, Any]) -> None:
    with suppress(CniError):
        assert isinstance(limits_of(asked), Limits)
