"""What becomes of a request, as people read it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from netloom.cli.output import printable

COLOURS = {"allowed": "green", "audited": "yellow", "audited by default": "yellow", "redirected": "cyan"}
"""Of verdicts; any other is red."""

View = dict[str, Any]


def request_lines(one: View) -> Iterator[str]:
    """The request with its verdict, what decided at each end that is asked, and what a client gets that is denied."""
    words = " ".join(f"{name}={word}" for name, word in one["request"].items())
    yield printable(f"request {words}: ") + click.style(one["verdict"], fg=COLOURS.get(one["verdict"], "red"))
    asked = [direction for direction in ("egress", "ingress") if one[direction]]
    for direction in asked:
        yield f"  {direction}: {_cause(one[direction])}"
    if not asked:
        yield "  no rule is about the connection: the proxy closes it"
    if one["answer"]:
        yield printable("  the client gets " + " ".join(f"{name}={word}" for name, word in one["answer"].items()))


def _cause(side: View) -> str:
    rule = side["rule"]
    if rule is not None:
        return printable(f"{side['verdict']} by {rule['policy']} {rule['path']}: {json.dumps(rule['rule'])}")
    if side["verdict"] == "allowed":
        return "allowed: every request is"
    return f"{side['verdict']}: no rule allows it"
