"""What a peer's segments say of why there is no session with it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from netloom_bgp.hearing import MAX_CONNECTIONS, Hearing
from netloom_bgp.segments import Flag, Segment, from_ipv4, from_tcp
from netloom_bgp.words import WORDLESS

PEER, NODE = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
PORT, EPHEMERAL = 179, 40_000
SIGNATURE = b"\x01\x01\x13\x12" + bytes(16)
"""Two fillers and a TCP MD5 option that no password gives."""
TIMESTAMPS = b"\x08\x0a" + bytes(8) + b"\x01\x01"


def segment(
    flags: Flag, payload: bytes = b"", *, options: bytes = b"", sequence: int = 1, dialled: bool = True
) -> Segment:
    """From the peer, over a connection that this node began (``dialled``) or the peer."""
    ports = (PORT, EPHEMERAL) if dialled else (EPHEMERAL, PORT)
    size = (20 + len(options)) // 4
    header = struct.pack("!HHIIBBHHH", *ports, sequence, 0, size << 4, flags, 0, 0, 0) + options
    found = from_tcp(header + payload, PEER, NODE)
    assert found is not None
    return found


def message(kind: int, body: bytes = b"") -> bytes:
    return b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body


def hearing(password: bytes | None = None) -> Hearing:
    file = None if password is None else Path("/secret")
    return Hearing(port=PORT, listen_port=PORT, password_file=file, password=password)


def said(*segments: Segment, password: bytes | None = None) -> list[str]:
    """What is said of segments, one after the other."""
    listener = hearing(password)
    return [listener.heard(one) for one in segments]


TAKEN = segment(Flag.SYN | Flag.ACK)
OPEN = segment(Flag.ACK, message(1, bytes(10)))
END = segment(Flag.FIN | Flag.ACK)


def test_a_reset_that_answers_a_syn_refuses() -> None:
    assert said(segment(Flag.RST | Flag.ACK, sequence=0)) == ["port 179 refuses connections"]


def test_a_reset_of_a_connection_that_stood_refuses_nothing() -> None:
    """It is left of the session before."""
    assert said(segment(Flag.RST), segment(Flag.RST | Flag.ACK, sequence=7)) == ["", ""]


def test_a_connection_that_is_taken_and_ended_is_told() -> None:
    assert said(TAKEN, END) == ["", WORDLESS]


def test_whoever_ends_a_connection_after_an_open_has_its_reasons() -> None:
    assert said(TAKEN, OPEN, END) == ["", "", ""]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x02\x06", "peer ended the session: unacceptable hold time (NOTIFICATION 2/6)"),
        (b"\x06\x02\x03bye", 'peer ended the session: administrative shutdown (NOTIFICATION 6/2), "bye"'),
        (b"\x06\x02\x04a\nb\xff", 'peer ended the session: administrative shutdown (NOTIFICATION 6/2), "a?b\ufffd"'),
        (b"\x06\x02\xff", "peer ended the session: administrative shutdown (NOTIFICATION 6/2)"),
        (b"\x09\x63", "peer ended the session: unknown error (NOTIFICATION 9/99)"),
        (b"\x06\x07", ""),
        (b"\x06", ""),
    ],
)
def test_a_notification_is_told_in_words(body: bytes, words: str) -> None:
    """But for one whose connection met another."""
    both = segment(Flag.ACK, message(4) + message(3, body), dialled=False)
    assert said(both) == [words]


@pytest.mark.parametrize(
    ("options", "password", "words"),
    [
        (SIGNATURE, None, "carry a TCP MD5 signature, and it has no password_file here"),
        (TIMESTAMPS, b"secret", "carry no TCP MD5 signature, expected one by the password in /secret"),
        (SIGNATURE, b"secret", "signed with another TCP MD5 password than that in /secret"),
        (TIMESTAMPS, None, ""),
    ],
)
@pytest.mark.parametrize("flags", [Flag.SYN, Flag.SYN | Flag.ACK])
def test_a_signature_is_judged_by_the_password(options: bytes, password: bytes | None, words: str, flags: Flag) -> None:
    (found,) = said(segment(flags, options=options, dialled=bool(flags & Flag.ACK)), password=password)
    assert words in found
    assert bool(words) == bool(found)


def test_nothing_is_judged_by_a_password_that_cannot_be_read() -> None:
    listener = Hearing(port=PORT, listen_port=PORT, password_file=Path("/secret"), password=None)
    assert listener.heard(segment(Flag.SYN, options=SIGNATURE)) == ""


def test_other_connections_of_the_peer_say_nothing() -> None:
    header = struct.pack("!HHIIBBHHH", 80, 50_000, 0, 0, 0x50, Flag.RST | Flag.ACK, 0, 0, 0)
    found = from_tcp(header, PEER, NODE)
    assert found is not None
    assert said(found) == [""]


def test_connections_are_forgotten_in_time() -> None:
    """The first of so many is not known any more when it ends."""
    listener = hearing()
    ports = range(1, MAX_CONNECTIONS + 2)
    for number in ports:
        header = struct.pack("!HHIIBBHHH", PORT, number, 1, 0, 0x50, Flag.SYN | Flag.ACK, 0, 0, 0)
        assert listener.heard(Segment(source=PEER, destination=NODE, header=header, payload=b"")) == ""
    ends = [struct.pack("!HHIIBBHHH", PORT, one, 1, 0, 0x50, Flag.FIN | Flag.ACK, 0, 0, 0) for one in ports]
    found = [listener.heard(Segment(source=PEER, destination=NODE, header=end, payload=b"")) for end in ends]
    assert [bool(text) for text in found] == [False] + [True] * MAX_CONNECTIONS


def test_what_cannot_be_a_segment_is_passed_over() -> None:
    """Whatever comes from the wire, in pieces or forged, is heard without an error."""
    dice = random.Random(1)  # noqa: S311 - the same bytes each time
    listener = hearing(b"secret")
    for _ in range(5000):
        data = dice.randbytes(dice.randrange(100))
        ports = struct.pack("!HH", PORT, PORT)
        for found in (from_ipv4(b"\x45" + data), from_ipv4(data), from_tcp(ports + data, PEER, NODE)):
            if found is not None:
                assert isinstance(listener.heard(found), str)
                found.signed_with(b"secret")
