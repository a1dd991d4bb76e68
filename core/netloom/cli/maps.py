"""``netctl map``."""

from __future__ import annotations

from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.options import completing, output_option, with_agent
from netloom.cli.output import show, table


def render_list(views: list[dict[str, Any]]) -> str:
    """The answer of ``/v1/maps``; a ring buffer has no entries to count."""
    return table(("Name", "Num entries", "Max entries", "Num errors", "Purpose"), (_row(view) for view in views))


def _row(view: dict[str, Any]) -> tuple[object, ...]:
    entries = "-" if view["entries"] is None else view["entries"]
    return (view["name"], entries, view["max_entries"], view["errors"], view["purpose"])


def render_one(view: dict[str, Any]) -> str:
    """The answer of ``/v1/maps/{name}``: a row an entry, decoded; counters that never counted are left out."""
    shown = [entry for entry in view["entries"] if not _is_unused(entry["value"])]
    text = table(("Key", "Value"), ((fields(entry["key"]), fields(entry["value"])) for entry in shown))
    unused = len(view["entries"]) - len(shown)
    return f"{text}\n\n{unused} more entries are zero." if unused else text


def _is_unused(value: Any) -> bool:
    """Whether it is a per-CPU value that is zero on every CPU."""
    return isinstance(value, list) and not any(number for part in value for number in part.values())


def fields(value: Any) -> str:
    """A struct as ``name=value`` words; one of a single field as that field's value."""
    if isinstance(value, list):
        return "\n".join(fields(item) for item in value)
    if not isinstance(value, dict):
        return str(value)
    if len(value) == 1:
        return str(next(iter(value.values())))
    return " ".join(f"{name}={item}" for name, item in value.items())


@click.group("map", cls=Group)
def maps() -> None:
    """Show any eBPF map of the agent."""


@maps.command("list", examples=("netctl map list",))
@output_option
@with_agent
def list_(client: Client, /, form: str) -> None:
    """List the maps, and how full they are."""
    show(client.get("maps"), form, render_list)


@maps.command(examples=("netctl map get node_config", "netctl map get peers -o json"))
@click.argument("name", shell_complete=completing("maps", field="name"))
@output_option
@with_agent
def get(client: Client, /, name: str, form: str) -> None:
    """Show the contents of a map."""
    show(client.get("maps", name), form, render_one)
