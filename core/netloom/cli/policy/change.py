"""``netctl policy import`` and ``delete``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.errors import EXIT_CONFIG, Unusable
from netloom.cli.options import chosen_client, output_option, with_agent
from netloom.cli.output import printable, show, table
from netloom.cli.policy.files import bodies
from netloom.cli.policy.words import full_name
from netloom.model.errors import ConfigError, NetloomError

IMPORT_TIMEOUT_S = 300.0
"""Ten thousand policies take a minute to read and to write."""

View = dict[str, Any]


def render_import(view: View, *, dry_run: bool) -> str:
    """What was done with each policy, and where that leaves the node."""
    rows = ((item["change"], item["kind"], item["namespace"] or "-", item["name"]) for item in view["policies"])
    text = table(("CHANGE", "KIND", "NAMESPACE", "NAME"), rows)
    return f"{text}\nNothing was imported: this was a dry run." if dry_run else f"{text}\nRevision: {view['revision']}"


def remarks(view: View) -> Iterable[str]:
    """Warnings, each in a line: of reading first, then what a look at all policies showed."""
    for item in view["warnings"]:
        yield printable(f"{item['file']}:{item['line']}: {item['path']}: warning: {item['sentence']}")
    for item in view["advice"]:
        by = f": {', '.join(item['by'])}" if item["by"] else ""
        where = f"{item['path']}: " if item["path"] and item["by"] else ""
        yield printable(f"{full_name(item)}: {where}warning: {item['sentence']}{by}")


@click.command(
    "import",
    cls=Command,
    examples=(
        "netctl policy import policies/",
        "netctl policy import web.yaml db.yaml --wait",
        "netctl policy import --dry-run - < policies.yaml",
    ),
    epilog="Exit status: 0 done, 4 the files have problems, and nothing was imported; errors as everywhere.",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Read, compare and warn; import nothing.")
@click.option("--wait", "waits", is_flag=True, help="Return when this node enforces them, or fail when it does not.")
@output_option
@with_agent
def import_(client: Client, /, files: tuple[str, ...], form: str, *, dry_run: bool, waits: bool) -> None:
    """Give policies to the whole cluster, each in place of the one of its name: all that the files hold, or none.

    Directories stand for the .yaml, .yml and .json files in them and below, "-" for standard input. What is allowed
    yet hardly meant, selects nobody who is known, or is denied by other policies altogether is told as a warning. Other
    nodes hear of the policies through the store, and enforce them by revisions of their own: ask them with --node.
    """
    if dry_run and waits:
        raise Unusable("--dry-run imports nothing, so there is nothing to --wait for; give one of them")
    try:
        body = {"files": bodies(files), "dry_run": dry_run}
        view = client.send("PUT", body, "policies", timeout_s=IMPORT_TIMEOUT_S)
    except ConfigError as error:
        count = len(error.problems)
        for problem in error.problems:
            click.echo(printable(str(problem)), err=True)
        click.echo(f"{count} problem{'s' if count > 1 else ''} found: nothing was imported.", err=True)
        click.get_current_context().exit(EXIT_CONFIG)
    if waits:
        view |= client.get("policies", "wait", query=[("revision", str(view["revision"]))], timeout_s=IMPORT_TIMEOUT_S)
    show(view, form, lambda shown: render_import(shown, dry_run=dry_run))
    for line in remarks(view) if form == "table" else ():
        click.echo(line, err=True)


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of policies that stand."""
    del param
    try:
        rows = chosen_client(ctx).get("policies")["policies"]
    except NetloomError:
        return []
    return [CompletionItem(name) for row in rows if (name := full_name(row)).startswith(incomplete)]


@click.command(
    cls=Command,
    examples=("netctl policy delete shop/web", "netctl policy delete -f web.yaml", "netctl policy delete --all"),
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_names)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Delete the policies this file holds; may be repeated.",
)
@click.option("--all", "everything", is_flag=True, help="Delete every policy of the cluster.")
@output_option
@with_agent
def delete(client: Client, /, names: tuple[str, ...], files: tuple[str, ...], form: str, *, everything: bool) -> None:
    """Take policies from the whole cluster: all that are named, or, when one of them does not exist, none.

    NAME is a policy's name, NAMESPACE/NAME, or KIND/NAMESPACE/NAME.
    """
    if everything == bool(names or files):
        raise Unusable(
            "name policies, files with -f, or --all, and not two of them"
            if everything
            else "name policies to delete, files with -f, or --all"
        )
    wanted = [*names, *_names_in(files)]
    view = client.send("DELETE", {"names": wanted, "all": everything}, "policies", timeout_s=IMPORT_TIMEOUT_S)
    show(view, form, render_deleted)


def _names_in(files: tuple[str, ...]) -> list[str]:
    """Full names of what files hold. Raises ConfigError."""
    from netloom.policy.read import Import

    together = Import()
    found = [together.read(body["text"], body["name"]) for body in bodies(files)]
    names = [policy.name for one in found for policy in one.policies]
    if files and not names:
        raise Unusable(f"{', '.join(files)}: no policy to delete in there")
    return [f"{name.kind}/{name.namespace or '-'}/{name.name}" for name in names]


def render_deleted(view: View) -> str:
    """What is gone."""
    lines = [f"{full_name(item)} is deleted." for item in view["deleted"]] or ["There was no policy to delete."]
    return "\n".join([*lines, f"Revision: {view['revision']}"])
