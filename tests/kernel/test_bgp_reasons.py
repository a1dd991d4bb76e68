"""Why peers have no session, each by what it does itself: one gobgpd, one FRR, a peer for each trouble."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from netloom_bgp.sessions import NO_ANSWER_S
from netloom_bgp.words import WORDLESS
from support.bgp_node import BgpNode
from support.bgp_pair import cable
from support.frr import Frr, wait_for
from support.netns import Namespace, namespaces

pytestmark = pytest.mark.kernel

SECRET = "correct-horse-battery"  # noqa: S105 - of a test


class Trouble(NamedTuple):
    """What is wrong with a peer, and what is said of it."""

    name: str
    """Of the case."""
    said: str
    here: str = ""
    """Of the peer in the node's settings."""
    there: tuple[str, ...] | None = ()
    """Of the node in FRR; None: FRR does not know it."""
    remote_as: int = 65001
    """What FRR takes the node for."""
    peer_as: int = 65002
    """What the node takes FRR for."""
    version: int = 4


SIGNED, UNSIGNED, OTHERWISE = (
    "its connections carry a TCP MD5 signature, and it has no password_file here",
    "its connections carry no TCP MD5 signature, expected one by the password in ",
    "its connections are signed with another TCP MD5 password than that in ",
)
PASSWORD = "password_file: SECRET_FILE"  # noqa: S105 - a file's name
READABLE = "password_file: SECRET_FILE.readable"
PATIENT = "hold_time_s: 30"
"""As long as FRR wants it."""
TROUBLES = (
    Trouble("the peer has a password", SIGNED, there=("password other",)),
    Trouble("the peer has a password, IPv6", SIGNED, there=("password other",), version=6),
    Trouble("the peer has no password", UNSIGNED, here=PASSWORD),
    Trouble("the peer has another password", OTHERWISE, here=PASSWORD, there=("password other",)),
    Trouble("the peer has another password, IPv6", OTHERWISE, here=PASSWORD, there=("password other",), version=6),
    Trouble("the peer takes us for another AS", "peer ended the session: wrong AS number", remote_as=65009),
    Trouble("the peer has another AS", "peer has AS number 65002, expected 65009", here=PATIENT, peer_as=65009),
    Trouble("others may read the password", "has mode 0644, expected one that nobody but its owner", here=READABLE),
    Trouble("the peer wants a longer hold time", "peer ended the session: unacceptable hold time (NOTIFICATION 2/6)"),
    Trouble("nothing listens", "port 1790 refuses connections", here="port: 1790", there=None),
    Trouble("nothing listens, IPv6", "port 1790 refuses connections", here="port: 1790", there=None, version=6),
    Trouble("the peer does not know us", WORDLESS, there=None),
    Trouble("a firewall drops everything", "port 1791 does not answer", here="port: 1791", there=None),
    Trouble("a firewall rejects", "the peer cannot be reached", here="port: 1792", there=None),
    Trouble("the peer does not connect", "the peer does not connect", here="passive: true", there=None),
)
"""The peer numbered ``n``, from 1, is 10.9.n.2 or fd00:9:n::2."""
FRIENDS, NOBODY, NOWHERE = ("10.9.0.2", "fd00:9::2"), "10.9.0.77", "203.0.113.1"
"""Those without trouble; one that nobody is; one that no route leads to."""
FIREWALL = """\
table inet wall {
  chain in {
    type filter hook input priority 0;
    tcp dport 1791 drop
    tcp dport 1792 reject with icmpx admin-prohibited
  }
}
"""


def address(number: int, end: int) -> str:
    """Of one end of a session."""
    return f"fd00:9:{number}::{end}" if TROUBLES[number - 1].version == 6 else f"10.9.{number}.{end}"


def node_config(secret: Path) -> str:
    """All peers."""
    lines = [f"  - {{address: {NOBODY}, remote_as: 65002}}", f"  - {{address: {NOWHERE}, remote_as: 65002}}"]
    lines += [f'  - {{address: "{friend}", remote_as: 65002, {PASSWORD}, {PATIENT}}}' for friend in FRIENDS]
    for number, trouble in enumerate(TROUBLES, 1):
        more = f", {trouble.here}" if trouble.here else ""
        lines.append(f'  - {{address: "{address(number, 2)}", remote_as: {trouble.peer_as}{more}}}')
    return "\n".join(["local_as: 65001", "peers:", *lines, ""]).replace("SECRET_FILE", str(secret))


