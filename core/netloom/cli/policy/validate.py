"""``netctl policy validate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from netloom.cli.commands import Command
from netloom.cli.errors import EXIT_CONFIG
from netloom.cli.options import output_option
from netloom.cli.output import document, printable, table
from netloom.cli.policy.files import expanded, text_of
from netloom.model.errors import ConfigError

if TYPE_CHECKING:
    from netloom.policy.read import Import

COLUMNS = ("KIND", "NAMESPACE", "NAME", "RULES", "AUDIT")


def validated(files: tuple[str, ...]) -> list[dict[str, Any]]:
    """What is to be said of each file; a name may stand in one of them alone."""
    from netloom.plugins.known import known_protocols
    from netloom.policy.read import Import
    from netloom.policy.requests import checks_of

    together = Import(checks_of(known_protocols()))
    return [_view(file, together) for file in expanded(files)]


def _view(file: str, together: Import) -> dict[str, Any]:
    view: dict[str, Any] = {"file": file, "valid": True, "policies": [], "warnings": [], "problems": []}
    try:
        found = together.read(text_of(file), file)
    except ConfigError as error:
        return view | {"valid": False, "problems": [asdict(problem) for problem in error.problems]}
    policies = [
        {
            "kind": str(policy.name.kind),
            "namespace": policy.name.namespace,
            "name": policy.name.name,
            "rules": len(policy.rules),
            "audit": policy.audit,
        }
        for policy in found.policies
    ]
    warnings = [
        {"line": warning.origin.line, "path": warning.origin.path, "sentence": warning.sentence}
        for warning in found.warnings
    ]
    return view | {"policies": policies, "warnings": warnings}


def render_found(view: dict[str, Any]) -> str:
    """A file's verdict, and the policies in it."""
    policies = view["policies"]
    if not view["valid"]:
        return f"{view['file']} is not valid."
    if not policies:
        return f"{view['file']} is valid, and holds no policy."
    rows = (
        (item["kind"], item["namespace"] or "-", item["name"], item["rules"], "yes" if item["audit"] else "no")
        for item in policies
    )
    return f"{view['file']} is valid:\n{table(COLUMNS, rows)}"


def render_said(view: dict[str, Any]) -> list[str]:
    """Its warnings and problems, each in a line."""
    from netloom.model.errors import Problem

    lines = [
        f"{view['file']}:{warning['line']}: {warning['path']}: warning: {warning['sentence']}"
        for warning in view["warnings"]
    ]
    return [printable(line) for line in (*lines, *(str(Problem(**problem)) for problem in view["problems"]))]


@click.command(
    cls=Command,
    examples=("netctl policy validate policies/*.yaml", "netctl policy validate -o json - < policies.yaml"),
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))
@output_option
@click.pass_context
def validate(ctx: click.Context, /, files: tuple[str, ...], form: str) -> None:
    """Check files of CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and NetworkPolicy; needs no agent.

    The files, and those in directories, are read as one import: no policy may stand in them twice. "-" is standard
    input. All problems are told at once, each with its line, and what is allowed yet hardly meant as a warning. Exit
    status 4 when there are problems.
    """
    views = validated(files)
    if form == "table":
        for view in views:
            click.echo(render_found(view))
            for line in render_said(view):
                click.echo(line, err=True)
    else:
        click.echo(document(views, form))
    if problems := sum(len(view["problems"]) for view in views):
        if form == "table":
            click.echo(f"{problems} problem{'s' if problems > 1 else ''} found.", err=True)
        ctx.exit(EXIT_CONFIG)
