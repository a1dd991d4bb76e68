"""``netctl identity``."""

from __future__ import annotations

from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.options import output_option, with_agent
from netloom.cli.output import show, table


def render(views: list[dict[str, Any]]) -> str:
    """The answer of ``/v1/identities``."""
    return table(
        ("ID", "LABELS", "REFCOUNT"), ((view["id"], "\n".join(view["labels"]), view["refcount"]) for view in views)
    )


@click.group(cls=Group)
def identity() -> None:
    """Show identities and the labels they stand for."""


@identity.command("list", examples=("netctl identity list",))
@output_option
@with_agent
def list_(client: Client, /, form: str) -> None:
    """List the identities this node knows; REFCOUNT counts the endpoints of the cluster that have one."""
    show(client.get("identities"), form, render)
