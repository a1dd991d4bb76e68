"""What a plugin can do, in words, from the hooks it has. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

_WORDS: Mapping[str, str] = {
    "netloom_network_mode": "network mode",
    "netloom_ipam": "addresses",
    "netloom_store": "store",
    "netloom_routers": "routes",
    "netloom_l7_parsers": "protocols",
    "netloom_bpf_programs": "programs",
    "netloom_metrics": "metrics",
}
_NOTICES: Mapping[str, str] = {
    "netloom_endpoint_ready": "endpoints",
    "netloom_endpoint_removed": "endpoints",
    "netloom_node_changed": "nodes",
    "netloom_flows": "flows",
}


def capabilities(hooks: Container[str], queries: Sequence[str] = ()) -> tuple[str, ...]:
    """In the order of the contract; ``queries``: names, known once the plugin is active."""
    found = [words for hook, words in _WORDS.items() if hook in hooks]
    if "netloom_queries" in hooks:
        found.append(f"queries: {', '.join(queries)}" if queries else "queries")
    if heard := dict.fromkeys(what for hook, what in _NOTICES.items() if hook in hooks):
        found.append(f"hears of {', '.join(heard)}")
    return tuple(found)
