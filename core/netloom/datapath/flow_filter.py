"""Which flows somebody wants to see: conditions by name and text, as they stand in a query or on a command line.

Conditions of one name are alternatives; those of different names must all hold; what ``not`` names must not. Those
about an end of a flow hold for either end, with ``from-`` for its source, with ``to-`` for its destination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import Final, NamedTuple

from netloom.datapath.events import kinds_of
from netloom.model.address import Address
from netloom.model.errors import Invalid
from netloom.model.flow import Flow, FlowKind, FlowVerdict
from netloom.model.identity import Reserved
from netloom.model.labels import Labels
from netloom.model.policy import ANY_SOURCE, PolicyName

NOT: Final = "not"
DEFAULT_KINDS: Final = frozenset({FlowKind.DROP, FlowKind.VERDICT, FlowKind.L7})
_PROTOCOLS = {"icmpv4": "icmp", "icmpv6": "icmp6", "1": "icmp", "6": "tcp", "17": "udp", "58": "icmp6", "132": "sctp"}
"""Other names of protocols, by those of flows."""
_RESERVED = {item.label.key: item.value for item in Reserved}


class End(NamedTuple):
    """One end of a flow."""

    pod: str
    labels: Labels
    identity: int
    address: Address | None
    port: int | None


Holds = Callable[[Flow], bool]
HoldsAt = Callable[[End], bool]


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Says of each flow whether it is wanted. Pure."""

    kinds: frozenset[FlowKind] = DEFAULT_KINDS
    wanted: tuple[tuple[Holds, ...], ...] = ()
    """Of each of these, one must hold."""
    unwanted: tuple[Holds, ...] = ()

    def may_want(self, raw: bytes) -> bool:
        """What a record's header tells already, so that most need not be decoded."""
        return not self.kinds.isdisjoint(kinds_of(raw))

    def wants(self, flow: Flow) -> bool:
        """Whether it is to be shown; of which kind is :meth:`may_want`'s question."""
        return all(any(holds(flow) for holds in choice) for choice in self.wanted) and not any(
            holds(flow) for holds in self.unwanted
        )


def read_filter(conditions: Iterable[tuple[str, str]]) -> FlowFilter:
    """A filter of (name, text); raises :class:`Invalid` for a name or text that means nothing."""
    kinds: set[FlowKind] = set()
    wanted: dict[str, list[Holds]] = {}
    unwanted: list[Holds] = []
    for name, text in conditions:
        if name == "type":
            kinds |= {_kind(word) for word in text.split(",")}
        elif name == NOT:
            unwanted.append(_condition(*_split(text)))
        else:
            wanted.setdefault(name, []).append(_condition(name, text))
    return FlowFilter(frozenset(kinds) or DEFAULT_KINDS, tuple(map(tuple, wanted.values())), tuple(unwanted))


