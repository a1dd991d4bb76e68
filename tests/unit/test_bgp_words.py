"""Lines of gobgpd's log in an operator's words."""

from __future__ import annotations

import json

import pytest

from netloom_bgp.words import said

PEER = "192.0.2.1"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"msg": "received notification", "Code": 6, "Subcode": 2, "Communicated-Reason": "bye"},
            'shutdown (NOTIFICATION 6/2), "bye"',
        ),
        ({"msg": "sent notification", "Code": 2, "Subcode": 2}, "this node ended the session: wrong AS number"),
        ({"msg": "sent notification", "Data": "as number mismatch expected 1, received 2"}, "peer has AS number 2"),
        ({"msg": "prefix limit reached", "Family": "ipv4-unicast"}, "max_prefixes"),
        ({"msg": "Peer Down", "Reason": "hold-timer-expired"}, "nothing was heard"),
    ],
)
def test_why_a_session_ended_is_said_in_words(entry: dict[str, object], words: str) -> None:
    found = said(json.dumps({"Key": PEER, "Topic": "Peer"} | entry))
    assert found is not None
    assert found.peer == PEER
    assert words in found.text


@pytest.mark.parametrize("line", ["", "panic: x", "[]", '{"msg": "Peer Up", "Key": "192.0.2.1"}', '{"Key": 3}'])
def test_other_lines_say_nothing(line: str) -> None:
    assert said(line) is None
