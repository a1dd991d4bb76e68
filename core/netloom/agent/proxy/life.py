"""One proxy process, from the moment it can be talked to until it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from netloom.agent.proxy import process
from netloom.model.l7_messages import (
    MESSAGE_BYTES_MAX,
    Access,
    Applied,
    Counters,
    Drain,
    Hello,
    Tables,
    ToAgent,
    ToProxy,
)

PAUSE_S: Final = 0.1
"""Between two attempts to reach a process that lives."""


class Life:
    """Told every change of tables; whatever it could not be told is in the whole that it gets first."""

    def __init__(
        self, pid: int, directory: Path, *, whole: Callable[[], Tables], heard: Callable[[Access], None]
    ) -> None:
        """``whole`` gives all tables of the moment; ``heard`` is called with each record."""
        self.pid = pid
        self._path = process.socket_of(directory, pid)
        self._whole = whole
        self._heard = heard
        self._writer: asyncio.StreamWriter | None = None
        self._decoder = msgspec.json.Decoder(ToAgent)
        self._changed = asyncio.Event()
        """Set, and replaced, whenever it has said something of itself."""
        self.hello: Hello | None = None
        """What it said first; None while it was not reached."""
        self.applied: Applied | None = None
        self.counters: Counters | None = None
        self.has_ended = False

    async def run(self) -> None:
        """Talk to it until it ends."""
        talking = asyncio.create_task(self._talk())
        try:
            await process.ended(self.pid)
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        self.has_ended = True
        self._path.unlink(missing_ok=True)
        self._notify()

    async def until(self, fulfilled: Callable[[], bool]) -> bool:
        """Wait until something holds of it; False when it has ended first."""
        while not fulfilled() and not self.has_ended:
            await self._changed.wait()
        return fulfilled()

    def tell(self, message: ToProxy) -> None:
        """Send a message, if it can be reached at the moment."""
        if self._writer is not None:
            self._writer.write(msgspec.json.encode(message) + b"\n")

    def drain(self, timeout_s: float) -> None:
        """Have it take no more connections, and end."""
        if self.counters is None or not self.counters.draining:
            self.tell(Drain(timeout_s=timeout_s))

    def is_at(self, revision: int) -> bool:
        """Whether these tables, or later ones, are at work."""
        return self.applied is not None and self.applied.revision >= revision

    async def _talk(self) -> None:
        """Again and again: an agent's connection may end without the process."""
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._path, limit=MESSAGE_BYTES_MAX)
                self.tell(self._whole())
                while line := await reader.readline():
                    self._hear(self._decoder.decode(line))
            except (FileNotFoundError, ConnectionRefusedError):
                pass  # it has just been started
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                structlog.get_logger().warning("proxy.unheard", pid=self.pid, error=str(error) or repr(error))
            finally:
                await self._hang_up()
            await asyncio.sleep(PAUSE_S)

    async def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _hear(self, message: ToAgent) -> None:
        match message:
            case Access():
                self._heard(message)
                return
            case Hello():
                self.hello = message
            case Applied():
                self.applied = message
            case Counters():
                self.counters = message
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
