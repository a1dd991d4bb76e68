"""``netctl route``."""

from __future__ import annotations

from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.options import output_option, with_agent
from netloom.cli.output import show, table

HEADERS = ("PREFIX", "VIA", "DEVICE", "ORIGIN", "STATE")
LIMIT = 10_000


def render(answer: dict[str, Any]) -> str:
    """The answer of ``/v1/routes``; a row has a line for each next hop."""
    rows = [
        (view["prefix"], "\n".join(view["via"]) or "-", _device(view["device"]), view["origin"], view["state"])
        for view in answer["routes"]
    ]
    text = table(HEADERS, rows)
    hidden = answer["matching"] - len(rows)
    return f"{text}\n\n{hidden} more are not shown; see --limit" if hidden > 0 else text


def _device(name: str) -> str:
    """Most routes leave it to the kernel which device of the underlay leads to their next hops."""
    return name if name and not name.startswith("@") else "-"


@click.group(cls=Group)
def route() -> None:
    """Show the routes of the node that are Netloom's."""


@route.command("list", examples=("netctl route list", "netctl route list --learned -o json"))
@click.option("--learned", is_flag=True, help="Only those that routing plugins have learnt.")
@click.option("--limit", type=click.IntRange(1), default=LIMIT, show_default=True, help="Show no more than so many.")
@output_option
@with_agent
def list_(client: Client, /, *, learned: bool, limit: int, form: str) -> None:
    """List them: next hops, who wants them, and what keeps one from being written."""
    query = [("limit", str(limit)), *([("learned", "true")] if learned else [])]
    show(client.get("routes", query=query), form, render)
