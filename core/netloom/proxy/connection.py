"""One connection: a client, a server, and between them a parser that is asked what may go on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from netloom.config.settings import ProxySettings
from netloom.model.identity import Reserved
from netloom.plugins.l7.driver import Broken, Driver, Send
from netloom.plugins.l7.driver import End as Ended
from netloom.plugins.protocols import L7Protocol
from netloom.proxy import sockets
from netloom.proxy.access import AccessLog
from netloom.proxy.end import End
from netloom.proxy.ends import Identify, ends_of, renewed
from netloom.proxy.exchange import Asked, broken
from netloom.proxy.guard import Guard, Overrun
from netloom.proxy.rules import Applied, Ends, Rulebook

TICK_S: Final = 1.0
"""Between two looks at each connection."""
EVENT_BYTES_MAX: Final = 1 << 13
"""Given to a parser at once: its time is for as many requests as fit in."""
TURN_S: Final = 0.005
"""A connection works through what has come at once, before others get theirs."""
LINGER_TICKS: Final = 2
"""What a client is told last is not lost with a reset: so long it may go on sending, unheard."""
RULES_WITHIN_S: Final = 1.0
"""How long a connection of which no table tells waits for one that does."""
LIMIT: Final = "limit"
NO_RULES: Final = "no rules"
ENDED_FIRST: Final = "the connection ended first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A protocol, and the plugin that speaks it."""

    plugin: str
    protocol: L7Protocol


