"""The command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from netloom.cli.client import Client
from netloom.cli.commands import Command
from netloom.cli.errors import Unusable
from netloom.cli.monitor import KINDS, kinds_option
from netloom.cli.observe.lines import View, as_dict, as_table, compact
from netloom.cli.options import with_agent

F = TypeVar("F", bound=Callable[..., Any])
LAST = 20
"""Flows shown when nothing is said of how many."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+[smhd])+")
_ENDS = {
    "pod": ("POD", "namespace/name, a name in any namespace, or namespace/ for all of it; * stands for anything"),
    "label": ("LABEL", "[source:]key[=value], several with commas between"),
    "identity": ("ID", "a number, or a reserved one such as world"),
    "ip": ("ADDRESS", "an address or a prefix"),
    "port": ("PORT", "a number"),
}
_OTHERS = {
    "verdict": (
        "VERDICT",
        "forwarded, dropped, redirected, error, or audit: passed, and an audit policy would deny it.",
    ),
    "protocol": ("PROTOCOL", "tcp, udp, sctp, icmp, icmp6, arp, a number, or of requests http and the like."),
    "policy": ("NAME", "A policy that is the cause or isolates: name, namespace/name, or kind/namespace/name."),
}


_RENDERED: dict[str, Callable[[View], str]] = {
    "compact": compact,
    "dict": as_dict,
    "json": partial(json.dumps, ensure_ascii=False),
}


def duration_s(text: str) -> int:
    """``90s``, ``5m``, ``1h30m``, or plain seconds. Raises Unusable."""
    if text.isascii() and text.isdigit():
        return int(text)
    if not _DURATION.fullmatch(text):
        raise Unusable(f'--since "{text[:40]}" is no duration; expected one such as 90s, 5m or 1h30m')
    return sum(int(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"\d+[smhd]", text))


def _conditions(function: F) -> F:
    """Options for all conditions; those given are in ``kwargs`` by name."""
    options = [(name, word, f"{text}") for name, (word, text) in _OTHERS.items()]
    for name, (word, text) in _ENDS.items():
        options += [
            (name, word, f"Either end: {text}."),
            (f"from-{name}", word, f"As --{name}, of the source alone."),
            (f"to-{name}", word, f"As --{name}, of the destination alone."),
        ]
    for name, word, text in sorted(options, reverse=True):
        function = click.option(f"--{name}", multiple=True, metavar=word, help=text)(function)
    return function


@click.command(
    cls=Command,
    examples=(
        "netctl observe",
        "netctl observe --since 5m --verdict dropped",
        "netctl observe --follow --pod shop/web-1 --not port=53",
        "netctl observe --policy deny-all --all -o json",
    ),
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--last", type=click.IntRange(0), metavar="N", help=f"So many of the past; {LAST}, with --follow 0.")
@click.option("--all", "everything", is_flag=True, help="All of the past that the agent has kept.")
@click.option("--since", metavar="DURATION", help="All of the past that is no older, such as 90s, 5m, 1h30m.")
@kinds_option(
    "Only these: drop, policy-verdict, l7 (all three by default), trace, which is not kept; may have commas between.",
    (*KINDS, "l7"),
)
@click.option("--not", "nots", multiple=True, metavar="NAME=VALUE", help="Leave out what fits, as in --not port=53.")
@_conditions
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["compact", "table", "dict", "json"]),
    default="compact",
    show_default=True,
    help="For people, or one JSON object a line.",
)
@with_agent
def observe(client: Client, /, form: str, *, follow: bool, **asked: Any) -> None:
    """Show flows of this node, who let them pass, and who did not.

    The agent keeps the last drops and verdicts of policies, each with what was known when it happened: names of pods,
    labels, and the rules that were the cause. Filters of one name are alternatives, those of different names must all
    fit. Traces of every packet are shown with --follow --type trace.
    """
    if follow and form == "table":
        raise Unusable("a table needs to know its end; use -o compact with --follow")
    with client.stream("flows", query(asked, follow=follow), endless=follow) as views:
        if form == "table":
            click.echo(as_table(list(views)))
            return
        for view in views:
            click.echo(_RENDERED[form](view))


def query(asked: dict[str, Any], *, follow: bool) -> list[tuple[str, str]]:
    """What the agent is asked for. Raises Unusable."""
    found = [("follow", "true")] if follow else []
    if asked["since"] is not None:
        found.append(("since", str(duration_s(asked["since"]))))
    if asked["last"] is not None:
        found.append(("last", str(asked["last"])))
    elif asked["since"] is None and not asked["everything"]:
        found.append(("last", "0" if follow else str(LAST)))
    if asked["kinds"]:
        found.append(("type", ",".join(asked["kinds"])))
    names = [*_OTHERS, *(f"{side}{name}" for name in _ENDS for side in ("", "from-", "to-"))]
    found += [(name, text) for name in names for text in asked[name.replace("-", "_")]]
    return found + [("not", text) for text in asked["nots"]]
