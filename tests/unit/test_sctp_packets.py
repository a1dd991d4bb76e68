"""SCTP's first packets, as pods of tests send them."""

from __future__ import annotations

from support import sctp


def test_the_checksum_is_castagnolis() -> None:
    """The check value that its catalogues give."""
    assert sctp.crc32c(b"123456789") == 0xE3069283


def test_an_init_is_laid_out_as_the_rfc_has_it() -> None:
    packet = sctp.init(40000, 80, 0xC0FFEE)
    expected = (
        bytes.fromhex("9c40 0050 00000000") + packet[8:12] + bytes.fromhex("01 00 0014 00c0ffee 0000ffff 0001 0001")
    )
    assert packet == expected + bytes(4)
    without_checksum = packet[:8] + bytes(4) + packet[12:]
    assert packet[8:12] == sctp.crc32c(without_checksum).to_bytes(4, "little")


def test_an_answer_goes_back_with_the_tag_it_was_asked_with() -> None:
    asked = sctp.parse(sctp.init(40000, 80, 7))
    assert asked == sctp.Packet(40000, 80, 0, is_answer=False, initiate_tag=7, cookie=b"")
    assert sctp.parse(sctp.init_ack(asked, b"x/a")) == sctp.Packet(
        80, 40000, 7, is_answer=True, initiate_tag=7, cookie=b"x/a"
    )


def test_nothing_else_is_taken_for_one() -> None:
    abort = bytes.fromhex("0050 9c40 00000007 00000000 06 00 0004") + bytes(20)
    assert sctp.parse(abort) is None
    assert sctp.parse(sctp.init(1, 2, 3)[:-1]) is None
