"""``netctl plugins``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from netloom.cli.commands import Group
from netloom.cli.errors import AgentAway
from netloom.cli.options import chosen_client, output_option, target_options
from netloom.cli.output import show, table

HEADERS = ("NAME", "KIND", "STATE", "VERSION", "DISTRIBUTION", "HOOKS")


def render(views: list[dict[str, Any]]) -> str:
    """The answer of ``/v1/plugins``; what is wrong with a plugin stands below its row."""
    rows: list[tuple[object, ...]] = []
    for view in views:
        hooks = ", ".join(hook.removeprefix("netloom_") for hook in view["hooks"])
        rows.append((view["name"], view["kind"], view["state"], view["version"], view["distribution"], hooks))
    text = table(HEADERS, rows)
    problems = [f"{view['name']}: {view['error']}" for view in views if view["error"]]
    return "\n".join([text, "", *problems]) if problems else text


def installed() -> list[dict[str, Any]]:
    """The plugins installed here, in the shape of ``/v1/plugins``."""
    from netloom.plugins.manager import PluginManager

    return [
        asdict(record) | {"kind": str(record.kind), "hooks": list(record.hooks)}
        for record in PluginManager.discover().records()
    ]


@click.group(cls=Group)
def plugins() -> None:
    """Show the installed plugins and how they fare."""


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


def _named(ctx: click.Context) -> bool:
    """Whether the user asked for a certain agent."""
    return any(level.get(key) for level in (ctx.params, ctx.find_root().params) for key in ("node", "socket_path"))
