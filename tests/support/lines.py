"""The least application protocol there is: each line is a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netloom.plugins.protocols import Judge, L7Protocol, Op, OpKind


@dataclass(frozen=True)
class Line:
    """A rule about lines."""

    line: str = ""


class Lines:
    """A protocol whose requests are lines."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        del reply, end
        if data.startswith(b"?"):
            return (Op(kind=OpKind.ERROR, data=b"a question is no line"),)
        *lines, rest = data.split(b"\n")
        for line in lines:
            exchange = self._judge(line.decode())
            if not exchange.allowed:
                exchange.answered(refused=line.decode())
        passed = tuple(Op(kind=OpKind.PASS, count=len(line) + 1) for line in lines)
        return (*passed, Op(kind=OpKind.MORE, count=1)) if rest or not lines else passed


def _matcher(rule: Line) -> Callable[[str], bool]:
    return lambda line: line == rule.line


LINES = L7Protocol(
    name="lines",
    rule_type=Line,
    matcher=_matcher,
    describe=lambda line: {"line": line},
    new_parser=Lines,
    recall=lambda told: told["line"],
)
