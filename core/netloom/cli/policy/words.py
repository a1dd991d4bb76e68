"""Names and services in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

View = dict[str, Any]

EVERYTHING = "everything"
NOTHING = "nothing"
_LAST = {"icmp": 255, "icmp6": 255, "other": 0}
_LAST_PORT = 65535
BY_PROXY = "by proxy"
_HOW = {"audited": "audited", "by_proxy": BY_PROXY}


def full_name(view: View) -> str:
    """As a policy is named everywhere: ``CiliumNetworkPolicy/shop/web``."""
    return "/".join(part for part in (view["kind"], view["namespace"], view["name"]) if part)


def reach_text(reach: View) -> str:
    """``tcp 80``, ``udp 1000-2000``, ``icmp``, ``everything``."""
    protocol, first, last = reach["protocol"], reach["first"], reach["last"]
    if protocol == "any":
        words = EVERYTHING
    elif protocol == "other":
        words = "other protocols"
    elif (first, last) == (0, _LAST.get(protocol, _LAST_PORT)):
        words = protocol
    else:
        words = f"{protocol} {first}" if first == last else f"{protocol} {first}-{last}"
    said = [word for name, word in _HOW.items() if reach[name]]
    return f"{words} ({', '.join(said)})" if said else words


def reaches_text(found: Iterable[View]) -> str:
    """All of them, or "nothing"; neighbours of one protocol share its name."""
    groups: dict[tuple[str, str], list[str]] = {}
    for reach in found:
        plain = reach_text(reach | dict.fromkeys(_HOW, False))
        how = reach_text(reach).removeprefix(plain)
        groups.setdefault((plain.partition(" ")[0], how), []).append(plain)
    words = []
    for (protocol, how), texts in groups.items():
        same = [text.removeprefix(f"{protocol} ") for text in texts]
        joined = f"{protocol} {' '.join(same)}" if len(texts) > 1 else texts[0]
        words.append(joined + how)
    return ", ".join(words) or NOTHING
