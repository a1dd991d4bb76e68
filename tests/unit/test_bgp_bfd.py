"""What BFD's word means, and the frames it comes in."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom_bgp.bfd_verdicts import Turn, Verdict
from netloom_bgp.bfd_wire import (
    HEADER,
    Junk,
    Notice,
    Response,
    SessionKey,
    Timers,
    add_frame,
    payload_length,
    read_frame,
)

FAR = ip_address("192.0.2.2")
UP = Verdict(state="up")


@pytest.mark.parametrize(
    ("before", "word", "state", "turn"),
    [
        (Verdict(), ("up", 0, 0), "up", Turn.UP),
        (UP, ("up", 0, 0), "up", Turn.NOTHING),
        (UP, ("down", 1, 0), "down", Turn.DOWN),
        (UP, ("down", 3, 1), "down", Turn.DOWN),
        (UP, ("down", 3, 7), "off", Turn.OFF),
        (UP, ("down", 3, 0), "off", Turn.OFF),
        (UP, ("adm-down", 0, 0), "off", Turn.OFF),
        (Verdict(), ("down", 1, 0), "down", Turn.NOTHING),
        (Verdict(), ("init", 0, 0), "init", Turn.NOTHING),
        (Verdict(state="off"), ("down", 1, 0), "off", Turn.NOTHING),
    ],
)
def test_only_a_session_that_was_up_and_failed_cuts_a_peer_off(
    before: Verdict, word: tuple[str, int, int], state: str, turn: Turn
) -> None:
    verdict = before.heard(*word)
    assert (verdict.state, verdict.turn) == (state, turn)


def frame(kind: int, body: object, number: int = 0) -> tuple[bytes, bytes]:
    payload = json.dumps(body).encode()
    return HEADER.pack(len(payload), number, kind, 1), payload


def test_a_request_names_session_and_timers() -> None:
    key = SessionKey(peer=FAR, local=ip_address("192.0.2.1"), multihop=True)
    raw = add_frame(7, key, Timers(interval_ms=50, multiplier=3))
    assert payload_length(raw[: HEADER.size]) == len(raw) - HEADER.size
    assert json.loads(raw[HEADER.size :]) == {
        "ipv4": [
            {
                "peer-address": "192.0.2.2", "local-address": "192.0.2.1", "multihop": True,
                "detect-multiplier": 3, "receive-interval": 50, "transmit-interval": 50,
            }
        ]
    }  # fmt: skip


def test_a_notice_says_what_became_of_which_session() -> None:
    body = {"op": "status", "peer-address": str(FAR), "multihop": False, "state": "down", "diagnostics": 1}
    assert read_frame(*frame(4, body)) == Notice(op="status", key=SessionKey(peer=FAR), state="down", diagnostic=1)


def test_an_answer_says_whether_it_was_done() -> None:
    assert read_frame(*frame(1, {"status": "ok"}, 7)) == Response(number=7, error="")
    assert read_frame(*frame(1, {"status": "error", "error": "no"}, 7)) == Response(number=7, error="no")


@given(st.integers(0, 255), st.binary(max_size=80) | st.from_type(dict).map(lambda body: repr(body).encode()))
def test_no_bytes_are_too_strange(kind: int, payload: bytes) -> None:
    try:
        read_frame(HEADER.pack(len(payload), 0, kind, 1), payload)
    except Junk:
        return
