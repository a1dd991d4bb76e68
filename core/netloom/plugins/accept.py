"""What each hook may return: checks that give the value, or raise Junk with what was found and what was expected.

They run in the plugin's own thread, since looking at somebody else's object can run their code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

from netloom.config.load import NoSection
from netloom.config.schema import check_type
from netloom.datapath.maps import MapSpec
from netloom.datapath.registry import CallSlot
from netloom.model.address import Address, Network
from netloom.plugins.contract import (
    AddressRequest,
    Allocation,
    AttachPoint,
    BpfProgram,
    DeviceSpec,
    Entry,
    Ipam,
    LearnedRoute,
    NetworkMode,
    PluginInfo,
    PoolStatus,
    Reach,
    Role,
    RouteChanges,
    Router,
    RouteSpec,
    RouteWatcher,
    Store,
    StoreEvent,
    Tunnel,
    Version,
    WorkloadKind,
)
from netloom.plugins.guard import Junk
from netloom.plugins.native import NativeCidrs
from netloom.plugins.protocols import L7Protocol

T = TypeVar("T")

NETWORKS = (IPv4Network, IPv6Network)
ADDRESSES = (IPv4Address, IPv6Address)
PROGRAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,14}")
"""BPF_OBJ_NAME_LEN (linux/bpf.h) is 16 with its ending zero."""
_ABSENT = object()
MAX_NEXT_HOPS = 128
"""Of one route: what so many routes of that size need as go to the kernel at once fits into a socket's buffer."""
OPEN_SLOTS = (CallSlot.ENCAP, CallSlot.NATIVE, CallSlot.CUSTOM_FROM_CONTAINER)
"""Slots that plugins may fill; the others are the agent's own."""


def of(expected: type[T], value: Any, what: str = "") -> T:
    """``value``, which must be of type ``expected``."""
    if not isinstance(value, expected):
        raise Junk(f"returned {what and what + ' '}{type(value).__name__}, expected {expected.__name__}")
    return value


def items(expected: type[T], value: Any) -> tuple[T, ...]:
    """``value`` as a tuple; it must be a list or tuple of ``expected``."""
    if not isinstance(value, (tuple, list)):
        raise Junk(f"returned {type(value).__name__}, expected a list or tuple of {expected.__name__}")
    for item in value:
        if not isinstance(item, expected):
            raise Junk(f"returned a list that holds {type(item).__name__}, expected only {expected.__name__}")
    return tuple(value)


def nothing(value: Any) -> None:
    """A notification returns nothing."""
    if value is not None:
        raise Junk(f"returned {type(value).__name__}, expected None")


def implements(protocol: type[T], value: Any) -> T:
    """``value``, which must have every member of ``protocol``."""
    members = [name for name in vars(protocol) if not name.startswith("_")]
    missing = [name for name in members if not _has(value, name, callable(getattr(protocol, name)))]
    if missing:
        found = "None" if value is None else f"an object of type {type(value).__name__}"
        raise Junk(f"returned {found}, expected {protocol.__name__}: it lacks {', '.join(missing)}")
    return value  # type: ignore[no-any-return]


def _has(value: Any, name: str, method: bool) -> bool:
    """Whether ``value`` has a member, without running a property of it."""
    found = inspect.getattr_static(value, name, _ABSENT)
    return found is not _ABSENT and (callable(found) or isinstance(found, (staticmethod, classmethod)) or not method)


def info(value: Any) -> PluginInfo:
    """A PluginInfo whose fields have their types."""
    found = of(PluginInfo, value)
    for name, expected in (
        ("name", str),
        ("summary", str),
        ("role", Role),
        ("contract_min", Version),
        ("contract_max", Version),
    ):
        of(expected, getattr(found, name), f"a PluginInfo whose {name} is")
    return found


def section_type(value: Any) -> type:
    """A dataclass whose every field a config can hold."""
    if not isinstance(value, type):
        raise Junk(f"returned {type(value).__name__}, expected a dataclass (the class, not an instance)")
    try:
        check_type(value)
    except TypeError as error:
        raise Junk(f"returned a type that no config can hold: {error}") from error
    if value is NoSection:
        raise Junk("returned the agent's own NoSection; leave the hook out instead")
    return value


@dataclass(frozen=True, slots=True)
class IpamFacts:
    """An Ipam and what it said of itself at start."""

    ipam: Ipam
    prefixes: tuple[Network, ...]
    gateways: tuple[Address, ...]


