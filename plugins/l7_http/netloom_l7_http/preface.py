"""Which version of HTTP a connection speaks: its first bytes say so."""

from __future__ import annotations

from netloom.plugins import Judge, Op, Parser
from netloom_l7_http.frames import PREFACE
from netloom_l7_http.parser import HttpParser


class AnyHttp:
    """A Parser."""

    __slots__ = ("_is_over", "_judge", "_parser")

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._parser: Parser | None = None
        self._is_over = False
        """Whether the server has left before anybody spoke."""

    def on_data(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        """As the parser of the version does; until that is known, nothing."""
        if self._parser is None:
            if reply or (PREFACE.startswith(data) and data != PREFACE):
                self._is_over = self._is_over or (reply and end)
                return ()  # a server of HTTP/2 may be the first to speak
            self._parser = self._new_parser(data)
            if self._is_over:
                self._parser.on_data(reply=True, end=True, data=b"")
        return self._parser.on_data(reply=reply, end=end, data=data)

    def _new_parser(self, data: bytes) -> Parser:
        if data.startswith(PREFACE):
            from netloom_l7_http.http2 import Http2Parser

            return Http2Parser(self._judge)
        return HttpParser(self._judge)
