"""Which of this node's prefixes are announced. Pure."""

from __future__ import annotations

from netloom.model.address import Network
from netloom_bgp.settings import Exports, PrefixMatch


def announced(exports: Exports, prefix: Network) -> bool:
    """Whether the export filters let the prefix go out."""
    for one in exports.filters:
        if not one.prefixes or any(matches(match, prefix) for match in one.prefixes):
            return one.action == "accept"
    return exports.otherwise == "accept"


def matches(match: PrefixMatch, prefix: Network) -> bool:
    """Whether the prefix lies within ``match``'s, with a length that it allows."""
    least, most = match.lengths
    same = prefix.version == match.prefix.version
    return same and least <= prefix.prefixlen <= most and prefix.subnet_of(match.prefix)  # type: ignore[arg-type]
