"""``netctl status``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.options import output_option, with_agent
from netloom.cli.output import pairs, show, table
from netloom.cli.prefilter import places

UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """The two largest units: ``3m12s``, ``2d4h``."""
    rest = int(seconds)
    parts: list[str] = []
    for name, size in UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{name}")
    return "".join(parts[:2]) or "0s"


def render(view: dict[str, Any], *, verbose: bool = False) -> str:
    """The answer of ``/v1/status`` for people."""
    text = pairs(_lines(view))
    if verbose:
        text += "\n\n" + _controllers(view["controllers"]) + "\n\n" + _programs(view["programs"])
    return text


def _lines(view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    underlay, store, plugins = view["underlay"], view["store"], view["plugins"]
    controllers, monitor = view["controllers"], view["monitor"]
    healthy = sum(controller["state"] == "ok" for controller in controllers)
    yield "Netloom", f"{_word(view['state'])}   {view['version']}, up {duration(view['uptime_s'])}"
    yield "Node", view["node"]
    yield "Kernel", view["kernel"]
    yield "Store", _join(_word(store["state"]), store["plugin"], store["error"])
    fallback = f", else {view['fallback_mode']}" if view["fallback_mode"] else ""
    yield "Network mode", f"{view['network_mode']}{fallback}, MTU {view['mtu_bytes']}"
    yield "Underlay", _join(*(underlay[key] for key in ("device", "ipv4", "ipv6")))
    yield from _uplinks(underlay["uplinks"])
    yield "Tunnel", _tunnel(view["tunnel"])
    yield "IPAM", "\n".join(_pool(pool) for pool in view["ipam"])
    yield "Masquerading", "Enabled" if view["masquerade"] else "Disabled"
    yield "Prefilter", _prefilter(view["prefilter"])
    yield from _proxy(view["proxy"])
    yield "Nodes", _nodes(view)
    yield "Endpoints", str(view["endpoints"])
    yield "Identities", str(view["identities"])
    yield "Policies", "\n".join(_policies(view["policy"]))
    yield "Programs", f"{len(view['programs'])} loaded, attached by {_ways(view['attached_by'])}"
    yield "Plugins", f"{plugins['active']} active, {plugins['failed']} failed"
    lost = f"{monitor['lost']} events lost, {monitor['untold']} verdicts untold"
    yield "Monitor", f"{monitor['listeners']} listening, {monitor['flows']} flows kept, {lost}"
    yield "Connections", _connections(view["connections"])
    yield "Repairs", _repairs(view["repairs"])
    if view["unwritten"]:
        yield "Not written", ", ".join(f"{count} entries of {name}" for name, count in view["unwritten"].items())
    if view["missing"]:
        yield "Missing", f"{', '.join(view['missing'])}: somebody deleted what a container is attached by; detach it"
    yield "Controllers", f"{healthy}/{len(controllers)} healthy"
    for controller in controllers:
        if controller["state"] != "ok":
            yield f"  {controller['name']}", f"{controller['failures']} failures: {controller['last_error']}"


def _word(state: str) -> str:
    return "Ok" if state == "ok" else state.capitalize()


def _join(*parts: str | None) -> str:
    return "   ".join(part for part in parts if part)


def _pool(pool: dict[str, Any]) -> str:
    family = "IPv6" if ":" in pool["prefix"] else "IPv4"
    return f"{family}: {pool['used']}/{pool['capacity']} allocated from {pool['prefix']}"


def _uplinks(uplinks: list[dict[str, str]]) -> Iterator[tuple[str, str]]:
    """When there is more to say than that the underlay device is there."""
    if len(uplinks) > 1 or any(uplink["state"] == "away" for uplink in uplinks):
        yield (
            "Uplinks",
            ", ".join(uplink["name"] + (" (away)" if uplink["state"] == "away" else "") for uplink in uplinks),
        )


def _tunnel(tunnel: dict[str, Any]) -> str:
    if not tunnel["device"]:
        return "None"
    return "Direct" if tunnel["direct"] else f"By the tunnel device: {tunnel['obstacle']}"


def _ways(ways: dict[str, str]) -> str:
    return ways["devices"] + ("" if ways["pods"] == ways["devices"] else f", to pods' interfaces by {ways['pods']}")


def _prefilter(view: dict[str, Any]) -> str:
    """How many prefixes are refused, and where; what keeps that from being so."""
    text = f"{view['count']} prefixes, revision {view['revision']}" if view["count"] else "Off"
    if where := places(view):
        text += f", {where}"
    obstacles = (f"not native on {each['name']}: {each['obstacle']}" for each in view["devices"] if each["obstacle"])
    reasons = (*obstacles, view["problem"], *view["warnings"])
    return "\n".join([text, *filter(None, reasons)])


def _proxy(view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Once there was anything to judge."""
    if view["state"] == "off":
        return
    count = sum(row["count"] for row in view["requests"])
    text = f"{_word(view['state'])}, {view['connections']} connections, {count} requests"
    draining = f", {view['draining']} draining" if view["draining"] else ""
    yield "Proxy", "\n".join([text + draining, *view["problems"]])


