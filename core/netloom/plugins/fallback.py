"""The network modes of a node as one: each other node is reached by the first mode that reaches it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from netloom.model.address import Family, Network
from netloom.model.errors import Invalid, PluginError
from netloom.model.node import Node
from netloom.plugins.contract import DeviceSpec, NetworkMode, Reach, Tunnel, WorkloadKind
from netloom.plugins.native import NativeCidrs


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How another node is reached."""

    mode: str
    """Name of the mode that reaches it."""
    reach: Reach
    passed_over: tuple[str, ...] = ()
    """Why the modes before that one do not, sentences."""


class Modes:
    """A NetworkMode made of one, or of two of which the second is the fallback."""

    def __init__(self, modes: Mapping[str, NetworkMode]) -> None:
        """In the order of preference, by name. Raises PluginError when they cannot be at work side by side."""
        self._modes = dict(modes)
        self._first = next(iter(self._modes.values()))
        self._own_mtu_bytes: dict[str, int] = {}
        _refuse_discord(self._modes)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the modes, the preferred one first."""
        return tuple(self._modes)

    @property
    def workload(self) -> WorkloadKind:
        """As all of them make it."""
        return self._first.workload

    @property
    def tunnel(self) -> Tunnel | None:
        """Of the one that has one."""
        return next((mode.tunnel for mode in self._modes.values() if mode.tunnel is not None), None)

    @property
    def tunnel_mtu_bytes(self) -> int:
        """Largest IP packet that goes by the tunnel, once :meth:`mtu_bytes` was asked; 0 without a tunnel."""
        return next((self._own_mtu_bytes.get(name, 0) for name, mode in self._modes.items() if mode.tunnel), 0)

    @property
    def native_cidrs(self) -> tuple[Network, ...]:
        """Of all modes that have some: prefixes of the world to which pods go with their own addresses."""
        modes = [mode for mode in self._modes.values() if isinstance(mode, NativeCidrs)]
        return tuple(dict.fromkeys(prefix for mode in modes for prefix in mode.native_cidrs))

    def mtu_bytes(self, underlay_mtu_bytes: int, underlay: Family) -> int:
        """The largest: a workload is told by ICMP of what takes less. Raises Invalid.

        Call it before :meth:`reach`: routes are given the MTU of their own mode.
        """
        self._own_mtu_bytes = {name: mode.mtu_bytes(underlay_mtu_bytes, underlay) for name, mode in self._modes.items()}
        return max(self._own_mtu_bytes.values())

    def devices(self) -> tuple[DeviceSpec, ...]:
        """Those of all modes."""
        return tuple(device for mode in self._modes.values() for device in mode.devices())

    def reach(self, local: Node, remote: Node, mtu_bytes: int) -> Reach:
        """As :meth:`way`, without saying by what."""
        return self.way(local, remote, mtu_bytes).reach

    def way(self, local: Node, remote: Node, mtu_bytes: int, only: Collection[str] = ()) -> Way:
        """By the first mode that reaches it, or the first of ``only``. Raises Invalid with the reasons of all of them.

        Tunnel packets of a node are believed whichever way leads to it: two nodes choose each for itself, and one of
        them sooner than the other when something changes.
        """
        found: Way | None = None
        refused: list[str] = []
        for name, mode in self._modes.items():
            if only and name not in only:
                refused.append(f"the programs of mode {name} are not at work yet")
                continue
            try:
                reach = mode.reach(local, remote, self._own_mtu_bytes.get(name, mtu_bytes))
            except Invalid as error:
                refused.append(str(error))
                continue
            if found is None:
                found = Way(mode=name, reach=reach, passed_over=tuple(refused))
            else:
                found = replace(found, reach=replace(found.reach, peers=found.reach.peers | reach.peers))
        if found is None:
            raise Invalid("; ".join(refused))
        return found


def _refuse_discord(modes: Mapping[str, NetworkMode]) -> None:
    """Raises PluginError."""
    tunnels = [name for name, mode in modes.items() if mode.tunnel is not None]
    if len(tunnels) > 1:
        raise PluginError(
            tunnels[1], f'has a tunnel, and so has "{tunnels[0]}"; choose a fallback_mode without one, or none'
        )
    first, *others = modes
    for name in others:
        if modes[name].workload is not modes[first].workload:
            raise PluginError(
                name,
                f"makes workload interfaces of kind {modes[name].workload}, "
                f'but "{first}" makes {modes[first].workload}; choose another fallback_mode',
            )
    owners: dict[str, str] = {}
    for name, mode in modes.items():
        for device in mode.devices():
            if device.name in owners:
                raise PluginError(
                    name,
                    f'wants device "{device.name}", and so does "{owners[device.name]}"; choose another fallback_mode',
                )
            owners[device.name] = name
