"""``netctl monitor``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.options import completing, with_agent
from netloom.cli.output import printable

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("drop", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events to show; an empty set asks for nothing in particular."""

    related_to: frozenset[int] = frozenset()
    sent_by: frozenset[int] = frozenset()
    sent_to: frozenset[int] = frozenset()

    def wants(self, event: dict[str, Any]) -> bool:
        """Whether an event of ``/v1/monitor`` passes: every set that is not empty must hold its endpoint."""
        endpoint, direction = event["endpoint_id"], event["direction"]
        return (
            (not self.related_to or endpoint in self.related_to)
            and (not self.sent_by or (direction == "egress" and endpoint in self.sent_by))
            and (not self.sent_to or (direction == "ingress" and endpoint in self.sent_to))
        )


def line(event: dict[str, Any], form: str) -> str:
    """One event as it is printed."""
    if form == "json":
        return json.dumps(event, ensure_ascii=False)
    if event["kind"] == "lost":
        return f"!! {event['count']} events were lost: they came faster than they could be read"
    return printable(event["summary"])


def _endpoints(name: str, what: str) -> Callable[[F], F]:
    return click.option(
        name,
        multiple=True,
        metavar="ID",
        type=click.IntRange(1),
        shell_complete=completing("endpoints", field="id"),
        help=f"Only packets {what} this endpoint; may be repeated.",
    )


@click.command(
    cls=Command, examples=("netctl monitor", "netctl monitor --type drop", "netctl monitor --related-to 3 -o json")
)
@click.option(
    "-t", "--type", "kinds", multiple=True, type=click.Choice(KINDS), help="Only drops or only traces; may be repeated."
)
@_endpoints("--related-to", "from or to")
@_endpoints("--from", "from")
@_endpoints("--to", "to")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or one JSON object a line.",
)
@with_agent
def monitor(client: Client, /, kinds: tuple[str, ...], form: str, **endpoints: tuple[int, ...]) -> None:
    """Watch drops and traces as they happen, until Ctrl-C.

    Traces cost the data path something while somebody watches them; drops are always reported.
    """
    wanted = Filter(
        related_to=frozenset(endpoints["related_to"]),
        sent_by=frozenset(endpoints["from"]),
        sent_to=frozenset(endpoints["to"]),
    )
    with client.stream("monitor", {"type": ",".join(kinds or KINDS)}) as events:
        click.echo("Watching; press Ctrl-C to stop.", err=True)
        for event in events:
            if event["kind"] == "lost" or wanted.wants(event):
                click.echo(line(event, form))
