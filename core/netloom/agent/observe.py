"""Looking at the data path: maps, counters and programs as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping

from netloom.agent import views
from netloom.agent.connections import Connections
from netloom.agent.datapath import Datapath
from netloom.agent.flow_log import Where
from netloom.agent.monitor import Monitor, Tap
from netloom.agent.tables import TableState
from netloom.agent.witness import Witness
from netloom.bpf.budgets import VERIFIED_INSTRUCTIONS
from netloom.datapath import registry
from netloom.datapath.connections import CONNECTIONS_ANY, CONNECTIONS_TCP
from netloom.datapath.maps import Counter, Index, MapKind
from netloom.datapath.reasons import DropReason
from netloom.datapath.registry import METRICS_DIRECTIONS, metrics_index
from netloom.model.errors import Invalid, NotFound
from netloom.plugins.manager import PluginManager

LOSSES = {Where.RING: DropReason.EVENT_LOST, Where.UNTOLD: DropReason.VERDICT_UNTOLD}
"""By what the kernel counts events that were never told."""
CONNECTION_TABLES = (CONNECTIONS_TCP.name, CONNECTIONS_ANY.name)
UNREADABLE = (MapKind.RINGBUF,)
"""Kinds without entries one could list."""


def map_list(datapath: Datapath, states: Mapping[str, TableState], counted: Mapping[str, int]) -> list[views.Json]:
    """``/v1/maps``; ``states``: how writing to the tables fares; ``counted``: entries that need not be counted now."""
    rows = []
    unused = TableState(errors=0, unwritten=0)
    for name, bpf_map in sorted(datapath.maps.items()):
        spec, status = bpf_map.spec, bpf_map.info(counted.get(name))
        rows.append(
            {
                "name": name,
                "kind": spec.kind.name.lower(),
                "entries": status.entries,
                "max_entries": status.max_entries,
                "key_bytes": spec.key_bytes,
                "value_bytes": spec.value_bytes,
                "pin": str(datapath.pin_of(name)),
                "purpose": spec.purpose,
                "errors": states.get(name, unused).errors,
                "unwritten": states.get(name, unused).unwritten,
            }
        )
    return rows


def map_dump(datapath: Datapath, name: str) -> views.Json:
    """``/v1/maps/{name}``: every entry decoded; per-CPU values are lists. Raises NotFound."""
    bpf_map = datapath.maps.get(name)
    if bpf_map is None or bpf_map.spec.kind in UNREADABLE:
        listable = ", ".join(sorted(n for n, m in datapath.maps.items() if m.spec.kind not in UNREADABLE))
        raise NotFound(f'map "{name[:60]}" cannot be listed; there are {listable}')
    if name in CONNECTION_TABLES:
        raise Invalid(f'map "{name}" may hold hundreds of thousands of connections: see `netctl bpf ct list`')
    percpu = bpf_map.spec.kind is MapKind.PERCPU_ARRAY
    items = bpf_map.items_percpu() if percpu else bpf_map.items()
    return {"name": name, "entries": [{"key": views.plain(k), "value": views.plain(v)} for k, v in items.items()]}


def counters(datapath: Datapath) -> dict[int, Counter]:
    """Packet counters summed over CPUs, by index of the ``metrics`` array."""
    return {
        key.index: Counter(sum(item.packets for item in values), sum(item.bytes for item in values))
        for key, values in datapath.maps.of(registry.METRICS).items_percpu().items()
    }


def losses(datapath: Datapath) -> dict[Where, int]:
    """Events that were never told, since the map of counters was made. Costs a few lookups."""
    return {where: _counted(datapath, reason) for where, reason in LOSSES.items()}


def _counted(datapath: Datapath, reason: DropReason) -> int:
    """Packets of a reason in whatever direction, those that have none too."""
    metrics = datapath.maps.of(registry.METRICS)
    indexes = (Index(metrics_index(reason, direction)) for direction in range(METRICS_DIRECTIONS))
    return sum(counter.packets for index in indexes for counter in metrics.get_percpu(index) or ())


def monitor_of(datapath: Datapath, witness: Witness, plugins: PluginManager, size: int) -> Monitor:
    """A monitor of this data path; ``size``: of its log, in flows."""
    tap = Tap(ring=datapath.event_ring(), set_trace=datapath.set_trace, losses=lambda: losses(datapath))
    return Monitor(tap, witness, plugins, size)


def monitor_view(datapath: Datapath, monitor: Monitor) -> views.Json:
    """Who listens, what is kept, and what was lost since the map of counters was made."""
    lost = losses(datapath)
    return {
        "listeners": monitor.listeners,
        "flows": len(monitor.log),
        "lost": lost[Where.RING],
        "untold": lost[Where.UNTOLD],
    }


def traffic(datapath: Datapath, monitor: Monitor, connections: Connections) -> views.Json:
    """Everything about packets in ``/v1/status``."""
    return {
        "monitor": monitor_view(datapath, monitor),
        "connections": connections_view(connections),
        "programs": program_list(datapath),
        "by_stack": _counted(datapath, DropReason.BY_STACK),
    }


def connections_view(connections: Connections) -> views.Json:
    """How the connection tables fare, as the last sweep has found them."""
    last = connections.last
    return {
        "held": connections.held(),
        "removed": connections.removed,
        "swept_at": views.instant(last.at) if last else None,
        "swept_s": round(last.seconds, 3) if last else None,
        "pause_s": connections.pause_s,
    }


def program_list(datapath: Datapath) -> list[views.Json]:
    """Programs at work, with the kernel's tag and the instructions the verifier walked."""
    return [
        {
            "name": program.name,
            "id": program.id,
            "tag": program.tag,
            "instructions": program.verified_insns,
            "budget": VERIFIED_INSTRUCTIONS.get(program.name),
        }
        for program in datapath.generation.programs()
    ]


def ways(datapath: Datapath) -> views.Json:
    """The underlay; whether tunnel packets pass by the tunnel device, and if not, why; how programs hang on devices."""
    found = datapath.plan.mode.tunnel
    tunnel = {
        "device": found.device if found else "",
        "direct": found is not None and not datapath.direct_obstacle,
        "obstacle": datapath.direct_obstacle if found else "",
    }
    devices, pods = datapath.attached_by
    return {"underlay": underlay_view(datapath), "tunnel": tunnel, "attached_by": {"devices": devices, "pods": pods}}


def underlay_view(datapath: Datapath) -> views.Json:
    """How other nodes reach this one."""
    underlay = datapath.underlay
    return {
        "device": underlay.device,
        "ipv4": views.plain(underlay.ipv4),
        "ipv6": views.plain(underlay.ipv6),
        "mtu_bytes": underlay.mtu_bytes,
        "segments": views.plain(underlay.segments),
        "uplinks": [
            {"name": name, "state": "away" if name in datapath.uplinks.away else "there"} for name in underlay.names
        ],
    }
