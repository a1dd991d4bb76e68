"""A tiny protocol: lines that are answered with lines. Some lines make its parser misbehave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from netloom.plugins import L7Protocol, Op
from netloom.plugins.l7.turns import Part, Request, Unspoken, in_turn
from netloom.plugins.protocols import Judge, OpKind, Parser

LINE_BYTES_MAX = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Request):
    """One request."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What lines begin with; empty: any."""

    begins: str = ""


def matcher(rule: Rule) -> Callable[[Line], bool]:
    return lambda line: line.text.startswith(rule.begins)


def describe(line: Line) -> Mapping[str, str]:
    return {"line": line.text[:100]}


class Dialog:
    def parse_request(self, data: bytes) -> Line | None:
        line, end, _ = data.partition(b"\n")
        if line.startswith(b"junk"):
            raise Unspoken("junk")
        if not end:
            return None
        if line.startswith(b"body "):  # a body of so many bytes follows
            return Line(size_bytes=len(line) + 1 + int(line[5:]), text=line.decode())
        return Line(size_bytes=len(line) + 1, text=line.decode(errors="replace"))

    def parse_reply(self, data: bytes, request: Line) -> Part | None:
        del request
        line, end, _ = data.partition(b"\n")
        if line.startswith(b"body "):
            return Part(len(line) + 1 + int(line[5:])) if end else None
        return Part(len(line) + 1) if end else None

    def deny(self, request: Line) -> bytes:
        return b"denied " + request.text.encode()[:20] + b"\n"


class Misbehaving:
    """In front of a good parser: does what the line says."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        if not reply and data.startswith(b"raise"):
            raise ValueError("as it was told")
        while not reply and data.startswith(b"loop"):
            pass
        while not reply and data.startswith(b"stubborn"):
            try:
                while True:
                    pass
            except BaseException:  # noqa: BLE001 - the worst there is
                return ()
        if not reply and data.startswith(b"over-read"):
            return (Op(kind=OpKind.PASS, count=1 << 20), Op(kind=OpKind.PASS, count=1))
        return self._parser.on_data(reply=reply, end=end, data=data)


def new_parser(judge: Judge) -> Parser:
    return Misbehaving(in_turn(Dialog)(judge))


LINES = L7Protocol(name="lines", rule_type=Rule, matcher=matcher, describe=describe, new_parser=new_parser)
