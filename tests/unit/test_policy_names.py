"""Which policy a word means."""

from __future__ import annotations

import pytest

from netloom.model.errors import Invalid, NotFound
from netloom.model.policy import PolicyKind, PolicyName
from netloom.policy.names import find_policies, find_policy

WEB = PolicyName(PolicyKind.CILIUM, "shop", "web")
OTHER_WEB = PolicyName(PolicyKind.KUBERNETES, "shop", "web")
DB = PolicyName(PolicyKind.CILIUM, "shop", "db")
WIDE = PolicyName(PolicyKind.CILIUM_CLUSTERWIDE, "", "wide")
KNOWN = (WEB, OTHER_WEB, DB, WIDE)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("db", DB),
        ("shop/db", DB),
        ("CiliumNetworkPolicy/shop/web", WEB),
        ("cnp/shop/web", WEB),
        ("netpol/web", OTHER_WEB),
        ("wide", WIDE),
        ("ccnp/wide", WIDE),
        ("CiliumClusterwideNetworkPolicy/-/wide", WIDE),
        ("ciliumnetworkpolicies/shop/db", DB),
    ],
)
def test_a_name_may_be_as_short_as_is_clear(text: str, found: PolicyName) -> None:
    assert find_policy(text, KNOWN) == found


@pytest.mark.parametrize("text", ["other", "shop/wide", "bank/db", "ccnp/db", "netpol/shop/db"])
def test_one_that_nobody_has_is_named(text: str) -> None:
    with pytest.raises(NotFound, match=f'policy "{text}" does not exist'):
        find_policy(text, KNOWN)


def test_one_that_several_have_names_them() -> None:
    with pytest.raises(Invalid, match="CiliumNetworkPolicy/shop/web or NetworkPolicy/shop/web; name it by kind"):
        find_policy("shop/web", KNOWN)


@pytest.mark.parametrize("text", ["", "/", "a/", "/a", "Pod/shop/web", "a/b/c/d"])
def test_what_is_no_name_is_told_what_is(text: str) -> None:
    with pytest.raises(Invalid, match="is no name of a policy; expected NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME"):
        find_policy(text, KNOWN)


def test_a_policy_named_twice_is_meant_once() -> None:
    assert find_policies(["db", "shop/db", "wide"], KNOWN) == (DB, WIDE)
