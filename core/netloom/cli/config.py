"""``netctl config``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netloom.cli.commands import Group
from netloom.cli.errors import EXIT_CONFIG
from netloom.cli.options import chosen_client, output_option, target_options
from netloom.cli.output import document, show, table
from netloom.model.errors import ConfigError

if TYPE_CHECKING:
    from netloom.config.load import Loaded

DEFAULT = "default"
"""Origin of a setting nobody wrote."""


def render_settings(rows: list[dict[str, Any]]) -> str:
    """The answer of ``/v1/config``: every setting, its value, and where that came from."""
    return table(("KEY", "VALUE", "ORIGIN"), ((row["key"], value_text(row["value"]), row["origin"]) for row in rows))


def value_text(value: Any) -> str:
    """A value as it would stand in YAML, in one line."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def verdict(file: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is said of a config without problems."""
    written = sum(row["origin"] != DEFAULT for row in rows)
    return {"file": str(file), "valid": True, "written": written, "defaults": len(rows) - written}


def render_verdict(view: dict[str, Any]) -> str:
    """That in a sentence."""
    written, defaults = view["written"], view["defaults"]
    return f"{view['file']} is valid: {written} settings are written in it, {defaults} have their default."


def render_problems(error: ConfigError) -> str:
    """Every problem in a line, and how many there are."""
    count = len(error.problems)
    return f"{error}\n{count} problem{'s' if count > 1 else ''} found."


def _load(file: Path) -> Loaded:
    from netloom.plugins.manager import PluginManager

    return PluginManager.discover().load(file)


@click.group(cls=Group)
def config() -> None:
    """Check a node config, show the one in use."""


@config.command(examples=("netctl config check /etc/netloom/node.yaml",))
@click.argument("file", type=click.Path(path_type=Path))
@output_option
@click.pass_context
def check(ctx: click.Context, /, file: Path, form: str) -> None:
    """Check a node config with the sections of all installed plugins; needs no agent.

    All problems are told at once, each with its line. Exit status 4 when there are any.
    """
    try:
        rows = _load(file).rows()
    except ConfigError as error:
        if form == "table":
            click.echo(render_problems(error), err=True)
        else:
            problems = [asdict(problem) for problem in error.problems]
            click.echo(document({"file": str(file), "valid": False, "problems": problems}, form))
        ctx.exit(EXIT_CONFIG)
    show(verdict(file, rows), form, render_verdict)


@config.command("show", examples=("netctl config show", "netctl config show /etc/netloom/node.yaml"))
@click.argument("file", required=False, type=click.Path(path_type=Path))
@output_option
@target_options()
@click.pass_context
def show_(ctx: click.Context, /, file: Path | None, form: str, **_target: str | None) -> None:
    """Show every setting, its value, and where it came from: of FILE, or of the running agent."""
    rows = _load(file).rows() if file else chosen_client(ctx).get("config")
    show(rows, form, render_settings)