@dataclass(slots=True, kw_only=True)
class Shared:
    """What all connections of a proxy have in common."""

    settings: ProxySettings
    protocols: dict[str, Spoken]
    book: Rulebook
    log: AccessLog
    guard: Guard
    identify: Identify
    open: set[Connection] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, when tables have changed."""


class Connection:
    """From accepting to the end of both sockets."""

    __slots__ = (
        "_applied", "_awaits_rules", "_changes", "_client", "_connecting", "_driver", "_early", "_ends", "_judged",
        "_judged_before",
        "_moved", "_server", "_shared", "_spoken", "_ticks_closing", "_ticks_still", "_ticks_undecided", "_waiting",
    )  # fmt: skip

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._client, self._server = End(self, is_server=False), End(self, is_server=True)
        self._client.other, self._server.other = self._server, self._client
        self._client.came = self._came_early
        self._early: list[tuple[bytes, bool]] = []
        """What the client said before the server was reached."""
        self._connecting: asyncio.Task[None] | None = None
        self._driver: Driver
        self._ends: Ends
        self._spoken: Spoken
        self._applied: Applied | None = None
        self._awaits_rules = False
        self._changes = -1
        self._waiting: set[Asked] = set()
        """Requests without an answer."""
        self._judged = self._judged_before = 0
        """Requests so far, and at the last tick."""
        self._moved = True
        """Whether anything came since the last tick."""
        self._ticks_still = self._ticks_undecided = self._ticks_closing = 0

    @property
    def client(self) -> asyncio.Protocol:
        """What the loop is given for a new client."""
        return self._client

    # --- beginning --------------------------------------------------------------------------------

    def made(self, end: End) -> None:
        """As :class:`~netloom.proxy.end.Owner`."""
        assert end.transport is not None  # noqa: S101 - it was just given
        end.transport.set_write_buffer_limits(high=self._shared.settings.buffer_bytes)
        if end.is_server:
            self._go_on()
            return
        self._shared.log.accepted += 1
        source, destination = (end.transport.get_extra_info(name) for name in ("peername", "sockname"))
        refused = self._refused(source, destination)
        if refused and refused != NO_RULES:
            self._shared.log.closed(refused)
            sockets.reset(end.transport)
            return
        self._shared.open.add(self)
        begin = self._await_rules if refused else self._connect
        self._connecting = asyncio.get_running_loop().create_task(begin(source, destination))

    async def _await_rules(self, source: sockets.SocketAddress, destination: sockets.SocketAddress) -> None:
        """Programs may send what no table tells of yet: the agent writes theirs while ours are on their way."""
        refused, self._awaits_rules = NO_RULES, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RULES_WITHIN_S):
                # They may have come since, and those after them may never.
                while (refused := self._refused(source, destination)) == NO_RULES:
                    await self._shared.news.wait()
        self._awaits_rules = False
        if refused:
            self._connecting = None
            self._reset(refused)
        else:
            await self._connect(source, destination)

    def _refused(self, source: sockets.SocketAddress | None, destination: sockets.SocketAddress | None) -> str:
        """Why the connection must not begin; "" when it may."""
        if self not in self._shared.open and len(self._shared.open) >= self._shared.settings.connections:
            return LIMIT
        ends = ends_of(self._shared.identify, source, destination) if source and destination else None
        if ends is None:
            return "unknown ends"
        self._ends = ends
        self._applied = self._shared.book.applying(ends)
        self._changes = self._shared.book.changes
        if self._applied is None:
            return NO_RULES
        if self._applied.problem:
            self._told(self._applied.problem)
            return "unreadable rules"
        self._spoken = self._shared.protocols[self._applied.protocol]
        return self._begun()

    def _begun(self) -> str:
        guard = self._shared.guard
        try:
            guard.event += 1
            guard.busy = True
            self._driver = Driver(self._spoken.protocol.new_parser(self._judge))
            guard.busy = False
        except (Exception, Overrun) as error:  # noqa: BLE001 - a plugin's code
            guard.busy = guard.overran = False
            self._fault(f"made no parser: {type(error).__name__}: {error}")
            return "parser"
        return ""

    async def _connect(self, source: sockets.SocketAddress, destination: sockets.SocketAddress) -> None:
        try:
            # A server of this host would have the addresses and ports of the socket that took the client: in our name.
            name = None if self._ends.destination_identity == Reserved.HOST else source
            settings = self._shared.settings
            made = await sockets.connect(
                name, destination, timeout_s=settings.connect_timeout_s, keepalive_s=settings.keepalive_s
            )
            await asyncio.get_running_loop().create_connection(lambda: self._server, sock=made)
            if self._server.is_open:
                sockets.keep(made)
        except (OSError, TimeoutError) as error:
            self._connecting = None
            self._told(f"the server cannot be reached: {str(error) or 'no answer'}")
            self._reset("unreachable")
        finally:
            self._connecting = None

    def _came_early(self, end: End, data: bytes, *, is_last: bool) -> None:
        """One chunk at most, and the end."""
        self._early.append((data, is_last))
        end.hold()

    def _go_on(self) -> None:
        self._client.came = self.came
        self._client.steer()
        early, self._early = self._early, []
        for data, is_last in early:
            self.came(self._client, data, is_last=is_last)

    # --- the way of every chunk -------------------------------------------------------------------

    def came(self, end: End, data: bytes, *, is_last: bool) -> None:
        """As :class:`~netloom.proxy.end.Owner`."""
        if len(data) > EVENT_BYTES_MAX:
            self._came_much(end, data, 0)
            return
        self._moved = True
        if self._ticks_closing:
            if is_last:
                end.close()
            return
        guard = self._shared.guard
        try:
            guard.event += 1
            guard.busy = True
            actions = self._driver.feed(data, reply=end.is_server, end=is_last)
            guard.busy = False
        except Overrun:
            guard.busy = False
        if guard.overran:
            guard.overran = False
            self._break(Broken(f"took more than {self._shared.settings.event_timeout_s:g} s of CPU", fault=True))
            return
        for action in actions:
            if isinstance(action, Send):
                (self._client if action.reply else self._server).write(action.data, end)
            elif isinstance(action, Ended):
                self._end(self._client if action.reply else self._server)
            else:
                self._break(action)

    def _came_much(self, end: End, data: bytes, at: int) -> None:
        """From ``at`` on, piece by piece; where that takes long, others get their turn in between."""
        until = time.monotonic() + TURN_S
        while at < len(data):
            if time.monotonic() > until:
                end.wait(waits=True)
                asyncio.get_running_loop().call_soon(self._came_much, end, data, at)
                return
            self.came(end, data[at : at + EVENT_BYTES_MAX], is_last=False)
            at += EVENT_BYTES_MAX
        end.wait(waits=False)

    def _judge(self, request: Any) -> Asked:
        if self._changes != self._shared.book.changes:
            self._renew()
        self._judged += 1
        asked = Asked(self._applied, request, self._answered)
        self._waiting.add(asked)
        return asked

    def _renew(self) -> None:
        """What applies after a change of tables. A connection that no rule is about any more is eBPF's to judge."""
        shared = self._shared
        self._changes = shared.book.changes
        self._ends = renewed(self._ends, shared.identify)
        self._applied = shared.book.applying(self._ends)
        spoken = self._spoken.protocol.name
        if self._applied is not None and self._applied.protocol != spoken:
            problem = f"policies want it judged as {self._applied.protocol} by now"
            self._applied = Applied(protocol=spoken, allows=((),), direction=self._applied.direction, problem=problem)

    def _answered(self, asked: Asked, said: dict[str, str]) -> None:
        self._waiting.discard(asked)
        asked.record(self._shared.log, self._spoken.protocol, self._ends, said)

    # --- ending -----------------------------------------------------------------------------------

    def _end(self, end: End) -> None:
        if end.other.shut:  # what ends now is said by closing
            self._client.close()
            self._server.close()
        else:
            end.write_eof()

    def _break(self, action: Broken) -> None:
        """The client still gets what was sent to it, unless the parser is not to be believed."""
        self._driver.broken = True
        if action.fault:
            self._fault(action.why)
            self._reset("parser")
            return
        self._told(action.why)
        self._shared.log.closed("not the protocol")
        self._ticks_closing = 1
        if self._server.transport is not None:
            sockets.reset(self._server.transport)
        self._client.write_eof()
        self._client.steer()

    def lost(self, end: End, error: Exception | None) -> None:
        """As :class:`~netloom.proxy.end.Owner`."""
        other = end.other.transport
        if isinstance(error, TimeoutError):  # the kernel has asked in vain
            self._shared.log.closed("gone")
        if error is not None and other is not None:
            sockets.reset(other)
        if self._connecting is not None and not end.is_server:
            self._connecting.cancel()
        if self._client.transport is None and self._server.transport is None and self in self._shared.open:
            self._shared.open.remove(self)
            self._tell_unanswered()

    def _tell_unanswered(self) -> None:
        for asked in self._waiting:
            asked.record(self._shared.log, self._spoken.protocol, self._ends, {}, ENDED_FIRST)
        self._waiting.clear()

    def reset(self) -> None:
        """End both sides at once, whatever is unsent."""
        if self._connecting is not None:
            self._connecting.cancel()
        for end in (self._client, self._server):
            if end.transport is not None:
                sockets.reset(end.transport)

    def _reset(self, reason: str) -> None:
        self._shared.log.closed(reason)
        self.reset()

    def tick(self) -> None:
        """Once in TICK_S: see whether the connection has stood still for too long."""
        if self._awaits_rules:
            return
        settings = self._shared.settings
        self._ticks_still = 0 if self._moved else self._ticks_still + 1
        self._moved = False
        if self._ticks_closing:
            self._ticks_closing += 1
            if self._ticks_closing > LINGER_TICKS + 1:
                self.reset()
        elif self._is_slow(settings.head_timeout_s / TICK_S):
            self._told(f"a request took more than {settings.head_timeout_s:g} s to come")
            self._reset("slow request")
        elif self._ticks_still * TICK_S >= settings.idle_timeout_s:
            self._idle()

    def _is_slow(self, ticks_max: float) -> bool:
        """Whether the bytes at hand have been no request for long, though no reply was waited for."""
        waits = self._driver.is_undecided and not self._waiting and not self._client.other.is_full
        self._ticks_undecided = self._ticks_undecided + 1 if waits and self._judged == self._judged_before else 0
        self._judged_before = self._judged
        return self._ticks_undecided > ticks_max

    def _idle(self) -> None:
        """Politely, where nothing is unsent."""
        if self._client.unsent_bytes or self._server.unsent_bytes or self._ticks_still > self._idle_ticks() + 1:
            self._reset("idle")
            return
        self._shared.log.closed("idle")
        self._client.close()
        self._server.close()

    def _idle_ticks(self) -> float:
        return self._shared.settings.idle_timeout_s / TICK_S

    # --- telling ----------------------------------------------------------------------------------

    def _told(self, why: str) -> None:
        """An error of whoever spoke, or of policies."""
        protocol = self._applied.protocol if self._applied else self._spoken.protocol.name
        direction = self._applied.direction if self._applied else ""
        self._shared.log.count(protocol, direction, "error")
        self._shared.log.put(broken(protocol, self._ends, direction, why))

    def _fault(self, why: str) -> None:
        plugin, protocol = self._spoken.plugin, self._spoken.protocol.name
        self._shared.log.fault(plugin, protocol)
        structlog.get_logger().error("parser.failed", plugin=plugin, protocol=protocol, error=why)
        self._told(f'plugin "{plugin}": the parser {why}')
