"""``netctl prefilter``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netloom.cli.client import Client
from netloom.cli.commands import Group
from netloom.cli.errors import Unusable
from netloom.cli.options import output_option, with_agent
from netloom.cli.output import printable, show
from netloom.model.errors import ConfigError, Problem

if TYPE_CHECKING:
    from netloom.plan.prefilter import NoCidr

F = TypeVar("F", bound=Callable[..., Any])
STANDARD_INPUT = "-"
MAX_BYTES = 32 << 20
"""Of one file: a million lines, and half of what one request may hold."""
TOLD = 20
"""So many problems of a file are told."""
TIMEOUT_S = 120.0
"""A set of half a million prefixes takes a while to read, write and keep."""


def read_files(files: tuple[str, ...]) -> list[str]:
    """The prefixes of files with one a line; what follows a ``#`` is left out.

    Raises ConfigError with the line of each that is none, Unusable for a file that cannot be read.
    """
    found: list[str] = []
    problems: list[Problem] = []
    for file in files:
        for number, text in _lines(file):
            found.append(text)
            if wrong := _problem(text):
                problems.append(
                    Problem(file=file, line=number, key="prefix", found=wrong.found, expected=wrong.expected)
                )
    if problems:
        more = len(problems) - TOLD
        raise ConfigError((*problems[:TOLD], *([_more(files, more)] if more > 0 else [])))
    return found


def _more(files: tuple[str, ...], count: int) -> Problem:
    return Problem(file=", ".join(files), line=0, key="prefix", found=f"{count} more like these", expected="none")


def _problem(text: str) -> NoCidr | None:
    """What is wrong, where a text is no prefix."""
    from netloom.plan.prefilter import NoCidr, parse

    try:
        parse(text)
    except NoCidr as error:
        return error
    return None


def _lines(file: str) -> Iterator[tuple[int, str]]:
    """Number and contents of each line that says something."""
    for number, line in enumerate(_text(file).splitlines(), 1):
        if text := line.partition("#")[0].strip():
            yield number, text


def _text(file: str) -> str:
    try:
        if file == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise Unusable(f'file "{file}" is longer than {MAX_BYTES} bytes; expected a list with one prefix a line')
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise Unusable(f'file "{file}" cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise Unusable(f'file "{file}" is no text; expected a list with one prefix a line') from error


def wanted(cidrs: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    """All that the words name. Raises Unusable when that is nothing: an empty list is hardly what was meant."""
    for text in cidrs:
        if wrong := _problem(text):
            raise Unusable(str(wrong))
    named = [*cidrs, *read_files(files)]
    if not named:
        raise Unusable(
            "no prefix was named, by words or by files; to refuse nobody any more: `netctl prefilter delete --all`"
        )
    return named


def render(view: dict[str, Any]) -> str:
    """The answer of ``/v1/prefilter``, as Cilium shows it."""
    return "\n".join([f"Revision: {view['revision']}", *view["cidrs"]])


def places(view: dict[str, Any]) -> str:
    """Where its program is; "" when nowhere."""
    devices: dict[str, list[str]] = {}
    for device in view["devices"]:
        devices.setdefault(device["mode"], []).append(device["name"])
    return "; ".join(f"{mode} on {', '.join(names)}" for mode, names in devices.items() if mode != "off")


def render_changed(view: dict[str, Any]) -> str:
    """What a change has done."""
    where = places(view) or "off"
    counts = f"{view['added']} added, {view['removed']} removed, {view['count']} in all"
    return f"Revision: {view['revision']}\n{counts}, {where}"


def complain(view: dict[str, Any]) -> None:
    """On standard error: what keeps it from working, and whom of the cluster it hits."""
    for sentence in (*([view["problem"]] if view["problem"] else []), *view["warnings"]):
        click.echo(f"netctl: {printable(sentence)}", err=True)


def _shared(function: F) -> F:
    """What both changes take."""
    for decorate in (
        click.option("--revision", type=int, metavar="N", help="Only if the set is at this revision."),
        click.option(
            "-f",
            "--file",
            "files",
            multiple=True,
            metavar="FILE",
            type=click.Path(allow_dash=True),
            help='A list with one prefix a line, "#" before remarks; "-" is standard input. May be repeated.',
        ),
        click.argument("cidrs", nargs=-1, metavar="[CIDR]..."),
    ):
        function = decorate(function)
    return function


def _send(client: Client, form: str, method: str, body: dict[str, Any]) -> None:
    view = client.send(method, body, "prefilter", timeout_s=TIMEOUT_S)
    show(view, form, render_changed)
    complain(view)


@click.group(cls=Group)
def prefilter() -> None:
    """Refuse packets by their source, at the drivers of the node's underlay devices."""


@prefilter.command("list", examples=("netctl prefilter list", "netctl prefilter list -o json | jq .cidrs"))
@output_option
@with_agent
def list_(client: Client, /, form: str) -> None:
    """List the prefixes whose packets are refused; what is wrong is told on standard error."""
    view = client.get("prefilter")
    show(view, form, render)
    complain(view)


@prefilter.command(
    examples=(
        "netctl prefilter update 192.0.2.0/24 198.51.100.7 2001:db8::/32",
        "netctl prefilter update --replace --file blocklist.txt",
    )
)
@_shared
@click.option("--replace", is_flag=True, help="Refuse these and no others.")
@click.option("--force", is_flag=True, help="Even what would cut off nodes of the cluster, or everybody.")
@output_option
@with_agent
def update(client: Client, /, form: str, **words: Any) -> None:
    """Refuse these prefixes or single addresses too: all of them, or none when one cannot be.

    Exit status 4 when a file has lines that are no prefixes.
    """
    method = "PUT" if words["replace"] else "PATCH"
    cidrs = wanted(words["cidrs"], words["files"])
    _send(client, form, method, {"cidrs": cidrs, "revision": words["revision"], "force": words["force"]})


@prefilter.command(examples=("netctl prefilter delete 192.0.2.0/24", "netctl prefilter delete --all"))
@_shared
@click.option("--all", "everything", is_flag=True, help="Refuse nobody any more.")
@output_option
@with_agent
def delete(client: Client, /, form: str, **words: Any) -> None:
    """Refuse these prefixes no longer: all of them, or none when one is not there.

    Exit status 4 when a file has lines that are no prefixes.
    """
    if words["everything"]:
        if words["cidrs"] or words["files"]:
            raise Unusable("--all leaves nothing to name: say either --all or which prefixes")
        _send(client, form, "PUT", {"cidrs": [], "revision": words["revision"]})
        return
    cidrs = wanted(words["cidrs"], words["files"])
    _send(client, form, "DELETE", {"cidrs": cidrs, "revision": words["revision"]})
