"""``netctl bgp``."""

from __future__ import annotations

import click

from netloom.cli.kit import Client, Group, output_option, show, with_agent
from netloom_bgp import cli_text

ROUTE_VIEWS = ("best", "available", "advertised")

_peer_option = click.option("--peer", metavar="ADDRESS", help="Of this peer alone.")


@click.group(cls=Group)
def bgp() -> None:
    """Show BGP sessions, the routes they carry, and what happened to them."""


@bgp.command("peers", examples=("netctl bgp peers", "netctl bgp peers --peer 192.0.2.2 -o json"))
@_peer_option
@output_option
@with_agent
def peers(client: Client, /, peer: str | None, form: str) -> None:
    """Show the peers of the node and how their sessions fare."""
    show(client.get("plugins", "bgp", "peers", query=_query(peer=peer)), form, cli_text.peers)


@bgp.command("routes", examples=("netctl bgp routes", "netctl bgp routes advertised --peer 192.0.2.2"))
@click.argument("view", type=click.Choice(ROUTE_VIEWS), default="best")
@_peer_option
@click.option("--limit", type=click.IntRange(1), help="Show at most so many.")
@output_option
@with_agent
def routes(client: Client, /, view: str, peer: str | None, limit: int | None, form: str) -> None:
    """Show the best routes, those available from peers, or those advertised to them."""
    asked = _query(view=view, peer=peer, limit=None if limit is None else str(limit))
    show(client.get("plugins", "bgp", "routes", query=asked), form, cli_text.routes)


@bgp.command("events", examples=("netctl bgp events",))
@output_option
@with_agent
def events(client: Client, /, form: str) -> None:
    """Show what happened to sessions, links and the speaker, the oldest first."""
    show(client.get("plugins", "bgp", "events"), form, cli_text.events)


def _query(**parameters: str | None) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parameters.items() if value is not None]
