"""What is known of peers without a session, and told of them."""

from __future__ import annotations

import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.happenings import Happenings
from netloom_bgp.model import SessionState
from netloom_bgp.sessions import MAX_TOLD, NO_ANSWER_S, SAID_STANDS_S, Session, Sessions
from netloom_bgp.settings import BgpSettings, Peer
from netloom_bgp.words import WORDLESS, Said

ADDRESS = ip_address("192.0.2.1")
REFUSES = "port 179 refuses connections"


class Told:
    """Sessions with one peer, and a clock that is put back instead of waited for."""

    def __init__(self, **peer: object) -> None:
        self.happenings = Happenings()
        settings = BgpSettings(local_as=65001, peers=(Peer(address=ADDRESS, remote_as=65002, **peer),))  # type: ignore[arg-type]
        self.sessions = Sessions(settings, self.happenings)

    @property
    def session(self) -> Session:
        return self.sessions[str(ADDRESS)]

    def turn(self, state: pb.PeerState.SessionState, admin_state: pb.PeerState.AdminState = pb.PeerState.UP) -> None:
        """GoBGP tells of a state."""
        peer = pb.Peer(conf=pb.PeerConf(neighbor_address=str(ADDRESS)))
        peer.state.session_state, peer.state.admin_state = state, admin_state
        self.sessions.changed(peer)

    def hear(self, why: str, *, heard: bool = True) -> None:
        self.sessions.evidence(ADDRESS, why, heard)

    def silence(self) -> str:
        """What is said after a while."""
        self.session.since -= NO_ANSWER_S
        self.sessions.silent()
        return self.session.last_error

    def events(self, kind: str = "session.failed") -> list[str]:
        return [one.text for one in self.happenings.all() if one.kind == kind]


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        ({}, "port 179 does not answer"),
        ({"passive": True}, "the peer does not connect"),
        (
            {"password_file": Path("/secret")},
            "port 179 does not answer, or expects another TCP MD5 password than that in /secret",
        ),
        (
            {"password_file": Path("/secret"), "passive": True},
            "the peer does not connect, or expects another TCP MD5 password than that in /secret",
        ),
    ],
)
def test_only_the_silence_of_a_peer_with_a_password_may_be_about_it(peer: dict[str, object], words: str) -> None:
    assert Told(**peer).silence() == words


def test_a_peer_that_answers_is_not_called_silent() -> None:
    told = Told()
    told.hear("")
    assert told.silence() == "no session, though the peer answers: neither it nor gobgpd says why"


def test_a_peer_that_is_asked_for_the_first_time_is_given_time() -> None:
    told = Told()
    told.sessions.silent()
    assert told.session.last_error == ""


def test_a_reason_is_told_once_until_there_is_a_session() -> None:
    told = Told()
    for _ in range(3):
        told.hear(REFUSES)
    assert told.events() == [REFUSES]
    told.turn(pb.PeerState.ESTABLISHED)
    told.turn(pb.PeerState.IDLE)
    told.hear(REFUSES)
    assert told.events() == [REFUSES, REFUSES]


def test_a_peer_that_says_something_else_each_time_is_not_told_for_ever() -> None:
    told = Told()
    for number in range(2 * MAX_TOLD):
        told.hear(f"reason {number}")
    assert len(told.events()) == MAX_TOLD
    assert told.session.last_error == f"reason {2 * MAX_TOLD - 1}"


def test_what_gobgpd_said_lately_counts_more_than_what_is_heard() -> None:
    """After a while it is about another attempt."""
    told = Told()
    told.sessions.heard([Said(str(ADDRESS), "peer has AS number 7, expected 65002")])
    told.hear(REFUSES)
    assert told.session.last_error == "peer has AS number 7, expected 65002"
    told.session.said_at = time.monotonic() - SAID_STANDS_S
    told.hear(REFUSES)
    assert told.session.last_error == REFUSES