def ipam(value: Any) -> IpamFacts:
    """An Ipam with prefixes that do not overlap, and one gateway in each family, inside its prefixes."""
    found = implements(Ipam, value)  # type: ignore[type-abstract]
    prefixes = _typed("prefixes", NETWORKS, found.prefixes)
    gateways = _typed("gateways", ADDRESSES, found.gateways)
    for number, prefix in enumerate(prefixes):
        for other in prefixes[number + 1 :]:
            if prefix.version == other.version and prefix.overlaps(other):
                raise Junk(f"gave prefixes that overlap: {prefix} and {other}")
    if sorted(gateway.version for gateway in gateways) != sorted({prefix.version for prefix in prefixes}):
        raise Junk(f"gave gateways {_list(gateways)} for prefixes {_list(prefixes)}, expected one for each IP version")
    for gateway in gateways:
        if not holds(prefixes, gateway):
            raise Junk(f"gave gateway {gateway}, which is in none of its prefixes {_list(prefixes)}")
    return IpamFacts(found, prefixes, gateways)


def holds(prefixes: Iterable[Network], address: Address) -> bool:
    """Whether any prefix holds the address."""
    return any(address in prefix for prefix in prefixes if prefix.version == address.version)


def allocation(facts: IpamFacts, request: AddressRequest, value: Any) -> Allocation:
    """What was requested: one address for each IP version the IPAM serves, in its prefixes, no gateway, all wanted."""
    found = of(Allocation, value)
    if found.owner != request.owner:
        raise Junk(f'returned an allocation of "{found.owner}", expected one of "{request.owner}"')
    addresses = _typed("addresses", ADDRESSES, found.addresses)
    if sorted(address.version for address in addresses) != sorted({prefix.version for prefix in facts.prefixes}):
        raise Junk(f"returned addresses {_list(addresses)}, expected one for each IP version of its prefixes")
    for address in addresses:
        if not holds(facts.prefixes, address) or address in facts.gateways:
            raise Junk(f"returned {address}, expected an address of its prefixes that is no gateway")
    for address in request.wanted:
        if address not in addresses:
            raise Junk(f"returned {_list(addresses)}, expected {address} among them, which was wanted, or an error")
    return found


def pools(value: Any) -> tuple[PoolStatus, ...]:
    """Pool states with numbers that can be."""
    found = items(PoolStatus, value)
    for pool in found:
        if not isinstance(pool.prefix, NETWORKS) or not 0 <= pool.used <= pool.capacity:
            raise Junk(f"returned a pool {pool.prefix} with {pool.used} of {pool.capacity} used")
    return found


@dataclass(frozen=True, slots=True)
class ModeFacts:
    """A NetworkMode and what it said of itself at start."""

    mode: NetworkMode
    workload: WorkloadKind
    tunnel: Tunnel | None
    devices: tuple[DeviceSpec, ...]
    native_cidrs: tuple[Network, ...] = ()
    """Of a mode that is NativeCidrs."""


def mode(value: Any) -> ModeFacts:
    """A NetworkMode whose tunnel, if any, is one of its devices."""
    found = implements(NetworkMode, value)  # type: ignore[type-abstract]
    tunnel = found.tunnel
    devices = items(DeviceSpec, found.devices())
    if tunnel is not None:
        of(Tunnel, tunnel, "a tunnel that is")
        if tunnel.device not in {device.name for device in devices}:
            raise Junk(f'gave tunnel device "{tunnel.device}", which is none of its devices')
    for device in devices:
        if not 1 <= len(device.name) <= 15:
            raise Junk(f'gave a device "{device.name}", expected a name of 1 to 15 characters')
    cidrs = _typed("native_cidrs", NETWORKS, found.native_cidrs) if isinstance(found, NativeCidrs) else ()
    return ModeFacts(found, of(WorkloadKind, found.workload, "a workload that is"), tunnel, devices, cidrs)


def mtu(value: Any) -> int:
    """An MTU that IP allows; 68 is IPv4's least (RFC 791)."""
    if type(value) is not int or not 68 <= value <= 65535:
        raise Junk(f"returned {value!r}"[:80] + ", expected an MTU from 68 to 65535")
    return value


def reach(pod_cidrs: tuple[Network, ...], value: Any) -> Reach:
    """A Reach towards a node with these pod prefixes: tunnels lead to nowhere else."""
    found = of(Reach, value)
    if not isinstance(found.tunnels, Mapping) or not isinstance(found.peers, (frozenset, set)):
        raise Junk("returned a Reach whose tunnels are no mapping, or whose peers are no set")
    _typed("tunnels", NETWORKS, tuple(found.tunnels))
    _typed("tunnel endpoints", ADDRESSES, tuple(found.tunnels.values()))
    _typed("peers", ADDRESSES, tuple(found.peers))
    if not isinstance(found.native, (frozenset, set)):
        raise Junk("returned a Reach whose native prefixes are no set")
    _typed("native prefixes", NETWORKS, tuple(found.native))
    for route in items(RouteSpec, found.routes):
        _next_hops(route)
    if both := found.native & found.tunnels.keys():
        raise Junk(f"returned {_list(sorted(both, key=str))} as reached by a tunnel and natively at once")
    for prefix in found.tunnels:
        if not any(_within(prefix, cidr) for cidr in pod_cidrs):
            raise Junk(f"returned a tunnel for {prefix}, which is not in the node's {_list(pod_cidrs)}")
    return found


