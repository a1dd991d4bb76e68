"""Which version of HTTP a connection speaks: its first bytes say so."""

from __future__ import annotations

from typing import Protocol

from netloom.plugins import Judge, Op, Parser
from netloom_l7_http.frames import PREFACE
from netloom_l7_http.parser import HttpParser


class _OnData(Protocol):
    """As a Parser's method."""

    def __call__(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]: ...


class AnyHttp:
    """A Parser."""

    __slots__ = ("_is_over", "_judge", "on_data")

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._is_over = False
        """Whether the server has left before anybody spoke."""
        self.on_data: _OnData = self._begin
        """From the first bytes on that of the parser of their version."""

    def _begin(self, *, reply: bool, end: bool, data: bytes) -> tuple[Op, ...]:
        if reply or (PREFACE.startswith(data) and data != PREFACE):
            self._is_over = self._is_over or (reply and end)
            return ()  # a server of HTTP/2 may be the first to speak
        parser = self._new_parser(data)
        if self._is_over:
            parser.on_data(reply=True, end=True, data=b"")
        self.on_data = parser.on_data
        return parser.on_data(reply=reply, end=end, data=data)

    def _new_parser(self, data: bytes) -> Parser:
        if data.startswith(PREFACE):
            from netloom_l7_http.http2 import Http2Parser

            return Http2Parser(self._judge)
        return HttpParser(self._judge)