def test_a_peer_that_is_known_to_be_away_has_that_reason() -> None:
    told = Told()
    told.sessions.lost(ADDRESS, "link", "device eth0 has no carrier")
    told.hear("the peer cannot be reached: No route to host", heard=False)
    assert told.session.last_error == "device eth0 has no carrier"


def test_what_is_heard_of_a_peer_with_a_session_is_no_trouble() -> None:
    told = Told()
    told.turn(pb.PeerState.ESTABLISHED)
    told.hear(REFUSES)
    assert (told.session.last_error, told.events()) == ("", [])


def test_without_a_gobgpd_sessions_are_down_and_the_reason_is_its_end() -> None:
    """Whatever is heard then: the kernel answers peers that nobody listens."""
    told = Told()
    told.turn(pb.PeerState.ESTABLISHED)
    told.sessions.gone("gobgpd ended")
    told.hear(REFUSES)
    (view,) = told.sessions.views()
    assert (view.state, view.uptime_s, view.last_error, view.flaps) == (SessionState.DOWN, None, "gobgpd ended", 1)
    assert told.events("session.down") == ["gobgpd ended"]


def test_a_peer_is_listened_to_while_it_has_no_session() -> None:
    told, sought = Told(), list[tuple[str, bool]]()
    told.sessions.sought = lambda address, wanted: sought.append((address, wanted))
    told.turn(pb.PeerState.ESTABLISHED)
    told.turn(pb.PeerState.ACTIVE)
    assert [wanted for _, wanted in sought] == [False, True]


def test_a_session_that_was_found_standing_is_not_listened_to() -> None:
    """Whoever listens may have begun only after it was found."""
    told, sought = Told(), list[bool]()
    told.turn(pb.PeerState.ESTABLISHED)
    told.sessions.sought = lambda _address, wanted: sought.append(wanted)
    told.sessions.silent()
    assert sought == [False]


@pytest.mark.parametrize("later", [WORDLESS, ""], ids=["wordless", "silent"])
def test_what_a_peer_said_when_its_session_ended_stays(later: str) -> None:
    """Afterwards it may take connections without a word, or none."""
    told = Told()
    told.turn(pb.PeerState.ESTABLISHED)
    told.sessions.heard([Said(str(ADDRESS), "peer ended the session: administrative shutdown")])
    told.turn(pb.PeerState.IDLE)
    if later:
        told.hear(later)
    assert told.silence() == "peer ended the session: administrative shutdown"


def test_a_peer_is_given_time_again_after_gobgpd_came_back() -> None:
    told = Told()
    told.sessions.gone("gobgpd ended")
    told.session.last_error = ""
    told.session.since -= NO_ANSWER_S
    told.turn(pb.PeerState.ACTIVE)
    told.sessions.silent()
    assert told.session.last_error == ""


def test_a_peer_whose_password_cannot_be_read_is_told_of() -> None:
    told = Told()
    told.session.refused = "password file /secret cannot be read: No such file or directory"
    for _ in range(2):
        told.sessions.silent()
    assert told.events() == [told.session.refused]


def test_a_limit_that_is_said_before_the_session_it_ends_is_known_as_its_reason() -> None:
    """GoBGP's log may be read before its event is: that session begins after its end was said."""
    told, limit = Told(), "more ipv4-unicast prefixes than max_prefixes allows"
    told.sessions.heard([Said(str(ADDRESS), limit)])
    told.turn(pb.PeerState.ESTABLISHED)
    told.turn(pb.PeerState.IDLE, pb.PeerState.PFX_CT)
    assert (told.session.last_error, told.events("session.down")) == (limit, [limit])


def test_a_session_that_ends_by_itself_after_a_limit_has_another_reason() -> None:
    told = Told()
    told.sessions.heard([Said(str(ADDRESS), "more ipv4-unicast prefixes than max_prefixes allows")])
    told.turn(pb.PeerState.ESTABLISHED)
    told.turn(pb.PeerState.IDLE)
    assert told.session.last_error == "the connection was lost"