def _within(prefix: Network, whole: Network) -> bool:
    return prefix.version == whole.version and prefix.subnet_of(whole)  # type: ignore[arg-type]


def store(value: Any) -> Store:
    """A Store."""
    return implements(Store, value)  # type: ignore[type-abstract]


def routers(value: Any) -> tuple[Router | RouteWatcher, ...]:
    """Routers, of which each has ``changes`` or ``learned``."""
    if not isinstance(value, (tuple, list)):
        raise Junk(f"returned {type(value).__name__}, expected a list or tuple of Router")
    return tuple(_router(item) for item in value)


def _router(value: Any) -> Router | RouteWatcher:
    if _has(value, "changes", method=True):
        return implements(RouteWatcher, value)  # type: ignore[type-abstract]
    return implements(Router, value)  # type: ignore[type-abstract]


def learned(value: Any) -> tuple[LearnedRoute, ...]:
    """Learnt routes with prefixes and addresses of one family each."""
    found = items(LearnedRoute, value)
    for route in found:
        _next_hops(route)
    return found


def route_changes(value: Any) -> RouteChanges | None:
    """One batch of changes, or None at their end."""
    if value is None:
        return None
    found = of(RouteChanges, value)
    _typed("prefixes that are gone", NETWORKS, found.gone)
    learned(found.routes)
    return found


def _next_hops(route: LearnedRoute | RouteSpec) -> None:
    """Raises Junk unless the route leads by some addresses of its own IP version."""
    hops = (*(() if route.via is None else (route.via,)), *route.more)
    whole = isinstance(route.prefix, NETWORKS) and all(isinstance(hop, ADDRESSES) for hop in hops)
    if not whole or (isinstance(route, LearnedRoute) and route.via is None):
        raise Junk(f"returned a route {route.prefix!r} via {hops!r}"[:120] + ", expected a prefix and an address")
    if any(hop.version != route.prefix.version for hop in hops):
        raise Junk(f"returned a route {route.prefix} via {_list(hops)}, expected next hops of the same IP version")
    if len(hops) > MAX_NEXT_HOPS:
        raise Junk(f"returned a route {route.prefix} via {len(hops)} next hops, expected at most {MAX_NEXT_HOPS}")


def protocols(value: Any) -> tuple[L7Protocol, ...]:
    """Application protocols with a name, a readable rule type, and something that makes parsers."""
    found = items(L7Protocol, value)
    for protocol in found:
        of(str, protocol.name, "a protocol whose name is")
        section_type(protocol.rule_type)
        for name in ("matcher", "describe", "new_parser"):
            if not callable(getattr(protocol, name)):
                raise Junk(f'returned protocol "{protocol.name}" whose {name} cannot be called')
        if protocol.recall is not None and not callable(protocol.recall):
            raise Junk(f'returned protocol "{protocol.name}" whose recall cannot be called')
    return found


def programs(value: Any) -> tuple[BpfProgram, ...]:
    """EBPF programs for places that are open to plugins."""
    found = items(BpfProgram, value)
    for program in found:
        if not isinstance(program.name, str) or not PROGRAM_NAME.fullmatch(program.name):
            raise Junk(f"returned a program named {program.name!r}"[:80] + ", expected up to 15 of a-z, 0-9 and _")
        of(str, program.source, f'program "{program.name}" whose source is')
        items(MapSpec, program.maps)
        target = program.target
        if isinstance(target, AttachPoint):
            if target.direction not in ("ingress", "egress"):
                raise Junk(f'returned program "{program.name}" for direction {target.direction!r}')
        elif target not in OPEN_SLOTS or not isinstance(target, CallSlot):
            slots = ", ".join(slot.name for slot in OPEN_SLOTS)
            raise Junk(f'returned program "{program.name}" for {target!r}, expected an AttachPoint or slot {slots}')
    return found


def entry(value: Any) -> Entry | None:
    """An Entry, or None."""
    return None if value is None else of(Entry, value)


def entries(value: Any) -> tuple[Entry, ...]:
    """Entries."""
    return items(Entry, value)


def iterator(value: Any) -> Any:
    """Something whose next item can be awaited."""
    if not hasattr(value, "__anext__"):
        raise Junk(f"returned {type(value).__name__}, expected an asynchronous iterator")
    return value


def events_or_end(value: Any) -> tuple[StoreEvent, ...] | None:
    """One batch of a watch, or None at its end."""
    return None if value is None else items(StoreEvent, value)


def _typed(what: str, expected: tuple[type, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (tuple, list)) or not all(isinstance(item, expected) for item in value):
        raise Junk(f"gave {what} that are no tuple of {' and '.join(cls.__name__ for cls in expected)}")
    return tuple(value)


def _list(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values) or "(none)"
