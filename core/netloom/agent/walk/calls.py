"""What programs asked of the kernel during a walk, in words and decoded values. Pure."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import astuple, fields
from ipaddress import IPv4Address, IPv6Address
from itertools import groupby
from typing import Any

from netloom.bpf.instrument import TUNNEL_KEY_BYTES
from netloom.bpf.twin import NotedCall
from netloom.datapath.layout import decode
from netloom.datapath.maps import MapSpec
from netloom.model.address import Address
from netloom.model.walk import Call, Stage

NameOf = Callable[[int], str]
"""Name of a device by its index."""

_TUNNEL_KEY = struct.Struct("=I16sBBHI16s")
"""``struct bpf_tunnel_key``: VNI, remote address, tos, ttl, port, label, local address (linux/bpf.h)."""
_TUNINFO_IPV6 = 1
_INGRESS = 1
_FIB = struct.Struct("=BBHHHI4x16s16s4x6s6s")
"""``struct bpf_fib_lookup``: family, protocol, ports, length, ifindex, addresses, MAC addresses from and to."""
_FIB_RESULTS = {
    0: "found",
    1: "blackhole",
    2: "unreachable",
    3: "prohibited",
    4: "not to be forwarded",
    5: "forwarding is off",
    6: "needs lightweight tunnel",
    7: "no neighbour entry",
    8: "needs fragments",
    9: "no source address",
}
"""``BPF_FIB_LKUP_RET_*`` (linux/bpf.h)."""


def stages(calls: tuple[NotedCall, ...], specs: Mapping[str, MapSpec[Any, Any]], name_of: NameOf) -> tuple[Stage, ...]:
    """Calls by the program that made them, in the order in which programs ran."""
    specs = {**specs, **{spec.inner.name: spec.inner for spec in specs.values() if spec.inner}}
    return tuple(
        Stage(program=program, calls=tuple(_call(item, specs, name_of) for item in made))
        for program, made in groupby(calls, lambda item: item.program)
    )


def tunnel_key(raw: bytes, *, is_ipv6: bool) -> tuple[int, Address]:
    """VNI and remote address of a ``struct bpf_tunnel_key``, which may be cut short."""
    whole = raw[:TUNNEL_KEY_BYTES].ljust(TUNNEL_KEY_BYTES, b"\0")
    vni, remote, *_ = _TUNNEL_KEY.unpack(whole)
    return vni, IPv6Address(remote) if is_ipv6 else IPv4Address(int.from_bytes(whole[4:8], sys.byteorder))


def pack_tunnel_key(vni: int, remote: Address, ttl: int) -> bytes:
    """Inverse of :func:`tunnel_key`: as a tunnel device keeps it beside a packet it received."""
    raw = remote.packed if isinstance(remote, IPv6Address) else int(remote).to_bytes(4, sys.byteorder).ljust(16, b"\0")
    return _TUNNEL_KEY.pack(vni, raw, 0, ttl, 0, 0, bytes(16))


def _call(call: NotedCall, specs: Mapping[str, MapSpec[Any, Any]], name_of: NameOf) -> Call:
    spec = specs.get(call.map)
    key = decode(spec.key, call.before) if spec and len(call.before) == spec.key_bytes else None
    value = decode(spec.value, call.after) if spec and call.after and len(call.after) == spec.value_bytes else None
    return Call(
        helper=call.helper.name,
        text=_map_text(call, key, value) if spec else _text(call, name_of),
        map=call.map,
        key=key,
        value=value,
        result=0 if spec and call.helper.name == "map_lookup_elem" else call.result,
        made=call.made,
    )


def _map_text(call: NotedCall, key: Any, value: Any) -> str:
    where = f"{call.map}[{_short(key)}]"
    if call.helper.name != "map_lookup_elem":
        return f"{call.helper.name} {where}"
    if not call.result:
        return f"{where} has nothing"
    return f"{where} = {_worded(value)}" if value is not None else f"{where} found"


def _text(call: NotedCall, name_of: NameOf) -> str:
    described = _DESCRIBED.get(call.helper.name)
    words = described(call, name_of) if described else f"{call.helper.name} gave {call.result}"
    return words if call.made else f"{words} (not made: it would reach beyond this packet)"


def _redirect(call: NotedCall, name_of: NameOf) -> str:
    entering = " as received by it" if call.arguments[1] & _INGRESS else ""
    return f"redirect to {name_of(call.arguments[0] & 0xFFFFFFFF)}{entering}"


def _redirect_peer(call: NotedCall, name_of: NameOf) -> str:
    return f"redirect_peer to the other end of {name_of(call.arguments[0] & 0xFFFFFFFF)}"


def _redirect_neigh(call: NotedCall, name_of: NameOf) -> str:
    return f"redirect_neigh out of {name_of(call.arguments[0] & 0xFFFFFFFF)}"


def _set_tunnel_key(call: NotedCall, _name_of: NameOf) -> str:
    vni, remote = tunnel_key(call.before, is_ipv6=bool(call.arguments[3] & _TUNINFO_IPV6))
    return f"tunnel key: VNI {vni} to {remote}"


def _get_tunnel_key(call: NotedCall, _name_of: NameOf) -> str:
    if call.result:
        return f"tunnel key: none of that family (error {-call.result})"
    vni, remote = tunnel_key(call.after, is_ipv6=bool(call.arguments[3] & _TUNINFO_IPV6))
    return f"tunnel key: VNI {vni} from {remote}"


def _fib_lookup(call: NotedCall, name_of: NameOf) -> str:
    outcome = _FIB_RESULTS.get(call.result, f"error {call.result}")
    if call.result or len(call.after) < _FIB.size:
        return f"fib_lookup: {outcome}"
    *_, ifindex, _source, _destination, _from, to = _FIB.unpack_from(call.after)
    return f"fib_lookup: out of {name_of(ifindex)} to {to.hex(':')}"


def _store_bytes(call: NotedCall, _name_of: NameOf) -> str:
    return f"skb_store_bytes: {call.arguments[3]} bytes at {call.arguments[1]}"


def _adjust_room(call: NotedCall, _name_of: NameOf) -> str:
    (grown,) = struct.unpack("=i", struct.pack("=I", call.arguments[1] & 0xFFFFFFFF))
    return f"skb_adjust_room: {grown:+d} bytes" + _failure(call)


def _change_tail(call: NotedCall, _name_of: NameOf) -> str:
    return f"skb_change_tail: to {call.arguments[1] & 0xFFFFFFFF} bytes" + _failure(call)


def _sk_assign(call: NotedCall, _name_of: NameOf) -> str:
    return "sk_assign: for that socket" + _failure(call)


def _failure(call: NotedCall) -> str:
    return f" (refused: error {-call.result})" if call.result < 0 else ""


_DESCRIBED: dict[str, Callable[[NotedCall, NameOf], str]] = {
    "redirect": _redirect,
    "redirect_peer": _redirect_peer,
    "redirect_neigh": _redirect_neigh,
    "skb_set_tunnel_key": _set_tunnel_key,
    "skb_get_tunnel_key": _get_tunnel_key,
    "fib_lookup": _fib_lookup,
    "skb_store_bytes": _store_bytes,
    "skb_adjust_room": _adjust_room,
    "skb_change_tail": _change_tail,
    "sk_assign": _sk_assign,
}


def _short(key: Any) -> str:
    """A key of one field is that field."""
    if key is None:
        return "?"
    parts = astuple(key)
    return _plain(parts[0]) if len(parts) == 1 else _worded(key)


def _worded(value: Any) -> str:
    """In its own words if it has any."""
    return str(value) if "__str__" in vars(type(value)) else _named(value)


def _named(value: Any) -> str:
    return " ".join(f"{field.name}={_plain(getattr(value, field.name))}" for field in fields(value))


def _plain(value: Any) -> str:
    return value.hex(":") if isinstance(value, bytes) else str(value)
