"""``netctl bgp``."""

from __future__ import annotations

from typing import Any

import click

from netloom.cli.kit import Client, Group, output_option, show, with_agent
from netloom_bgp import cli_text
from netloom_bgp.listing import DEFAULT_LIMIT, MAX_LIMIT, VIEWS

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


@bgp.command(
    "routes",
    examples=(
        "netctl bgp routes",
        "netctl bgp routes advertised --peer 192.0.2.2",
        "netctl bgp routes available --prefix 10.1.0.0/16",
    ),
)
@click.argument("view", type=click.Choice(VIEWS), default=VIEWS[0])
@_peer_option
@click.option("--prefix", metavar="PREFIX", help="Only those to this prefix and to parts of it.")
@click.option(
    "--limit", type=click.IntRange(1), default=DEFAULT_LIMIT, show_default=True, help="Show about so many, the first."
)
@output_option
@with_agent
def routes(client: Client, /, *, view: str, peer: str | None, prefix: str | None, limit: int, form: str) -> None:
    """Show the best routes, those available from peers, or those advertised to them, in order."""
    show(_pages(client, _query(view=view, peer=peer, prefix=prefix), limit), form, cli_text.routes)


@bgp.command("events", examples=("netctl bgp events",))
@output_option
@with_agent
def events(client: Client, /, form: str) -> None:
    """Show what happened to sessions, links and the speaker, the oldest first."""
    show(client.get("plugins", "bgp", "events"), form, cli_text.events)


def _pages(client: Client, asked: list[tuple[str, str]], limit: int) -> dict[str, Any]:
    """One answer made of as many as it takes: each is bounded."""
    shown: list[Any] = []
    after: list[tuple[str, str]] = []
    while True:
        most = ("limit", str(min(limit - len(shown), MAX_LIMIT)))
        answer: dict[str, Any] = client.get("plugins", "bgp", "routes", query=[*asked, most, *after])
        shown += answer["routes"]
        if not answer["next"] or len(shown) >= limit:
            return answer | {"routes": shown}
        after = [("after", answer["next"])]


def _query(**parameters: str | None) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parameters.items() if value is not None]
