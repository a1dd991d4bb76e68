"""What ``netctl bgp`` shows: the answers to the plugin's queries as text. Pure."""

from __future__ import annotations

from typing import Any

from netloom.cli.kit import pairs, table

PEERS = ("LOCAL AS", "PEER AS", "PEER ADDRESS", "SESSION", "UPTIME", "FAMILY", "RECEIVED", "ADVERTISED", "BFD")
ROUTES = ("PREFIX", "NEXT HOP", "PEER", "AGE", "ATTRIBUTES")
EVENTS = ("AT", "EVENT", "PEER", "WHAT HAPPENED")
NO_PEERS = 'No peers are configured for this node; name some in "plugins.bgp.peers" of the node config.'
_SPANS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def peers(answer: dict[str, Any]) -> str:
    """A row for each peer, and below what is wrong with speaker and peers."""
    troubles = _troubles(answer)
    if not answer["peers"]:
        return "\n".join([NO_PEERS, *troubles])
    text = table(PEERS, [_peer(peer) for peer in answer["peers"]])
    return "\n".join([text, "", *troubles]) if troubles else text


def routes(answer: dict[str, Any]) -> str:
    """A row for each route; says so when there are more, or none."""
    shown, total = answer["routes"], answer["total"]
    if not shown:
        return f"No {answer['view']} routes."
    text = table(ROUTES, [_route(route) for route in shown])
    rest = (
        f"\n\n{len(shown)} of {total} routes; --limit shows more, --prefix those within one."
        if total > len(shown)
        else ""
    )
    return text + rest


def events(answer: dict[str, Any]) -> str:
    """A row for each, the oldest first."""
    rows = [(event["at"], event["kind"], event["peer"], event["text"]) for event in answer["events"]]
    return table(EVENTS, rows) if rows else "Nothing has happened yet."


def duration(seconds: int | None) -> str:
    """The two largest units, such as ``2h5m``; "-" for none."""
    if seconds is None:
        return "-"
    parts = []
    for unit, size in _SPANS:
        count, seconds = divmod(seconds, size)
        parts.append((count, unit))
    first = next((number for number, (count, _) in enumerate(parts) if count), len(parts) - 1)
    kept = parts[first : first + 2]
    return "".join(f"{count}{unit}" for count, unit in kept if count) or "0s"


def _peer(peer: dict[str, Any]) -> tuple[object, ...]:
    session = f"{peer['state']} (held)" if peer["held"] else peer["state"]
    return (
        peer["local_as"],
        peer["remote_as"],
        peer["address"],
        session,
        duration(peer["uptime_s"]),
        "\n".join(peer["families"]),
        peer["received"],
        peer["advertised"],
        peer["bfd"] or "-",
    )


def _troubles(answer: dict[str, Any]) -> list[str]:
    """One line each; an established session's last error is history."""
    speaker = answer["speaker"]
    found = [("gobgpd", speaker["error"])] if speaker["error"] else []
    for peer in answer["peers"]:
        if peer["held"]:
            found.append((peer["address"], f"not used: {peer['held']}"))
        elif peer["last_error"] and peer["state"] != "established":
            found.append((peer["address"], f"last error at {peer['last_error_at']}: {peer['last_error']}"))
    return [pairs(found)] if found else []


def _route(route: dict[str, Any]) -> tuple[object, ...]:
    attributes = [("as-path", route["as_path"] or "(own)"), ("origin", route["origin"])]
    attributes += [("local-pref", route["local_preference"]), ("med", route["med"])]
    words = [f"{name} {value}" for name, value in attributes if value is not None]
    if route["communities"]:
        words.append("communities " + " ".join(route["communities"]))
    words += [word for word in ("best", "stale") if route[word]]
    hops = "\n".join(route["next_hops"])
    return route["prefix"], hops, route["peer"] or "this node", duration(route["age_s"]), ", ".join(words)