def frr_config() -> str:
    """What FRR takes the node for, at each of its addresses."""
    lines = ["router bgp 65002", " bgp router-id 10.9.0.2", " no bgp ebgp-requires-policy", " bgp minimum-holdtime 20"]
    for near in ("10.9.0.1", "fd00:9::1"):
        friendly = ("remote-as 65001", "timers connect 1", f"password {SECRET}")
        lines += [f" neighbor {near} {words}" for words in friendly]
    for number, trouble in enumerate(TROUBLES, 1):
        more = ("timers connect 1", *trouble.there) if trouble.there is not None else ()
        words = (f"remote-as {trouble.remote_as}", *more) if more else ()
        lines += [f" neighbor {address(number, 1)} {word}" for word in words]
    return "\n".join([*lines, " address-family ipv6 unicast", "  neighbor fd00:9::1 activate", ""])


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A password file."""
    file = tmp_path_factory.mktemp("secret") / "password"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    readable = file.with_name("password.readable")
    readable.write_text(f"{SECRET}\n")
    readable.chmod(0o644)
    return file


@pytest.fixture(scope="module")
def node(_nothing_left_by_the_run: None, tmp_path_factory: pytest.TempPathFactory, secret: Path) -> Iterator[BgpNode]:
    """A node all of whose peers have a trouble."""
    with namespaces() as make, contextlib.ExitStack() as stack:
        a, b = make("bgpa"), make("bgpb")
        cable(a, b)
        several_networks(a, b)
        b.run("nft", "-f", "-", stdin=FIREWALL)
        stack.callback(Frr(b, frr_config()).close)
        found = BgpNode(a, tmp_path_factory.mktemp("reasons"), node_config(secret))
        stack.callback(found.close)
        found.announce("10.244.1.0/24")
        wait_for(lambda: [state(found, friend) for friend in FRIENDS] == ["established"] * 2, "sessions that can be")
        yield found


def several_networks(a: Namespace, b: Namespace) -> None:
    """One for each peer, over one cable."""
    for number, trouble in enumerate(TROUBLES, 1):
        for end, netns in ((1, a), (2, b)):
            netns.run("ip", "address", "add", f"{address(number, end)}/{64 if trouble.version == 6 else 24}", "dev",
                      "eth0", *(["nodad"] if trouble.version == 6 else []))  # fmt: skip


def last_error(node: BgpNode, peer: str) -> str:
    return next(str(one["last_error"]) for one in node.ask("peers")["peers"] if one["address"] == peer)


def state(node: BgpNode, peer: str) -> str:
    return next(str(one["state"]) for one in node.ask("peers")["peers"] if one["address"] == peer)


def told(node: BgpNode, peer: str) -> list[str]:
    """Texts of the events of a peer."""
    return [one["text"] for one in node.ask("events")["events"] if one["peer"] == peer]


@pytest.mark.parametrize("number", range(1, len(TROUBLES) + 1), ids=[trouble.name for trouble in TROUBLES])
def test_a_peer_without_session_has_its_reason(node: BgpNode, number: int) -> None:
    """Shown with the peer, and told once as an event."""
    peer, said = address(number, 2), TROUBLES[number - 1].said
    wait_for(lambda: said in last_error(node, peer), f"{peer}: {said}", 3 * NO_ANSWER_S)
    assert [text for text in told(node, peer) if said in text] == [last_error(node, peer)]


@pytest.mark.parametrize(
    ("peer", "said"), [(NOBODY, "No route to host"), (NOWHERE, "Network is unreachable")], ids=["nobody", "nowhere"]
)
def test_a_peer_that_cannot_be_reached_is_told_as_the_kernel_has_it(node: BgpNode, peer: str, said: str) -> None:
    wait_for(lambda: f"the peer cannot be reached: {said}" in last_error(node, peer), peer, 3 * NO_ANSWER_S)


def test_a_password_is_blamed_only_where_there_is_one(node: BgpNode) -> None:
    """Wrong signatures of others are no reason for a peer that has nothing to do with passwords."""
    concerned = {address(n, 2) for n, one in enumerate(TROUBLES, 1) if "password" in one.here or one.said == SIGNED}

    def blamed() -> set[str]:
        return {event["peer"] for event in node.ask("events")["events"] if "password" in event["text"]}

    wait_for(lambda: blamed() >= concerned, "blamed", 3 * NO_ANSWER_S)
    others = [one for one in node.ask("peers")["peers"] if one["address"] not in (*FRIENDS, *concerned)]
    wait_for(lambda: all(last_error(node, one["address"]) for one in others), "the others' reasons", 3 * NO_ANSWER_S)
    assert blamed() == concerned


@pytest.mark.parametrize("friend", FRIENDS)
def test_peers_with_the_same_password_have_a_session(node: BgpNode, friend: str) -> None:
    """Whatever troubles the others have."""
    assert state(node, friend) == "established"
    assert not any("password" in text for text in told(node, friend))


def test_the_password_is_shown_nowhere(node: BgpNode) -> None:
    files = [path.read_bytes() for path in node.directory.rglob("*") if path.is_file()]
    shown = f"{node.ask('peers')} {node.ask('events')} {node.ask('routes', view='available')}".encode()
    assert not any(SECRET.encode() in text for text in (shown, *files))
