"""``netctl policy list``, ``get``, ``selectors`` and ``wait``."""

from __future__ import annotations

from typing import Any

import click

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.options import FORMATS, output_option, with_agent
from netloom.cli.output import document, pairs, printable, show, table
from netloom.cli.policy.change import complete_names
from netloom.model.policy import PolicyKind, PolicyName

SHOWN = 20
"""Identities or prefixes in a cell of a table."""
PATIENCE_S = 10.0
"""More than the agent itself waits."""

View = dict[str, Any]


def render_list(view: View) -> str:
    """The answer of ``/v1/policies``."""
    headers = (
        "KIND",
        "NAMESPACE",
        "NAME",
        "RULES",
        "AUDIT",
        "L7",
        "ISOLATES",
        "SELECTS\n(endpoints here)",
        "SELECTS\n(identities)",
    )
    rows = [
        (
            item["kind"],
            item["namespace"] or "-",
            item["name"],
            item["rules"],
            "yes" if item["audit"] else "no",
            ", ".join(item["protocols"]) or "-",
            ", ".join(way for way in ("ingress", "egress") if item[way]) or "-",
            item["endpoints"],
            item["identities"],
        )
        for item in view["policies"]
    ]
    return f"{table(headers, rows)}\n\n{_revisions(view)}"


def _revisions(view: View) -> str:
    lines = [("Revision", view["revision"]), ("Enforced", view["enforced_revision"])]
    if view["enforcement"] != "default" or view["audit"]:
        lines.append(("Enforcement", f"{view['enforcement']}{', audit' if view['audit'] else ''}"))
    return pairs(lines)


@click.command("list", cls=Command, examples=("netctl policy list", "netctl policy list -o json"))
@output_option
@with_agent
def list_(client: Client, /, form: str) -> None:
    """List the policies of the cluster, with what they select, and the revision this node enforces."""
    show(client.get("policies"), form, render_list)


@click.command(
    cls=Command,
    examples=("netctl policy get shop/web", "netctl policy get > policies.yaml", "netctl policy get web -o json"),
)
@click.argument("name", required=False, metavar="[NAME]", shell_complete=complete_names)
@click.option(
    "-o", "--output", "form", type=FORMATS, default="yaml", show_default=True, help="yaml and json can be imported."
)
@with_agent
def get(client: Client, /, name: str | None, form: str) -> None:
    """Print a policy, or all of them, as it was imported.

    NAME is a policy's name, NAMESPACE/NAME, or KIND/NAMESPACE/NAME.
    """
    view = client.get("policies", query=[("objects", "true")])
    if name is not None:
        view["policies"] = [_named(view["policies"], name)]
    if form == "table":
        click.echo(render_list(view))
        return
    objects = [item["object"] for item in view["policies"]]
    alone = objects[0] if name is not None else {"apiVersion": "v1", "kind": "List", "items": objects}
    click.echo(document(alone, form))


def _named(rows: list[View], text: str) -> View:
    """Raises NotFound or Invalid."""
    from netloom.policy.names import find_policy

    known = {PolicyName(PolicyKind(row["kind"]), row["namespace"], row["name"]): row for row in rows}
    return known[find_policy(text, known)]


def render_selectors(views: list[View]) -> str:
    """The answer of ``/v1/policies/selectors``."""
    rows = ((item["selector"], item["users"], _members(item)) for item in views)
    return table(("SELECTOR", "USERS", "IDENTITIES"), rows)


def _members(view: View) -> str:
    members = view["prefixes"] or view["identities"]
    more = [f"and {len(members) - SHOWN} more"] if len(members) > SHOWN else []
    return "\n".join([*map(str, members[:SHOWN]), *more])


@click.command(cls=Command, examples=("netctl policy selectors",))
@output_option
@with_agent
def selectors(client: Client, /, form: str) -> None:
    """List whom policies select: each criterion once, how often it is used, and who meets it now."""
    show(client.get("policies", "selectors"), form, render_selectors)


@click.command(cls=Command, examples=("netctl policy wait", "netctl policy wait 12 --timeout 5"))
@click.argument("revision", required=False, type=click.IntRange(0))
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(0, 600),
    default=30.0,
    show_default=True,
    help="Fail after this long.",
)
@output_option
@with_agent
def wait(client: Client, /, revision: int | None, timeout_s: float, form: str) -> None:
    """Wait until this node enforces a revision, by default the newest it has heard of.

    Each node counts its own revisions: a number means something on the node that told it.
    """
    query = [("timeout_s", f"{timeout_s:g}"), *([("revision", str(revision))] if revision is not None else [])]
    view = client.get("policies", "wait", query=query, timeout_s=timeout_s + PATIENCE_S)
    show(view, form, lambda found: f"Revision {found['enforced_revision']} is enforced.")
    for item in view["closed"]:
        sentence = f"identity {item['identity']} is closed, nothing new passes from or to it: {item['reason']}"
        click.echo(f"netctl: {printable(sentence)}", err=True)
