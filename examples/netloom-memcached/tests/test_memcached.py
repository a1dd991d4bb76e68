"""The parser keeps the contract; every talk here was had with a real memcached."""

# ruff: noqa: S101, D103

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from netloom_memcached import binary, text
from netloom_memcached.plugin import MEMCACHED, Memcached, Rule, matcher

from netloom.model.errors import Invalid
from netloom.plugins import L7Protocol
from netloom.plugins.testing import ParserConformance, Talk, check_plugin
from netloom.plugins.testing.parser import Wire


def asks(operation: int, key: bytes = b"", extras: bytes = b"", value: bytes = b"", opaque: int = 7) -> bytes:
    """A request of the binary protocol."""
    body = extras + key + value
    header = binary.HEADER.pack(binary.ASKS, operation, len(key), len(extras), 0, 0, len(body), opaque, 0)
    return header + body


def answers(operation: int, extras: bytes = b"", value: bytes = b"", status: int = 0) -> bytes:
    """A reply of the binary protocol."""
    body = extras + value
    return binary.HEADER.pack(binary.ANSWERS, operation, 0, len(extras), 0, status, len(body), 7, 1) + body


FLAGS = struct.pack(">II", 0, 0)
READ_JOBS = ({"command": "read", "key_prefix": "jobs/"},)
TEXT = Talk(
    rules=READ_JOBS,
    requests=(
        b"get jobs/1\r\n",
        b"set jobs/1 0 0 5\r\nhello\r\n",
        b"get jobs/1 jobs/2\r\n",
        b"get jobs/1 pay/2\r\n",
        b"delete jobs/1 noreply\r\n",
        b"gats 10 jobs/9\r\n",
        b"version\r\n",
    ),
    replies=(
        b"VALUE jobs/1 0 4\r\nEND\r\n"[:22] + b"\r\nEND\r\n",
        b"STORED\r\n",
        b"VALUE jobs/1 0 5\r\nhello\r\nVALUE jobs/2 0 7\r\nEND\r\n\r\n\r\nEND\r\n",
        b"END\r\n",
        b"",
        b"END\r\n",
        b"VERSION 1.6.18\r\n",
    ),
    allowed=(True, False, True, False, False, True, True),
)
WRITE = Talk(
    rules=({"command": "set"}, {"command": "delete"}, {"command": "stats"}),
    requests=(
        b"set a 0 0 3000\r\n" + b"x" * 3000 + b"\r\n",
        b"set b 0 0 1 noreply\r\ny\r\n",
        b"stats\r\n",
        b"get a\r\n",
    ),
    replies=(b"STORED\r\n", b"", b"STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n", b"END\r\n"),
    allowed=(True, True, True, False),
)
BINARY = Talk(
    rules=READ_JOBS,
    requests=(
        asks(0x00, b"jobs/1"),
        asks(0x01, b"jobs/1", FLAGS, b"hello"),
        asks(0x0D, b"jobs/2"),
        asks(0x0A),
        asks(0x0B),
    ),
    replies=(
        answers(0x00, bytes(4), b"hello"),
        answers(0x01),
        b"",
        answers(0x0D, bytes(4), b"quiet") + answers(0x0A),
        answers(0x0B, value=b"1.6.18"),
    ),
    allowed=(True, False, True, True, True),
)


class TestMemcached(ParserConformance):
    """Every parser's tests."""

    def protocol(self) -> L7Protocol:
        """Ours."""
        return MEMCACHED

    def talks(self) -> Iterable[Talk]:
        """Both protocols."""
        return (TEXT, WRITE, BINARY)


def test_the_plugin_keeps_the_contract() -> None:
    assert check_plugin(Memcached).name == "memcached"


@pytest.mark.parametrize(
    "request_",
    [
        b"set jobs/1  0 20 0\r\n\r\ndelete pay/1\r\n\r\n",
        b"set jobs/1 x 0 14\r\ndelete pay/1\r\n\r\n",
        b"set jobs/1 0 4294967296 14\r\ndelete pay/1\r\n\r\n",
        b"set jobs/1 0 0 14 noreply x\r\ndelete pay/1\r\n\r\n",
        b"cas jobs/1 0 0 14 x\r\ndelete pay/1\r\n\r\n",
        b"set jobs/" + b"x" * 250 + b" 0 0 14\r\ndelete pay/1\r\n\r\n",
        b"version\r\n" + asks(0x0A, value=b"\r\ndelete pay/1\r\n"),
    ],
    ids=["blanks", "flags", "expiry", "words", "number", "key", "two protocols"],
)
def test_what_a_server_would_read_in_another_way_goes_nowhere(request_: bytes) -> None:
    """Each of these had memcached 1.6 carry out the second command."""
    wire = Wire(MEMCACHED, ({"command": "set"}, {"command": "cas"}))
    wire.feed(request_, reply=False)
    assert b"delete" not in wire.account.to_server
    assert wire.account.broken is not None


def test_an_item_may_have_expired_when_it_is_stored() -> None:
    wire = Wire(MEMCACHED, ({"command": "set"},))
    wire.feed(b"set a 0 -1 1\r\nx\r\n", reply=False)
    assert wire.account.verdicts == [True]


def test_noreply_may_be_a_key() -> None:
    found = text.parse_request(b"get noreply\r\n")
    assert found is not None
    assert found.is_answered


def test_a_rule_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(Invalid, match="expected one of them"):
        matcher(Rule(key="a", key_prefix="b"))
