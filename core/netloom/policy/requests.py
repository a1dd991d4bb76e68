"""``toPorts[].rules``: what requests over some ports must be, and which requests are denied.

In a section that denies, Cilium's own reader knows no ``rules``: it passes them over, and so denies the whole port.
That is why rules that deny stand there: wherever the same object is given to Cilium it denies more than was written,
never less. In a section that allows, or in an annotation, what Cilium passed over would be open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from netloom.config.schema import closest
from netloom.model.errors import Invalid
from netloom.model.policy import Icmp, Ports, Protocol, RequestRule, Requests
from netloom.plugins.protocols import L7Protocol
from netloom.policy.fields import Place, Protocols, Shape, plain

MAX_RULES: Final = 1000
"""Of one list: each is tried on each request."""
_FIELDS: Final = ("http", "kafka", "dns")
"""Lists that are named by their protocol; any other protocol is named by ``l7proto``."""
_RULES: Final = Shape((*_FIELDS, "l7proto", "l7"))
_HOW: Final = "the name of a protocol that a plugin gives: install one, see `netctl plugins list`"


def checks_of(protocols: Iterable[L7Protocol]) -> Protocols:
    """How rules of these protocols are read."""
    return {protocol.name: _check_of(protocol) for protocol in protocols}


def _check_of(protocol: L7Protocol) -> Callable[[Place], None]:
    """A matcher is its plugin's code: whatever it raises is wrong with the rule."""

    def check(place: Place) -> None:
        rule = place.notes.reader.section(protocol.rule_type, place.node, place.path)
        if rule is None:
            return
        try:
            protocol.matcher(rule)
        except Invalid as error:
            place.refuse(f"a rule of {protocol.name} that means something", str(error))
        except Exception as error:  # noqa: BLE001 - a plugin's code
            place.refuse(f"a rule that the plugin of {protocol.name} can use", f"{type(error).__name__}: {error}"[:300])

    return check


def requests(place: Place, ports_at: Place, ports: tuple[Ports | Icmp, ...], *, denies: bool) -> Requests | None:
    """The rules over ``ports``, which stand at ``ports_at``; None when there are none to be read, which is noted."""
    fields = place.fields(_RULES)
    written = [name for name in (*_FIELDS, "l7proto") if name in fields]
    if "l7" in fields and "l7proto" not in fields:
        fields["l7"].refuse(f"l7proto beside it: {_HOW}", "l7 without l7proto")
    for name in written[1:]:
        fields[name].refuse("one protocol for a list of ports", f"{written[0]} and {name}")
    if not written:
        if "l7" not in fields and place.is_mapping:
            place.refuse(f"one of {', '.join(_RULES.known)}", "rules of no protocol")
        return None
    _check_ports(ports_at, ports)
    protocol, listed = _named(fields, written[0])
    _check_known(fields[written[0]], protocol)
    rules = _rules(listed, protocol) if listed else ()
    if denies and not rules:
        (listed or place).refuse(
            "rules: those requests are denied; without the field rules, the whole port", "no rules"
        )
    services = tuple(one for one in ports if isinstance(one, Ports))
    return Requests(protocol, services, rules, place.origin)


def _named(fields: Mapping[str, Place], first: str) -> tuple[str, Place | None]:
    """The protocol, and where its rules stand."""
    if first in _FIELDS:
        return first, fields[first]
    return fields[first].matching(bool, _HOW), fields.get("l7")


def _check_known(place: Place, protocol: str) -> None:
    known = place.notes.protocols
    if known is not None and protocol and protocol not in known:
        listed = ", ".join(sorted(known)) or "none"
        place.refuse(f"{_HOW}; known here: {listed}{closest(protocol[:60], known)}", f'protocol "{protocol[:60]}"')


def _rules(place: Place, protocol: str) -> tuple[RequestRule, ...]:
    known = place.notes.protocols
    check = None if known is None else known.get(protocol)
    found: dict[RequestRule, None] = {}
    for item in place.items(limit=MAX_RULES):
        if check is not None:
            check(item)
        elif not item.is_mapping:
            item.refuse("a mapping of keys and values")
        text = json.dumps(plain(item.node), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        found.setdefault(RequestRule(text, item.origin))
    return tuple(found)


def _check_ports(place: Place, ports: tuple[Ports | Icmp, ...]) -> None:
    """As Cilium: a proxy opens connections of TCP, and which protocol they speak is known of single ports alone."""
    for one in ports:
        if isinstance(one, Ports) and one.protocol is not Protocol.TCP:
            place.refuse(
                "protocol: TCP at each port, since rules are about requests over TCP", f"protocol {one.protocol}"
            )
            return
        if isinstance(one, Ports) and not one.name and one.first == 0:
            place.refuse("ports by number or name, since one protocol is not spoken at all of them", "every port")
            return