def _split(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise Invalid(f'not "{text[:60]}": expected a condition, as in not port=53')
    return name, value


def _condition(name: str, text: str) -> Holds:
    side, _, bare = name.rpartition("-")
    if side in _SIDES and bare in _AT_ENDS:
        at_end, sides = _AT_ENDS[bare](text), _SIDES[side]
        return lambda flow: any(at_end(end(flow)) for end in sides)
    if name in _OF_FLOWS:
        return _OF_FLOWS[name](text)
    raise Invalid(f'filter "{name[:60]}" is unknown; expected {", ".join(sorted(CONDITIONS))}')


def source_of(flow: Flow) -> End:
    """Whoever sent the packet."""
    packet = flow.packet
    return End(flow.source_pod, flow.source_labels, flow.source_identity, packet.source, packet.source_port)


def destination_of(flow: Flow) -> End:
    """Whom it was sent to."""
    packet = flow.packet
    identity, port = flow.destination_identity, packet.destination_port
    return End(flow.destination_pod, flow.destination_labels, identity, packet.destination, port)


def _kind(word: str) -> FlowKind:
    try:
        return FlowKind(word)
    except ValueError:
        raise Invalid(f'type "{word[:40]}" is unknown; expected {", ".join(FlowKind)}') from None


def _pod(text: str) -> HoldsAt:
    """``namespace/name``, a name in any namespace, or ``namespace/`` for all of it; * stands for anything."""
    if text.strip("/") == "":
        raise Invalid(f'pod "{text[:80]}" names nobody; expected a name, namespace/name, or namespace/')
    if "/" not in text:
        return lambda end: bool(end.pod) and fnmatchcase(end.pod.rpartition("/")[2], text)
    pattern = text + "*" if text.endswith("/") else text
    return lambda end: fnmatchcase(end.pod, pattern)


def _label(text: str) -> HoldsAt:
    """``[source:]key[=value]``, several with commas between, which must all be there."""
    wanted = [_wanted_label(word.strip()) for word in text.split(",")]
    return lambda end: all(any(one(label.source, label.key, label.value) for label in end.labels) for one in wanted)


def _wanted_label(text: str) -> Callable[[str, str, str], bool]:
    head, sign, value = text.partition("=")
    source, colon, key = head.partition(":") if ":" in head else (ANY_SOURCE, "", head)
    if not key or (colon and not source):
        raise Invalid(f'label "{text[:80]}" names none; expected [source:]key[=value]')
    return lambda of, name, is_: name == key and source in (ANY_SOURCE, of) and (not sign or is_ == value)


def _identity(text: str) -> HoldsAt:
    number = _RESERVED.get(text.removeprefix("reserved:"))
    if number is None:
        number = _number("identity", text, (1 << 32) - 1, "a number, or a reserved one such as world or host")
    return lambda end: end.identity == number


def _ip(text: str) -> HoldsAt:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Invalid(f'ip "{text[:60]}" is neither an address nor a prefix') from None
    return lambda end: end.address is not None and end.address.version == network.version and end.address in network


def _port(text: str) -> HoldsAt:
    number = _number("port", text, 65535, "a number from 0 to 65535")
    return lambda end: end.port == number


def _number(what: str, text: str, last: int, expected: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > last:
        raise Invalid(f'{what} "{text[:40]}": expected {expected}')
    return int(text)


def _verdict(text: str) -> Holds:
    try:
        wanted = FlowVerdict(text.lower())
    except ValueError:
        raise Invalid(f'verdict "{text[:40]}" is unknown; expected {", ".join(FlowVerdict)}') from None
    return lambda flow: flow.verdict is wanted


def _protocol(text: str) -> Holds:
    """Of the packet, or of the application: ``tcp``, ``http``."""
    wanted = _PROTOCOLS.get(text.lower(), text.lower())
    return lambda flow: flow.packet.protocol == wanted or (flow.request is not None and flow.request.protocol == wanted)


def _policy(text: str) -> Holds:
    """``name``, ``namespace/name`` or ``kind/namespace/name``: of a cause, or of a policy that isolates."""
    words = tuple(text.split("/"))

    def is_meant(name: PolicyName) -> bool:
        return tuple(str(name).split("/"))[-len(words) :] == words

    def holds(flow: Flow) -> bool:
        because = flow.because
        return because is not None and any(map(is_meant, {*because.policies, *because.isolated_by}))

    return holds


_SIDES: Final[Mapping[str, tuple[Callable[[Flow], End], ...]]] = {
    "": (source_of, destination_of),
    "from": (source_of,),
    "to": (destination_of,),
}
_AT_ENDS: Final[Mapping[str, Callable[[str], HoldsAt]]] = {
    "pod": _pod,
    "label": _label,
    "identity": _identity,
    "ip": _ip,
    "port": _port,
}
_OF_FLOWS: Final[Mapping[str, Callable[[str], Holds]]] = {
    "verdict": _verdict,
    "protocol": _protocol,
    "policy": _policy,
}
CONDITIONS: Final = (*(f"{side}-{name}".lstrip("-") for name in _AT_ENDS for side in _SIDES), *_OF_FLOWS)
"""Names of all conditions, ``type`` and ``not`` left out."""
