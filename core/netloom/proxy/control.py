"""The agent's way to the proxy: a unix socket, lines of JSON. Agents come and go; the last to come is the one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import Final

import msgspec
import structlog

from netloom.model.errors import KernelError, NetloomError
from netloom.model.l7_messages import MESSAGE_BYTES_MAX, Applied, Drain, Hello, Tables, ToProxy
from netloom.proxy.access import AccessLog
from netloom.proxy.server import Proxy

FLUSH_S: Final = 0.1
"""Between two looks for records that wait."""
COUNTERS_EVERY: Final = 10
"""Flushes."""
RECORDS_AT_ONCE: Final = 500
UNSENT_BYTES_MAX: Final = 1 << 20
"""For an agent that reads slowly; more wait in the log, where their number is bounded."""


class Control:
    """Serves one agent at a time."""

    def __init__(self, path: Path, proxy: Proxy, log: AccessLog, who: Hello) -> None:
        """``who`` tells all of it but the revision and ports of the moment."""
        self._path = path
        self._proxy = proxy
        self._log = log
        self._who = who
        self._agent: asyncio.StreamWriter | None = None
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(ToProxy)

    async def start(self) -> asyncio.Server:
        """Listen, for root alone. Raises KernelError."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mask = os.umask(0o177)
        try:
            new = self._path.with_suffix(".new")
            new.unlink(missing_ok=True)
            listener.bind(os.fspath(new))
            listener.listen()
            new.rename(self._path)  # whoever finds it is answered
        except OSError as error:
            listener.close()
            raise KernelError("listen", f"at {self._path}", error.errno or errno.ENAMETOOLONG) from error
        finally:
            os.umask(mask)
        return await asyncio.start_unix_server(self._serve, sock=listener, limit=MESSAGE_BYTES_MAX)

    async def run(self) -> None:
        """Tell the agent what waits, for ever."""
        turn = 0
        while True:
            await asyncio.sleep(FLUSH_S)
            turn += 1
            self._tell_records()
            if turn % COUNTERS_EVERY == 0:
                self._tell(self._proxy.counters())

    def _tell_records(self) -> None:
        """All that wait, as long as the agent takes them."""
        while self._agent and self._agent.transport.get_write_buffer_size() < UNSENT_BYTES_MAX:
            records = self._log.take(RECORDS_AT_ONCE)
            if not records:
                return
            self._agent.writelines(records)

    def _tell(self, message: msgspec.Struct) -> None:
        if self._agent is not None:
            self._agent.write(self._encoder.encode(message) + b"\n")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._agent is not None:
            self._agent.close()
        self._agent = writer
        self._tell(msgspec.structs.replace(self._who, revision=self._proxy.revision, ports=self._proxy.ports))
        self._tell(self._proxy.counters())
        try:
            while line := await reader.readline():
                self._obey(self._decoder.decode(line))
        except (OSError, ValueError, msgspec.MsgspecError, NetloomError) as error:
            structlog.get_logger().warning("agent.unheard", error=str(error) or repr(error))
        finally:
            if self._agent is writer:
                self._agent = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _obey(self, message: ToProxy) -> None:
        match message:
            case Tables():
                problems = self._proxy.put(message)
                self._tell(Applied(revision=message.revision, problems=problems))
            case Drain():
                self._proxy.drain(message.timeout_s)
