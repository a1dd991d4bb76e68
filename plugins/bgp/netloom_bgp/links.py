"""The link watch: knows by which device each peer is reached, and tells at once when that device fails.

A speaker notices by its hold timer only, seconds later, that a cable was pulled; the kernel tells within milliseconds.
Bad news is passed on as it comes. Good news makes the watch look up all ways again, a few times soon and then now and
then, because addresses and routes come back a little later than the carrier, and nobody tells when a route changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Final

from netloom.model.address import Address
from netloom.model.errors import KernelError
from netloom_bgp.rtnl import Notices, Questions
from netloom_bgp.rtnl_wire import Device, messages, read_link
from netloom_bgp.watching import PeerListener
from netloom_bgp.ways import Change, Ways

LOOKS_AFTER_NEWS_S: Final = (0.02, 0.2, 1.0)
"""Pauses before the looks that follow good news."""
LOOK_EVERY_S: Final = 5.0
"""Pause between looks when there is no news."""
BY: Final = "link"


class LinkWatch:
    """Tells a listener, in whose event loop it runs, of peers that a failed device cuts off, and of their return."""

    def __init__(self, addresses: tuple[Address, ...], listener: PeerListener) -> None:
        self._ways = Ways(addresses)
        self._listener = listener
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._notices: Notices | None = None
        self._questions: Questions | None = None

    async def start(self) -> None:
        """Look once, then watch. What the kernel refuses becomes an event: sessions go on without the watch."""
        if self._task is not None:
            return
        try:
            self._notices, self._questions = Notices(), Questions()
            self._look()
        except KernelError as error:
            self._unusable(error)
            return
        asyncio.get_running_loop().add_reader(self._notices.fileno(), self._hear)
        self._task = asyncio.create_task(self._look_on(), name="bgp-links")

    async def stop(self) -> None:
        """Watch no more; what was told stands."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        self._close()

    def _hear(self) -> None:
        """Notices are there. Some that were lost may have been bad news, so everything is looked at."""
        notices = self._notices
        try:
            for datagram in notices.read() if notices else ():
                if datagram is None:
                    self._look()
                    continue
                for kind, _, body in messages(datagram):
                    self._heard(read_link(kind, body))
        except KernelError as error:
            self._unusable(error)

    def _heard(self, device: Device | None) -> None:
        """Of a device; None: of an address."""
        if device is not None and device.trouble:
            for change in self._ways.fails(device):
                self._tell(change)
        self._news.set()

    async def _look_on(self) -> None:
        """Until it is cancelled, or the kernel refuses."""
        pauses: Iterator[float] = repeat(LOOK_EVERY_S)
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(next(pauses)):
                        await self._news.wait()
                    self._news.clear()
                    pauses = chain(LOOKS_AFTER_NEWS_S, repeat(LOOK_EVERY_S))
                    await asyncio.sleep(next(pauses))
                self._look()
        except KernelError as error:
            self._unusable(error)
        finally:
            self._close()

    def _look(self) -> None:
        questions = self._questions
        if questions is None:
            return
        for address in self._ways.addresses:
            way, known = questions.way(address), self._ways.device_of(address)
            device = questions.device(way.ifindex) if way else None
            if known is not None and self._ways.keeps(address, way):
                device = questions.device(known.ifindex, known.name)
            for change in self._ways.found(address, way, device):
                self._tell(change)

    def _tell(self, change: Change) -> None:
        listener, address = self._listener, change.address
        listener.note(address, device=change.device, link="down" if change.trouble else "up")
        if change.trouble:
            listener.lost(address, BY, change.trouble)
            if change.turned:
                listener.event("link.down", f"{change.trouble}: {address} is cut off", address)
        elif change.turned:
            listener.event("link.up", f"device {change.device} leads to {address} again", address)
            listener.back(address, BY)

    def _unusable(self, error: KernelError) -> None:
        """Without the watch a failed link is noticed when the hold time is over."""
        self._close()
        for address in self._ways.addresses:
            self._listener.back(address, BY)
            self._listener.note(address, link="unwatched")
        text = f"links are not watched, a failed one is noticed when the hold time is over: {error}"
        self._listener.event("link.unwatched", text)

    def _close(self) -> None:
        if self._notices is not None:
            asyncio.get_running_loop().remove_reader(self._notices.fileno())
            self._notices.close()
        if self._questions is not None:
            self._questions.close()
        self._notices = self._questions = None
