"""What is known of each peer: its session, why it has none, and whether somebody says that it is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from netloom.model.address import Address
from netloom_bgp.api import gobgp_pb2 as pb
from netloom_bgp.happenings import Happenings, now_iso
from netloom_bgp.model import PeerView, SessionState
from netloom_bgp.settings import BgpSettings, Peer
from netloom_bgp.words import WORDLESS, Said

NO_ANSWER_S: Final = 10.0
"""Seconds without a session after which a peer that says nothing is told about."""
TELLING_S: Final = 3.0
"""Seconds for which a peer may tell its routes, whatever it says; FRR begins after one."""
SAID_STANDS_S: Final = 30.0
"""Seconds for which a word of gobgpd counts more than what is heard of the peer; it tries again more often."""
MAX_TOLD: Final = 32
"""Different reasons told of one peer before its session stands; what it says in its own words may differ each time."""
_STATES: Final = {
    pb.PeerState.IDLE: SessionState.IDLE,
    pb.PeerState.CONNECT: SessionState.CONNECT,
    pb.PeerState.ACTIVE: SessionState.ACTIVE,
    pb.PeerState.OPENSENT: SessionState.OPENSENT,
    pb.PeerState.OPENCONFIRM: SessionState.OPENCONFIRM,
    pb.PeerState.ESTABLISHED: SessionState.ESTABLISHED,
}


@dataclass(slots=True, kw_only=True)
class Session:
    """One peer, as known now."""

    peer: Peer
    state: SessionState = SessionState.IDLE
    since: float = field(default_factory=time.monotonic)
    """When the state became established, or was no longer, on the monotonic clock."""
    received: int = 0
    accepted: int = 0
    advertised: int = 0
    flaps: int = 0
    last_error: str = ""
    last_error_at: str = ""
    refused: str = ""
    """Why the peer cannot be told to gobgpd."""
    foreign: bool = False
    """Whether somebody else has configured it in a shared gobgpd."""
    said: str = ""
    """What gobgpd said since the session ended or was tried last."""
    said_at: float = 0.0
    """When, on the monotonic clock."""
    limit: str = ""
    """What gobgpd said last of a peer that told too much."""
    answers: bool = False
    """Whether anything was heard from the peer since the session ended."""
    told: set[str] = field(default_factory=set)
    """Reasons that were told as events since there was a session."""
    away: dict[str, str] = field(default_factory=dict)
    """Who says that it is away, and why."""
    facts: dict[str, str] = field(default_factory=dict)
    complete: bool = False
    """Whether the peer has told everything since the session began."""
    messages: Mapping[str, int] = field(default_factory=dict)

    @property
    def established(self) -> bool:
        """Whether there is a session."""
        return self.state is SessionState.ESTABLISHED

    def fail(self, text: str) -> None:
        """Note why there is no session."""
        if text != self.last_error:
            self.last_error, self.last_error_at = text, now_iso()


class Sessions:
    """All peers, by address. A PeerListener; ``moved`` hears of peers that go away, and come back."""

    def __init__(self, settings: BgpSettings, happenings: Happenings) -> None:
        self._settings = settings
        self._happenings = happenings
        self._by_address = {str(peer.address): Session(peer=peer) for peer in settings.peers}
        self.moved: Callable[[str, bool], None] = _nobody
        """Called with address and whether it is away."""
        self.sought: Callable[[str, bool], None] = _nobody
        """Called with address and whether a session is sought, or stands."""

    def __getitem__(self, address: str) -> Session:
        return self._by_address[address]

    def get(self, address: str) -> Session | None:
        """The peer's, if there is such a peer."""
        return self._by_address.get(address)

    def is_established(self, address: Address) -> bool:
        """Whether there is a session with a peer."""
        session = self._by_address.get(str(address))
        return session is not None and session.established

    def all(self) -> list[Session]:
        """Every one, in the order of the settings."""
        return list(self._by_address.values())

    # --- from whoever watches ---

    def lost(self, address: Address, by: str, why: str) -> None:
        """As PeerListener."""
        session = self._by_address.get(str(address))
        if session is None:
            return
        was_away = bool(session.away)
        session.away[by] = why
        if not was_away:
            session.fail(why)
            self.moved(str(address), True)

    def back(self, address: Address, by: str) -> None:
        """As PeerListener."""
        session = self._by_address.get(str(address))
        if session is not None and session.away.pop(by, None) is not None and not session.away:
            self.moved(str(address), False)

    def note(self, address: Address, **facts: str) -> None:
        """As PeerListener."""
        if (session := self._by_address.get(str(address))) is not None:
            session.facts |= facts

    def event(self, kind: str, text: str, address: Address | None = None) -> None:
        """As PeerListener."""
        self._happenings.tell(kind, text, "" if address is None else str(address))

    def evidence(self, address: Address, why: str, heard: bool) -> None:
        """What shows why there is no session; ``heard``: the peer itself said something, if only that it is there."""
        session = self._by_address.get(str(address))
        if session is None or session.established or session.state is SessionState.DOWN:
            return
        session.answers = session.answers or heard
        told_lately = session.said and time.monotonic() - session.said_at < SAID_STANDS_S
        said_at_its_end = session.last_error and session.last_error not in session.told
        if not why or told_lately or session.away or session.refused or (why == WORDLESS and said_at_its_end):
            return
        self._fail(session, why)

    # --- from gobgpd ---

    def heard(self, said: Iterable[Said]) -> None:
        """What gobgpd's log says."""
        for one in said:
            session = self._by_address.get(one.peer)
            if session is not None and "max_prefixes" in one.text:
                session.limit = one.text
            if session is None or (session.established and not session.said and "max_prefixes" not in one.text):
                if session is not None:
                    session.said = one.text
                continue
            session.said_at = time.monotonic()
            if "max_prefixes" in one.text:
                session.told.add(one.text)
                self._happenings.tell("prefix.limit", one.text, one.peer)
            elif "max_prefixes" in session.last_error and "too many prefixes" in one.text:
                continue
            session.said = one.text
            self._fail(session, one.text)

    def changed(self, peer: pb.Peer) -> None:
        """GoBGP tells of a change of state."""
        session = self._by_address.get(peer.state.neighbor_address or peer.conf.neighbor_address)
        state = _STATES.get(peer.state.session_state)
        if session is None or state is None or session.foreign:
            return
        before, session.state = session.state, state
        if state is SessionState.ESTABLISHED and before is not SessionState.ESTABLISHED:
            session.since, session.said, session.complete = time.monotonic(), "", False
            session.told.clear()
            self.sought(str(session.peer.address), False)
            self._happenings.tell("session.up", f"session with AS {session.peer.remote_as}", str(session.peer.address))
        elif before is SessionState.DOWN:
            session.since = time.monotonic()
        elif before is SessionState.ESTABLISHED and state is not SessionState.ESTABLISHED:
            # Its log and its events come by two ways: what it said of this session may have come before its beginning.
            limit = session.limit if peer.state.admin_state == pb.PeerState.PFX_CT else ""
            why = next(iter(session.away.values()), "") or session.said or limit
            self._ended(session, why or "the connection was lost")

    def listed(self, peer: pb.Peer) -> None:
        """GoBGP's whole account of a peer."""
        address = peer.state.neighbor_address or peer.conf.neighbor_address
        session = self._by_address.get(address)
        if session is None or session.foreign:
            return
        self.changed(peer)
        if session.established:
            states = [one.state for one in peer.afi_safis]
            session.received = sum(state.received for state in states)
            session.accepted = sum(state.accepted for state in states)
            if (uptime := peer.timers.state.uptime.seconds) and not session.complete:
                session.since = time.monotonic() - max(0.0, time.time() - uptime)
            session.complete = session.complete or _complete(peer, session)
        else:
            session.received = session.accepted = 0
        sent, got = peer.state.messages.sent, peer.state.messages.received
        session.messages = {"sent": sent.total, "received": got.total}

    def gone(self, why: str) -> None:
        """There is no gobgpd: no session either."""
        for session in self._by_address.values():
            if session.established:
                session.state = SessionState.DOWN
                self._ended(session, why)
            session.state = SessionState.DOWN

    def silent(self) -> None:
        """Say what can be said of peers that have had no session for a while, and of which nobody says why.

        Called now and then, so it is here that peers whose sessions were found standing are no longer listened to.
        """
        for address, session in self._by_address.items():
            self.sought(address, not session.established and not session.foreign)
            if session.refused:
                self._fail(session, session.refused)
            known = session.established or session.said or session.away or session.refused or session.last_error
            if not known and time.monotonic() - session.since >= NO_ANSWER_S:
                self._fail(session, _silence(session))

    def views(self) -> tuple[PeerView, ...]:
        """As shown."""
        return tuple(self._view(session) for session in self._by_address.values())

    def _fail(self, session: Session, why: str) -> None:
        """Note why there is no session, and tell it once: each attempt would tell it again."""
        session.fail(why)
        if why not in session.told and len(session.told) < MAX_TOLD:
            session.told.add(why)
            self._happenings.tell("session.failed", why, str(session.peer.address))

    def _ended(self, session: Session, why: str) -> None:
        session.since, session.complete, session.said = time.monotonic(), False, ""
        session.answers = False
        session.flaps += 1
        session.fail(why)
        session.received = session.accepted = 0
        self.sought(str(session.peer.address), True)
        self._happenings.tell("session.down", why, str(session.peer.address))

    def _view(self, session: Session) -> PeerView:
        peer = session.peer
        held = session.refused or "; ".join(f"{by}: {why}" for by, why in session.away.items())
        return PeerView(
            address=str(peer.address),
            remote_as=peer.remote_as,
            local_as=self._settings.local_as or 0,
            description=peer.description,
            state=session.state,
            uptime_s=int(time.monotonic() - session.since) if session.established else None,
            families=peer.all_families,
            received=session.received,
            accepted=session.accepted,
            advertised=session.advertised,
            flaps=session.flaps,
            last_error=session.refused or session.last_error,
            last_error_at=session.last_error_at,
            held=held,
            device=session.facts.get("device", ""),
            link=session.facts.get("link", ""),
            bfd=session.facts.get("bfd", ""),
        )


def _complete(peer: pb.Peer, session: Session) -> bool:
    """Whether the peer has told everything: it said so (End-of-RIB), or it never says so; and some time passed.

    Of a peer that was started itself not long ago GoBGP takes the word as given before it came (RFC 4724, section 4.1).
    """
    if time.monotonic() - session.since <= TELLING_S:
        return False
    states = [one.mp_graceful_restart.state for one in peer.afi_safis]
    return all(state.end_of_rib_received for state in states if state.received)


def _silence(session: Session) -> str:
    """Of a peer that nothing is known of. Only one with a password may be silent because of it."""
    peer = session.peer
    if session.answers:
        return "no session, though the peer answers: neither it nor gobgpd says why"
    password = f", or expects another TCP MD5 password than that in {peer.password_file}" if peer.password_file else ""
    if peer.passive:
        return f"the peer does not connect{password}"
    return f"port {peer.port} does not answer{password}"


def _nobody(_address: str, _away: bool) -> None:
    """Nobody listens yet."""
