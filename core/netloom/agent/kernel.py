"""One thread for everything that may block in the kernel, and the drivers of the tables.

Netlink requests go one after another through that thread, so the event loop never waits for them and they
never overtake each other. Map writes take microseconds and are made in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

from netloom.bpf.maps import BpfMap
from netloom.datapath.layout import encode
from netloom.edge.netlink import Netlink
from netloom.model.address import Network
from netloom.model.errors import NetloomError
from netloom.plugins.contract import RouteSpec

K = TypeVar("K")
V = TypeVar("V")
P = ParamSpec("P")
R = TypeVar("R")


class KernelThread:
    """Runs functions one at a time, in order, off the event loop."""

    def __init__(self, name: str = "kernel") -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` there; its result or exception comes back."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Wait for what was begun, then end."""
        self._executor.shutdown(wait=True)


class MapDriver(Generic[K, V]):
    """A table that is an eBPF map."""

    def __init__(self, bpf_map: BpfMap[K, V]) -> None:
        self._map = bpf_map
        self._left: dict[bytes, bytes] | None = None
        """What the map should hold since it was last read: comparing bytes costs a hundredth of reading values."""

    async def read(self) -> Mapping[K, V] | None:
        """All entries; None when they are as this driver has left them."""
        found = dict(self._map.raw_items())
        if found == self._left:
            return None
        self._left = found
        return self._map.decoded(found.items())

    async def put(self, key: K, value: V) -> None:
        """Raises Exhausted when the map is full."""
        self._map.put(key, value)
        if self._left is not None:
            self._left[encode(key)] = encode(value)

    async def delete(self, key: K) -> None:
        """No error when absent."""
        self._map.delete(key)
        if self._left is not None:
            self._left.pop(encode(key), None)


class RouteDriver:
    """The node's routes that carry our protocol number."""

    def __init__(self, thread: KernelThread, netlink: Netlink) -> None:
        self._thread = thread
        self._netlink = netlink

    async def read(self) -> Mapping[Network, RouteSpec]:
        """Ours only."""
        return await self._thread.run(self._netlink.routes)

    async def put_all(self, entries: Mapping[Network, RouteSpec]) -> Mapping[Network, NetloomError]:
        """Add or replace; the errors of those that were refused."""
        return await self._thread.run(self._netlink.put_routes, tuple(entries.values()))

    async def delete_all(self, keys: Iterable[Network]) -> None:
        """No error for those that are absent."""
        await self._thread.run(self._netlink.delete_routes, tuple(keys))
