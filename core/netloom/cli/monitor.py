"""``netctl monitor``."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.options import completing, with_agent
from netloom.cli.output import printable

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("drop", "trace", "policy-verdict")

LOST = {
    "ring": "events were lost: they came faster than the agent could read them",
    "listener": "events were lost: they came faster than they could be read here",
    "untold": "verdicts were not told: more were allowed at once than are told while nobody watches them",
}
"""By where it happened."""


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
        return lost(event)
    return printable(event["summary"])


def lost(event: dict[str, Any]) -> str:
    """What is said in the place of events that are missing."""
    return f"!! {event['count']} {LOST.get(event['where'], 'events were lost')}"


def kinds_option(text: str, kinds: Collection[str] = KINDS) -> Callable[[F], F]:
    """``--type KIND``; ``text`` is its help."""

    def asked(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
        """Kinds of events, repeated or with commas between, each once."""
        found = tuple(dict.fromkeys(kind for word in words for kind in word.split(",")))
        for kind in found:
            if kind not in kinds:
                raise click.BadParameter(f"{kind!r} is not one of {', '.join(kinds)}")
        return found

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The last of the kinds that stand there."""
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + kind) for kind in kinds if kind.startswith(last)]

    return click.option(
        "-t",
        "--type",
        "kinds",
        multiple=True,
        metavar="KIND",
        callback=asked,
        shell_complete=complete,
        help=text,
    )


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
    cls=Command,
    examples=(
        "netctl monitor",
        "netctl monitor --type drop",
        "netctl monitor -t drop,policy-verdict",
        "netctl monitor --related-to 3 -o json",
    ),
)
@kinds_option(f"Only these: {', '.join(KINDS)}; may be repeated, or have commas between.")
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
    """Watch drops, verdicts of policies and traces as they happen, until Ctrl-C.

    Drops are always reported. Traces cost the data path something while somebody watches them, and so do verdicts past
    the first thousand a second. A denial is a verdict and a drop: with both kinds it is shown as both.
    """
    wanted = Filter(
        related_to=frozenset(endpoints["related_to"]),
        sent_by=frozenset(endpoints["from"]),
        sent_to=frozenset(endpoints["to"]),
    )
    with client.stream("monitor", [("type", ",".join(kinds or KINDS))]) as events:
        click.echo("Watching; press Ctrl-C to stop.", err=True)
        for event in events:
            if event["kind"] == "lost" or wanted.wants(event):
                click.echo(line(event, form))
