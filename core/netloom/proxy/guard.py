"""Bounds the CPU that a parser takes for one event.

A timer of the process's own CPU time (ITIMER_VIRTUAL) beats every 20 ms of it; the handler notes when two beats fall
into one event, and after enough of them raises inside the parser. Against a thread that would watch and raise by
``PyThreadState_SetAsyncExc`` this has three advantages: it costs no system call and no lock for an event, it needs no
GIL while a regular expression holds it (``re`` looks for signals, never for asynchronous exceptions), and a machine
that is busy with others makes no event long. Both must wait for native code that never looks.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

BEAT_S: Final = 0.02


class Overrun(BaseException):
    """The event has taken too long. Not an Exception, so that no parser's handler takes it for its own."""


class Guard:
    """Of the process's main thread. Around an event ``event`` is raised and ``busy`` set, by whoever runs it."""

    def __init__(self, timeout_s: float) -> None:
        self._beats_max = max(2, round(timeout_s / BEAT_S))
        self._seen = -1
        self._beats = 0
        self.event = 0
        """Number of the event."""
        self.busy = False
        """Whether it is under way."""
        self.overran = False
        """Whether Overrun was raised; whoever runs events takes it back. A parser may have caught it."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Beat within this block; main thread only."""
        before = signal.signal(signal.SIGVTALRM, self._beat)
        signal.setitimer(signal.ITIMER_VIRTUAL, BEAT_S, BEAT_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

    def _beat(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if not self.busy:
            return
        if self._seen != self.event:
            self._seen, self._beats = self.event, 0
            return
        self._beats += 1
        if self._beats >= self._beats_max:
            # Again with each beat, for a parser that catches everything.
            self.overran = True
            raise Overrun
