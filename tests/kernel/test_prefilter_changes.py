"""Changes of a node's prefilter: in the kernel, in the file and in the answer, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.netns import NamespaceFactory
from support.node import UNDERLAY
from support.prefiltered import OURS, SET
from support.prefiltered import PrefilteredNode as Node

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The module's tests share an agent; the end of the run is where all must be gone."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, module_netns: NamespaceFactory) -> Iterator[Node]:
    """A node with an agent."""
    with closing(Node(tmp_path_factory.mktemp("prefilter"), module_netns)) as node:
        node.start()
        yield node


@pytest.fixture
def node(shared: Node) -> Node:
    """It refuses nobody."""
    assert shared.ask("PUT", [])[0] == 200
    return shared


def test_a_node_that_refuses_nobody_has_no_program(node: Node) -> None:
    """It costs nothing."""
    assert (node.cidrs, node.modes, node.names()) == ([], {}, [])


def test_an_update_is_attached_kept_and_written_in_the_map_of_its_kind(node: Node) -> None:
    answer = node.refuse(*SET)
    assert (answer["added"], answer["problem"], node.modes) == (4, "", {"eth0": "native"})
    assert node.names() == [(OURS, "native")]
    assert node.in_kernel() == {
        "ip4": {"192.0.2.7"},
        "ip6": {"2001:db8:1::7"},
        "net4": {"198.51.0.0/16"},
        "net6": {"2001:db8::/32"},
    }
    assert node.cidrs == json.loads(node.file.read_text())["cidrs"] == SET


def test_what_is_there_already_changes_nothing(node: Node) -> None:
    """Not even the revision."""
    before = node.refuse(*SET)
    answer = node.refuse(SET[0], "192.0.2.7")
    assert (answer["revision"], answer["added"], answer["count"]) == (before["revision"], 0, 4)


def test_the_last_to_go_takes_the_program_along(node: Node) -> None:
    node.refuse(*SET)
    assert [each["mode"] for each in node.ask("DELETE", SET[1:])[1]["devices"]] == ["native"]
    assert [each["mode"] for each in node.ask("DELETE", SET[:1])[1]["devices"]] == ["off"]
    assert (node.names(), node.in_kernel(), node.cidrs) == ([], {}, [])


def test_a_replacement_leaves_what_both_hold(node: Node) -> None:
    node.refuse(*SET)
    _, answer = node.ask("PUT", [SET[0], "203.0.113.0/24"])
    assert (answer["added"], answer["removed"]) == (1, 3)
    assert node.in_kernel() == {"ip4": {"192.0.2.7"}, "net4": {"203.0.113.0/24"}}


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A request, and what is said of it."""

    method: str
    cidrs: list[str]
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 400
    words: str


REFUSED = {
    "no prefix": Refused(method="PATCH", cidrs=["203.0.113.0/24", "foo"], words='found "foo"'),
    "host bits": Refused(method="PATCH", cidrs=["203.0.113.0/24", "10.0.0.1/8"], words='expected "10.0.0.0/8"'),
    "everybody": Refused(method="PATCH", cidrs=["203.0.113.0/24", "0.0.0.0/0"], words="holds every address"),
    "everybody instead": Refused(method="PUT", cidrs=["::/0"], words="holds every address"),
    "a node": Refused(method="PATCH", cidrs=["203.0.113.0/24", "fd00:78::/64"], words="fd00:78::11, the underlay"),
    "what is not there": Refused(
        method="DELETE", cidrs=["192.0.2.7", "203.0.113.9"], status=404, words="not in the prefilter: 203.0.113.9/32"
    ),
    "another revision": Refused(
        method="PATCH",
        cidrs=["203.0.113.9"],
        more={"revision": 0},
        status=409,
        words=", not 0: somebody has changed it",
    ),
    "a key too many": Refused(method="PATCH", cidrs=["203.0.113.9"], more={"forse": True}, words="cannot be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_refused_whole(node: Node, what: str) -> None:
    """Nothing of it is done, and the sentence says what was found."""
    asked, before = REFUSED[what], (node.refuse(*SET)["revision"], node.in_kernel())
    found, answer = node.ask(asked.method, asked.cidrs, **asked.more)
    assert (found, asked.words in answer["error"]["message"]) == (asked.status, True), answer
    assert (node.get("/v1/prefilter")["revision"], node.in_kernel(), node.cidrs) == (*before, SET)


def test_what_is_forced_is_done_and_warned_of(node: Node) -> None:
    prefix = "192.168.78.0/24"
    _, answer = node.ask("PATCH", [prefix], force=True)
    assert answer["warnings"] == [f'{prefix} holds {UNDERLAY[0].split("/")[0]}, the underlay address of node "n1"']
    assert node.get("/v1/status")["prefilter"]["warnings"] == answer["warnings"]


def test_a_hundred_thousand_prefixes_are_one_request(node: Node) -> None:
    """Longer than any other that the agent takes."""
    many = [f"{100 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(100_000)]
    assert node.ask("PUT", many)[1]["count"] == len(many)
    assert node.cidrs == many
    assert node.get("/v1/status")["state"] == "ok"
