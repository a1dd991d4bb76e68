"""``netctl plugins``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.errors import AgentAway, Unusable
from netloom.cli.options import chosen_client, completing, output_option, target_options, with_agent
from netloom.cli.output import document, show, table

HEADERS = ("NAME", "KIND", "STATE", "VERSION", "DISTRIBUTION", "CAPABILITIES")


def render(views: list[dict[str, Any]]) -> str:
    """The answer of ``/v1/plugins``; what is wrong with a plugin stands below its row."""
    rows: list[tuple[object, ...]] = []
    for view in views:
        words = "; ".join(view["capabilities"])
        rows.append((view["name"], view["kind"], view["state"], view["version"], view["distribution"], words))
    text = table(HEADERS, rows)
    problems = [f"{view['name']}: {view['error']}" for view in views if view["error"]]
    return "\n".join([text, "", *problems]) if problems else text


def installed() -> list[dict[str, Any]]:
    """The plugins installed here, in the shape of ``/v1/plugins``."""
    from netloom.plugins.manager import PluginManager

    return [
        asdict(record)
        | {"kind": str(record.kind), "hooks": list(record.hooks), "capabilities": list(record.capabilities)}
        for record in PluginManager.discover().records()
    ]


@click.group(cls=Group)
def plugins() -> None:
    """Show the installed plugins and how they fare, ask them."""


@plugins.command("list", examples=("netctl plugins list",))
@output_option
@target_options()
@click.pass_context
def list_(ctx: click.Context, /, form: str, **_target: str | None) -> None:
    """List the plugins; without a running agent, those that are installed."""
    try:
        views = chosen_client(ctx).get("plugins")
    except AgentAway as error:
        if _named(ctx):
            raise
        click.echo(f"netctl: {error}\nThese plugins are installed:", err=True)
        views = installed()
    show(views, form, render)


@plugins.command("query", examples=("netctl plugins query bgp routes view=best",))
@click.argument("plugin", shell_complete=completing("plugins", field="name"))
@click.argument("query")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default="json", show_default=True)
@with_agent
def query_(client: Client, /, plugin: str, query: str, parameters: tuple[str, ...], form: str) -> None:
    """Ask a plugin something that `netctl plugins list` shows among its capabilities; print what it answers."""
    pairs = [_parameter(text) for text in parameters]
    click.echo(document(client.get("plugins", plugin, query, query=pairs), form))


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Unusable(f'"{text}" is no parameter, expected NAME=VALUE')
    return name, value


def _named(ctx: click.Context) -> bool:
    """Whether the user asked for a certain agent."""
    return any(level.get(key) for level in (ctx.params, ctx.find_root().params) for key in ("node", "socket_path"))
