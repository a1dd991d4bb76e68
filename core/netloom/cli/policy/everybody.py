"""``netctl policy what-if`` and ``matrix``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.errors import EXIT_CHANGES, Unusable
from netloom.cli.options import output_option, with_agent
from netloom.cli.output import show
from netloom.cli.pictures import picture_option, write_picture
from netloom.cli.policy.change import complete_names
from netloom.cli.policy.everybody_text import render_matrix, render_what_if
from netloom.cli.policy.files import bodies
from netloom.cli.policy.picture import html, picture
from netloom.model.errors import Invalid
from netloom.model.labels import Label

TIMEOUT_S = 300.0
PICTURES = {".svg": picture, ".html": html}

View = dict[str, Any]


@click.command(
    "what-if",
    cls=Command,
    examples=(
        "netctl policy what-if candidate.yaml",
        "netctl policy what-if --delete shop/web",
        "netctl policy what-if policies/ --delete old -o json",
    ),
    epilog="Exit status: 0 nothing would change, 6 something would, 4 the files have problems; errors as everywhere.",
)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(allow_dash=True))
@click.option(
    "--delete",
    "deleted",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_names,
    help="As if this policy were deleted; may be repeated.",
)
@output_option
@with_agent
def what_if(client: Client, /, files: tuple[str, ...], deleted: tuple[str, ...], form: str) -> None:
    """Tell what would change if policies were imported, or deleted. Nothing is.

    Flows that this node has seen, of connections that live and of recent events, are judged by the policies that stand
    and by those that would, and so is who reaches whom on which services in the whole cluster.
    """
    if not files and not deleted:
        raise Unusable("name files of policies, or policies with --delete")
    body = {"files": bodies(files), "delete": list(deleted)}
    view = client.send("POST", body, "policies", "what-if", timeout_s=TIMEOUT_S)
    show(view, form, render_what_if)
    if view["changes"]:
        click.get_current_context().exit(EXIT_CHANGES)


@click.command(
    cls=Command,
    examples=(
        "netctl policy matrix",
        "netctl policy matrix --namespace shop --picture shop.svg",
        "netctl policy matrix -l app=web -l app=db --picture both.html",
    ),
)
@click.option("-n", "--namespace", "namespaces", multiple=True, metavar="NAME", help="Only this one; may be repeated.")
@click.option(
    "-l",
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL",
    help="Only identities with this label, as in k8s:app=web; with several, those that have all.",
)
@click.option("--unused", is_flag=True, help="Also identities that no endpoint is known of.")
@picture_option("Draw it, as .svg or .html.", endings=PICTURES)
@output_option
@with_agent
def matrix(
    client: Client,
    /,
    namespaces: tuple[str, ...],
    labels: tuple[str, ...],
    form: str,
    *,
    picture_file: Path | None,
    unused: bool,
) -> None:
    """Show who may reach whom on which services, by what policies say at both ends.

    Rows send, columns receive. Ends are identities, nodes, and the parts of the world that policies tell apart. Replies
    are not shown: they pass with what they answer.
    """
    query = [*(("namespace", name) for name in namespaces), *(("label", _label(text)) for text in labels)]
    if unused:
        query.append(("unused", "true"))
    view = client.get("policies", "matrix", query=query, timeout_s=TIMEOUT_S)
    show(view, form, render_matrix)
    if picture_file is not None:
        write_picture(picture_file, PICTURES[picture_file.suffix](view))


def _label(text: str) -> str:
    try:
        return str(Label.parse(text))
    except Invalid as error:
        raise Unusable(str(error)) from error
