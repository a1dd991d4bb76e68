"""``netctl version``."""

from __future__ import annotations

from typing import Any

import click

from netloom import __version__
from netloom.cli.commands import Command
from netloom.cli.errors import AgentAway
from netloom.cli.options import chosen_client, output_option, target_options
from netloom.cli.output import pairs, show


def render(view: dict[str, Any]) -> str:
    """Client and agent, a line each."""
    agent = view["agent"]
    if agent is None:
        return pairs((("Client", view["client"]["version"]), ("Agent", view["error"])))
    words = f"{agent['version']}, plugin contract {agent['contract']}, kernel {agent['kernel']}"
    return pairs((("Client", view["client"]["version"]), ("Agent", words)))


@click.command(cls=Command, examples=("netctl version -o json",))
@output_option
@target_options()
@click.pass_context
def version(ctx: click.Context, /, form: str, **_target: str | None) -> None:
    """Show the versions of netctl and of the agent."""
    view: dict[str, Any] = {"client": {"version": __version__}, "agent": None, "error": ""}
    try:
        view["agent"] = chosen_client(ctx).get("version")
    except AgentAway as error:
        view["error"] = str(error)
    show(view, form, render)