def _nodes(view: dict[str, Any]) -> str:
    """How many are reached, by what, and which are not."""
    count, unreachable = view["nodes"], view["unreachable"]
    ways = ", ".join(f"{number} by {mode}" for mode, number in view["reached_by"].items())
    text = f"{count - len(unreachable)}/{count} reachable{f' ({ways})' if ways else ''}"
    if view["by_stack"]:
        text += f", {view['by_stack']} packets left to the host's stack"
    return f"{text}; not {', '.join(unreachable)}: see `netctl node list`" if unreachable else text


def _policies(policy: dict[str, Any]) -> Iterator[str]:
    """How many, how far they are enforced, and what is not."""
    revision, enforced = policy["revision"], policy["enforced_revision"]
    pending = "" if revision == enforced else f", enforced is {enforced}"
    yield f"{policy['policies']}, revision {revision}{pending}"
    if policy["enforcement"] != "default":
        yield f"Enforcement: {policy['enforcement']}"
    if policy["audit"]:
        yield "Audit: what policies would deny passes, and is reported"
    for key, reason in policy["unreadable"].items():
        yield f"No policy can be read at {key} of the store: {reason}"
    for item in policy["closed"]:
        yield f"Identity {item['identity']} is closed: {item['reason']}"


def _connections(view: dict[str, Any]) -> str:
    """As the last sweep has found them."""
    if not view["swept_at"]:
        return "Not counted yet"
    return f"{sum(view['held'].values())} at {view['swept_at']}, {view['removed']} removed since the start"


def _repairs(repairs: dict[str, Any]) -> str:
    """How many, and the last ones."""
    lines = [str(sum(repairs["counts"].values()))]
    lines += [f"{item['at']}   {item['name']}: {item['action']}" for item in repairs["last"]]
    return "\n".join(lines)


def _controllers(controllers: list[dict[str, Any]]) -> str:
    names = ("name", "last_success_at", "failures", "runs", "last_error")
    rows = (["-" if item[name] in (None, "") else item[name] for name in names] for item in controllers)
    return table(("Controller", "Last success", "Failures", "Runs", "Last error"), rows)


def _programs(programs: list[dict[str, Any]]) -> str:
    return table(
        ("Program", "Tag", "Instructions", "Budget"),
        ((item["name"], item["tag"], item["instructions"], item["budget"] or "-") for item in programs),
    )


@click.command(cls=Command, examples=("netctl status", "netctl status --verbose", "netctl status -o json | jq .ipam"))
@click.option("-v", "--verbose", is_flag=True, help="Also list controllers and programs.")
@output_option
@with_agent
def status(client: Client, /, form: str, *, verbose: bool) -> None:
    """Show how the agent of the node fares."""
    show(client.get("status"), form, lambda view: render(view, verbose=verbose))
