"""What a parser wants done is done, in its order, and nothing else reaches anybody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netloom.plugins.l7.driver import HELD_BYTES_MAX, Action, Broken, Driver, End, Send
from netloom.plugins.protocols import Op, OpKind

Says = Callable[[bytes], tuple[Op, ...]]


class Scripted:
    """A parser that says of requests and of replies what a test wants it to say."""

    def __init__(self, requests: Says, replies: Says | None = None) -> None:
        self.requests, self.replies = requests, replies or requests
        self.seen: list[bytes] = []

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        del end
        self.seen.append(data)
        return (self.replies if reply else self.requests)(data)


def says(*ops: Op) -> Driver:
    """A connection whose parser says the same of everything."""
    return Driver(Scripted(lambda _: ops))


def passes(count: int) -> Op:
    return Op(kind=OpKind.PASS, count=count)


def drops(count: int) -> Op:
    return Op(kind=OpKind.DROP, count=count)


def injects(data: bytes, *, reply: bool = True) -> Op:
    return Op(kind=OpKind.INJECT, data=data, reply=reply)


def breach(actions: tuple[Action, ...]) -> str:
    """Why the parser is at fault."""
    (broken,) = actions
    assert isinstance(broken, Broken)
    assert broken.fault
    return broken.why


def test_what_passes_goes_on_and_what_drops_does_not() -> None:
    assert says(passes(2), drops(1), passes(1)).feed(b"abcd", reply=False) == (Send(False, b"abd"),)


def test_what_no_instruction_speaks_of_comes_again() -> None:
    parser = Scripted(lambda data: (passes(3),) if len(data) > 2 else ())
    driver = Driver(parser)
    assert driver.feed(b"ab", reply=False) == ()
    assert driver.feed(b"cd", reply=False) == (Send(False, b"abc"),)
    driver.feed(b"e", reply=False)
    assert parser.seen == [b"ab", b"abcd", b"de"]


def test_a_parser_that_needs_more_is_not_asked_before_it_came() -> None:
    parser = Scripted(lambda data: (Op(kind=OpKind.MORE, count=3),) if len(data) < 4 else (passes(len(data)),))
    driver = Driver(parser)
    sent = [driver.feed(byte, reply=False) for byte in (b"a", b"b", b"c", b"d")]
    assert sent == [(), (), (), (Send(False, b"abcd"),)]
    assert parser.seen == [b"a", b"abcd"]


WAITS = Op(kind=OpKind.WAIT)


def test_a_parser_that_waits_is_asked_when_the_other_direction_was_heard() -> None:
    parser = Scripted(lambda data: (passes(len(data)),) if b"yes" in parser.seen else (WAITS,))
    parser.replies = lambda data: (passes(len(data)),)
    driver = Driver(parser)
    assert driver.feed(b"a", reply=False) == driver.feed(b"b", reply=False) == ()
    assert driver.feed(b"no", reply=True) == (Send(True, b"no"),)
    assert driver.feed(b"yes", reply=True) == (Send(True, b"yes"), Send(False, b"ab"))
    assert parser.seen == [b"a", b"no", b"ab", b"yes", b"ab"]


def test_an_end_waits_too() -> None:
    parser = Scripted(lambda data: (passes(len(data)),) if b"!" in parser.seen else (WAITS,), lambda _: (passes(1),))
    driver = Driver(parser)
    assert driver.feed(b"a", reply=False) == driver.feed(b"", reply=False, end=True) == ()
    assert driver.feed(b"!", reply=True) == (Send(True, b"!"), Send(False, b"a"), End(False))


def test_nobody_waits_for_a_direction_that_has_ended() -> None:
    driver = Driver(Scripted(lambda _: (WAITS,), lambda _: ()))
    assert driver.feed(b"a", reply=False) == driver.feed(b"", reply=False, end=True) == ()
    assert driver.feed(b"", reply=True, end=True) == (End(True), End(False))


def test_what_waits_is_bounded() -> None:
    driver = Driver(Scripted(lambda _: (WAITS,)))
    driver.feed(b"a", reply=False)
    (broken,) = driver.feed(b"b" * HELD_BYTES_MAX, reply=False)
    assert isinstance(broken, Broken)
    assert not broken.fault


@pytest.mark.parametrize(("op", "through"), [(passes(5), b"abcde"), (drops(5), b"")])
def test_an_instruction_reaches_past_the_bytes_at_hand(op: Op, through: bytes) -> None:
    """Whatever comes next is not shown to the parser."""
    parser = Scripted(lambda _: (op,))
    driver = Driver(parser)
    actions = driver.feed(b"ab", reply=False) + driver.feed(b"cde", reply=False)
    assert b"".join(action.data for action in actions if isinstance(action, Send)) == through
    assert parser.seen == [b"ab"]


def test_an_answer_stands_where_the_parser_put_it() -> None:
    driver = says(passes(1), injects(b"!"), injects(b"?", reply=False), passes(1))
    assert driver.feed(b"ab", reply=False) == (Send(False, b"a"), Send(True, b"!"), Send(False, b"?b"))


def test_nobody_is_answered_in_the_midst_of_an_answer() -> None:
    driver = Driver(Scripted(lambda _: (injects(b"no"),), lambda _: (passes(10),)))
    driver.feed(b"begins", reply=True)
    assert "into the midst" in breach(driver.feed(b"a", reply=False))


def test_nobody_is_answered_behind_the_end() -> None:
    driver = Driver(Scripted(lambda _: (injects(b"no"),), lambda data: (passes(len(data)),)))
    driver.feed(b"all", reply=True, end=True)
    assert "its end" in breach(driver.feed(b"a", reply=False))


def test_an_end_is_handed_on_behind_what_came_before_it() -> None:
    assert says(passes(2)).feed(b"ab", reply=True, end=True) == (Send(True, b"ab"), End(True))


def test_what_was_not_judged_before_the_end_goes_nowhere() -> None:
    assert says().feed(b"GET /", reply=False, end=True) == (End(False),)


def test_after_an_end_nothing_comes() -> None:
    driver = says(passes(1))
    driver.feed(b"a", reply=False, end=True)
    assert driver.feed(b"b", reply=False) == ()


def test_a_parser_that_closes_ends_both_directions_behind_its_words() -> None:
    driver = says(drops(1), injects(b"bye"), Op(kind=OpKind.CLOSE))
    assert driver.feed(b"ab", reply=False) == (Send(True, b"bye"), End(True), End(False))
    assert driver.feed(b"c", reply=False) == driver.feed(b"d", reply=True) == ()


def test_closing_ends_no_direction_twice() -> None:
    driver = Driver(Scripted(lambda _: (Op(kind=OpKind.CLOSE),), lambda _: ()))
    driver.feed(b"", reply=True, end=True)
    assert driver.feed(b"a", reply=False, end=True) == (End(False),)


def test_what_is_no_protocol_breaks_the_connection_behind_what_was_said_before() -> None:
    driver = says(passes(1), injects(b"400"), Op(kind=OpKind.ERROR, data=b"a bare line feed"))
    expected = (Send(False, b"a"), Send(True, b"400"), Broken("a bare line feed"))
    assert driver.feed(b"ab", reply=False) == expected
    assert driver.broken
    assert driver.feed(b"c", reply=False) == ()


def test_a_parser_that_raises_is_at_fault() -> None:
    def fails(_: bytes) -> tuple[Op, ...]:
        raise KeyError("host")

    assert breach(Driver(Scripted(fails)).feed(b"a", reply=False)) == "raised KeyError: 'host'"


@pytest.mark.parametrize(
    "ops",
    [
        (passes(0),),
        (drops(-1),),
        (passes(9), passes(1)),
        (Op(kind=OpKind.MORE, count=0),),
        (Op(kind=OpKind.MORE, count=1), passes(1)),
        (Op(kind=OpKind.CLOSE), passes(1)),
        (WAITS, passes(1)),
    ],
    ids=str,
)
def test_an_instruction_about_nothing_or_out_of_place_is_a_fault(ops: tuple[Op, ...]) -> None:
    *_, last = says(*ops).feed(b"ab", reply=False)
    assert isinstance(last, Broken)
    assert last.fault


def test_what_is_never_judged_is_not_held_without_bound() -> None:
    driver = says()
    assert driver.feed(b"x" * HELD_BYTES_MAX, reply=False) == ()
    (broken,) = driver.feed(b"x", reply=False)
    assert isinstance(broken, Broken)
    assert not broken.fault


def test_a_connection_is_idle_between_requests() -> None:
    driver = Driver(Scripted(lambda data: (passes(4),) if len(data) > 1 else ()))
    idle = []
    for piece in (b"a", b"b", b"cd"):
        driver.feed(piece, reply=False)
        idle.append(driver.is_idle)
    assert idle == [False, False, True]
